"""The parts of the command line that know no experiment: flags to a typed value, messages on one line, the process."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import jax
import tyro

__all__ = ["find_run", "flag_of", "one_line", "parse", "run_script", "stop", "use_compilation_cache", "use_cpu_devices"]

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
    """Runs a script that is no experiment of one model: `body` of its config `kind`, which has `run` and `overwrite`.

    The folder is made afresh, with the settings in study.json. A user's mistake is one line on stderr and exit code 2.
    """
    use_compilation_cache()
    try:
        config = parse(kind, sys.argv[1:] if argv is None else argv, script, doc)
        run, record = config.run, config.run / "study.json"
        if run.exists() and any(run.iterdir()):
            if not config.overwrite:
                raise ValueError(f"{run} exists: choose --overwrite or another --run")
            if not record.exists():
                raise ValueError(f"{run} is not the folder of such a run (no study.json): not overwritten")
            shutil.rmtree(run)
        run.mkdir(parents=True, exist_ok=True)
        settings = {"script": script, **dataclasses.asdict(config), "run": str(run)}
        record.write_text(json.dumps(settings, indent=2) + "\n")
        body(config)
    except ValueError as error:
        stop(2, f"error: {one_line(error)}")


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
