"""Scripts that train several models or compare runs, instead of being an experiment with one model."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from jaxgen.cli.config import settings_of
from jaxgen.cli.flags import parse
from jaxgen.cli.folder import begin, check_same, claim, describe
from jaxgen.cli.process import command_line

__all__ = ["run_study"]

T = TypeVar("T")
RUN_FLAGS = ("run", "resume", "overwrite")


def run_study(kind: type[T], body: Callable[[T], None], file: str, doc: str, argv: Sequence[str] | None = None) -> None:
    """Runs a script: `body` with its config `kind`, a dataclass with the fields `run`, `overwrite` and, if it can go on
    with what the folder holds, `resume`.

    The folder is made afresh with its settings in config.json; or with --resume the settings there stand where the
    flags say nothing. It ends as `command_line` says. `file` is the script's `__file__`, `doc` its help.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    name = Path(file).stem
    program = f"python -m {Path(file).parent.name}.{name}" if (Path(file).parent / "__init__.py").exists() else file
    resumable = any(field.name == "resume" for field in dataclasses.fields(kind))  # type: ignore[arg-type]
    with command_line(program, args if resumable else None):
        config: Any = parse(kind, args, program, doc)
        record = claim(config.run, resumable and config.resume, config.overwrite, resumable)
        if record is not None:
            stored = _restored(kind, name, record, config.run)
            config = parse(kind, args, program, doc, default=stored)
            check_same(_settings(config), _settings(stored), config.run)
        begin(config.run, config.overwrite)
        describe(config.run, {"experiment": name, "config": _settings(config)})
        body(config)


def _settings(config: Any) -> dict[str, Any]:
    """The fields of a config that say what is computed."""
    return {name: value for name, value in settings_of(config).items() if name not in RUN_FLAGS}


def _restored(kind: Any, name: str, record: dict[str, Any], run: Path) -> Any:
    """The config of the script's run in the folder `run`."""
    if record["experiment"] != name:
        raise ValueError(f"{run} is a run of {record['experiment']}, not of {name}")

    def restored(field: dataclasses.Field) -> Any:
        value = record["config"][field.name]
        is_path = isinstance(value, str) and Path in (field.type, *get_args(field.type))
        return Path(value) if is_path else tuple(value) if isinstance(value, list) else value

    fields = dataclasses.fields(kind)
    return kind(**{field.name: restored(field) for field in fields if field.name in record["config"]}, run=run)
