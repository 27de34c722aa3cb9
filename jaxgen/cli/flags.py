"""Turns the words of a command line into typed values with tyro, and tells mistakes on one line."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from jaxgen.optional import require

__all__ = ["flag_of", "one_line", "parse", "parse_known"]

T = TypeVar("T")


def parse(kind: type[T], args: Sequence[str], program: str, doc: str = "", default: T | None = None) -> T:
    """Returns an instance of the dataclass `kind` from flags.

    Args:
        kind: the dataclass; its fields are the flags, their docstrings the help.
        args: the words after the program's name.
        program: how the user starts the command, for the help.
        doc: what the command does, for the help.
        default: the values of flags that are not given; by default those of `kind`.

    Raises:
        ValueError: a flag that `kind` does not have, or a value that it does not allow, on one line.
    """
    parsed, unknown = parse_known(kind, args, program, doc, default)
    if unknown:
        raise ValueError(f"unknown argument {unknown[0]}; --help lists what is allowed")
    return parsed


def parse_known(
    kind: type[T], args: Sequence[str], program: str, doc: str = "", default: T | None = None, add_help: bool = True
) -> tuple[T, list[str]]:
    """Does what `parse` does, but returns the words that `kind` does not know beside the value."""
    require("tyro", "the command line")
    import tyro

    printed = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                kind,
                args=list(args),
                prog=program,
                description=re.sub(r"(?<!\n)\npython", "\n\npython", doc),  # tyro joins the lines of a paragraph
                return_unknown_args=True,
                add_help=add_help,
                config=(tyro.conf.OmitArgPrefixes,),
                **options,
            )
    except SystemExit as stopped:
        if not stopped.code:  # --help
            raise
        raise ValueError(_message(printed.getvalue())) from None


def flag_of(field: str) -> str:
    """Returns the flag of a dataclass's field."""
    return "--" + field.replace("_", "-")


def one_line(text: object) -> str:
    """Returns the text without line breaks and repeated blanks."""
    return " ".join(str(text).split())


def _message(printed: str) -> str:
    """What tyro says in its frame, without the frame and the help that it repeats below a rule."""
    lines = [line.strip("│╭╮╰╯ ") for line in printed.splitlines()]
    said = lines[1 : next((i for i, line in enumerate(lines) if i and line.startswith("──")), len(lines))]
    return one_line(" ".join(said).removeprefix("Error parsing "))
