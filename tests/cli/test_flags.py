import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from jaxgen.cli.flags import flag_of, one_line, parse, parse_known


@dataclass(frozen=True)
class Flags:
    size: int = 3
    kind: Literal["small", "large"] = "small"
    labels: tuple[int, ...] = ()

    def __post_init__(self):
        if self.size < 0:
            raise ValueError(f"--size {self.size}: at least 0 is needed")


def test_flags_become_a_value():
    assert parse(Flags, ["--size", "4", "--labels", "1", "2"], "program") == Flags(4, "small", (1, 2))
    assert parse(Flags, ["--kind", "large"], "program", default=Flags(7)) == Flags(7, "large")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--size", "many"], "--size: invalid literal for int"),
        (["--size"], "Missing value for argument '--size'"),
        (["--kind", "tiny"], "invalid choice 'tiny' for argument '--kind'"),
        (["--size", "-1"], "--size -1: at least 0 is needed"),
        (["--colour", "3"], "unknown argument --colour"),
        (["word"], "unknown argument word"),
    ],
)
def test_mistakes_are_one_line_without_a_frame(args, message):
    with pytest.raises(ValueError) as raised:
        parse(Flags, args, "program")
    text = str(raised.value)
    assert message in text and "\n" not in text and not set(text) & set("│─╭╰")


def test_without_tyro_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    with pytest.raises(ValueError, match='the command line needs the package tyro: pip install "tyro"'):
        parse(Flags, [], "program")


def test_help_is_printed(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(Flags, ["--help"], "python -m program", "What it does.\n\npython -m program --size 4")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "python -m program" in printed and "What it does." in printed and "--labels" in printed


def test_what_a_value_does_not_know_is_left():
    known, rest = parse_known(Flags, ["--help", "--size", "4", "--run", "here", "--no-flip"], "program", add_help=False)
    assert known == Flags(4) and rest == ["--help", "--run", "here", "--no-flip"]


def test_names_of_flags_and_lines():
    assert flag_of("batch_size") == "--batch-size"
    assert one_line("two\n  lines ") == "two lines"
