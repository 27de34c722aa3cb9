"""A bar where there is someone to see it, lines where there is a log file."""

import io

import tqdm.auto
import tqdm.std

from jaxgen.training import progress
from jaxgen.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(steps=50, due=(20, 40, 50), shown=True):
    with Progress(steps, 0, shown) as shown:
        shown.compiling()
        for step in range(10, steps + 1, 10):
            shown.advance(step, 123.0, {"loss": 1 / step, "kl": 2.0})
            shown.line(step, {"loss": 1 / step}, step in due)


def test_lines_are_the_first_and_those_that_are_due(capsys):
    run()
    assert capsys.readouterr() == (
        "step 10/50 loss 0.1\nstep 20/50 loss 0.05\nstep 40/50 loss 0.025\nstep 50/50 loss 0.02\n",
        "",
    )


def test_a_line_is_due_when_half_a_minute_has_passed(capsys, monkeypatch):
    clock = iter([0.0, 0.0, 29.0, 31.0, 31.0, 60.0])  # the reader looks once without a line, twice with one
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    run(40, due=())
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["10/40", "30/40"]


def test_nothing_is_shown_where_nothing_shall_be(capsys, monkeypatch):
    run(shown=False)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    run(shown=False)
    assert capsys.readouterr().out == "" and terminal.getvalue() == ""


def test_a_terminal_has_a_bar_and_no_lines(capsys, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    run()
    assert capsys.readouterr().out == ""
    assert "compiling" in terminal.getvalue() and "loss=0.02" in terminal.getvalue()
    assert "kl=" not in terminal.getvalue() and "50/50" in terminal.getvalue()


def test_a_notebook_has_a_bar_though_it_is_no_terminal(capsys, monkeypatch):
    assert progress.tqdm is tqdm.auto.tqdm  # which is that of notebooks in a notebook

    class Notebook(tqdm.std.tqdm):
        """As `tqdm.notebook.tqdm` does, it takes no notice of what the output is."""

        def __init__(self, *args, disable=None, **options):
            super().__init__(*args, disable=bool(disable), **options)

    monkeypatch.setattr(progress, "tqdm", Notebook)
    run()
    captured = capsys.readouterr()
    assert captured.out == "" and "50/50" in captured.err
    run(shown=False)
    assert capsys.readouterr() == ("", "")
