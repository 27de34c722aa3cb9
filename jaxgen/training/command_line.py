"""The parts of the command line that know no experiment: flags to a typed value, messages on one line, the process."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

import jax
import tyro

from jaxgen.training.fit import Interrupted, NonFinite
from jaxgen.training.runs import check_same

__all__ = [
    "exits",
    "find_run",
    "flag_of",
    "one_line",
    "parse",
    "run_script",
    "stop",
    "use_compilation_cache",
    "use_cpu_devices",
]

T = TypeVar("T")


def parse(kind: type[T], args: Sequence[str], script: str, doc: str = "", default: Any = None) -> T:
    """`kind`, a dataclass, from flags, by tyro.

    ValueError, on one line in place of tyro's frames, for what it does not allow.
    """
    captured = io.StringIO()
    options = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(captured):
            parsed, unknown = tyro.cli(
                kind,
                args=list(args),
                prog=f"python -m {script}",
                description=re.sub(r"(?<!\n)\npython", "\n\npython", doc),  # tyro joins the lines of a paragraph
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
                **options,
            )
    except SystemExit as stopped:
        if not stopped.code:  # --help
            raise
        raise ValueError(one_line(re.sub(r"[─-╿]", " ", captured.getvalue()))) from None
    if unknown:
        raise ValueError(f"unknown argument {unknown[0]}; --help lists what is allowed")
    return parsed


def run_script(
    kind: type[T], body: Callable[[T], None], script: str, doc: str, argv: Sequence[str] | None = None
) -> None:
    """Runs a script that is no experiment of one model: `body` of its config `kind`, which has `run`, `overwrite` and,
    if it can go on with what the folder holds, `resume`.

    The folder is made afresh, with the settings in study.json, to which `body` may add; or with --resume the settings
    there stand where the flags say nothing. It ends as `exits` says.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    use_compilation_cache()
    resumable = any(field.name == "resume" for field in dataclasses.fields(kind))
    with exits(script, args if resumable else None):
        config = parse(kind, args, script, doc)
        run, record, stored = config.run, config.run / "study.json", {}
        if resumable and config.resume and config.overwrite:
            raise ValueError("--resume and --overwrite: choose one")
        if resumable and config.resume and record.exists():
            stored = json.loads(record.read_text())
            restored = _restored(kind, stored, run, script)
            config = parse(kind, args, script, doc, default=restored)
            check_same(_settings(config), _settings(restored), run)
        elif run.exists() and any(run.iterdir()):
            if not config.overwrite:
                raise ValueError(f"{run} exists: choose {'--resume, ' * resumable}--overwrite or another --run")
            if not record.exists():
                raise ValueError(f"{run} is not the folder of such a run (no study.json): not overwritten")
            shutil.rmtree(run)
        run.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(stored | {"script": script} | _settings(config), indent=2) + "\n")
        body(config)


@contextlib.contextmanager
def exits(script: str, args: Sequence[str] | None) -> Iterator[None]:
    """One line on stderr for what ends a process early: a user's mistake exits with 2, NaN with 1, a signal with 128 +
    its number. `args` are those of a command that --resume lets go on."""
    try:
        yield
    except ValueError as error:
        stop(2, f"error: {one_line(error)}")
    except NonFinite as error:
        stop(1, f"stopped at {error}; the checkpoints before it are kept")
    except Interrupted as signalled:
        given = [arg for arg in args or () if arg not in ("--resume", "--overwrite")]
        again = " ".join(["; go on with:\n  python -m", script, *given, "--resume"]) if args is not None else ""
        stop(128 + signalled.signum, f"{signalled}{again}")
    except KeyboardInterrupt:
        stop(130, "stopped at once" + ("; what is checkpointed can be resumed" if args is not None else ""))


def _settings(config) -> dict[str, Any]:
    """The fields of a script's config that say what is computed, as JSON keeps them."""
    fields = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return {name: value for name, value in fields.items() if name not in ("run", "resume", "overwrite")}


def _restored(kind: type[T], stored: dict[str, Any], run: Path, script: str) -> T:
    """The config of the script's run in the folder `run`."""
    if stored.get("script") != script:
        raise ValueError(f"{run} is a run of {stored.get('script')}, not of {script}")

    def restored(field: dataclasses.Field) -> Any:
        value = stored[field.name]
        is_path = isinstance(value, str) and Path in (field.type, *get_args(field.type))
        return Path(value) if is_path else tuple(value) if isinstance(value, list) else value

    return kind(**{field.name: restored(field) for field in dataclasses.fields(kind) if field.name in stored}, run=run)


def find_run(args: Sequence[str]) -> Path | None:
    """The value of --run, which says what the other flags are; None where it is not given."""
    for i, arg in enumerate(args):
        if arg == "--run" and i + 1 < len(args):
            return Path(args[i + 1])
        if arg.startswith("--run="):
            return Path(arg.removeprefix("--run="))
    return None


def flag_of(field: str) -> str:
    """The flag of a config's field."""
    return "--" + field.replace("_", "-")


def one_line(text: object) -> str:
    """The text without line breaks or repeated blanks."""
    return " ".join(str(text).split())


def stop(code: int, message: str) -> NoReturn:
    """Ends the process with `code` and a message on stderr."""
    print(message, file=sys.stderr)
    raise SystemExit(code)


def use_cpu_devices(count: int) -> None:
    """Splits the CPU into `count` devices, which must happen before JAX starts."""
    with contextlib.suppress(RuntimeError):  # without effect once a backend runs (a second run in one process)
        jax.config.update("jax_num_cpu_devices", count)


def use_compilation_cache() -> None:
    """Keeps compiled programs; JAX_COMPILATION_CACHE_DIR moves them, JAX_ENABLE_COMPILATION_CACHE=false disables."""
    if not jax.config.jax_compilation_cache_dir:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "jaxgen" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
