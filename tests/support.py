"""What the tests of the command line share."""

import pytest

from jaxgen.cli import main

SHORT = ["--steps", "12", "--log-every", "4", "--eval-every", "0", "--checkpoint-every", "4", "--batch-size", "32"]


def fails(capsys, module, args):
    """The one line on stderr with which the command line refuses."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(module.experiment, [str(arg) for arg in args])
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    assert len([line for line in lines if not line.startswith("warning")]) == 1, lines
    return lines[-1]
