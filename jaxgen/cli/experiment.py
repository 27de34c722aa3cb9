"""An experiment is a config, a model, and what is measured and drawn of it. `main` gives it the full command line.

    python -m SCRIPT [PRESET] [--FLAG VALUE ...]   trains (the word `train` may stand before)
    python -m SCRIPT sample --run DIR              draws a grid of samples
    python -m SCRIPT evaluate --run DIR            computes the figures on the test set
    python -m SCRIPT report --run DIR              draws the pictures and report.html again
    python -m SCRIPT diagnose --run DIR            tells what fails in the training of a GAN
    python -m SCRIPT translate --run DIR --input FILE|FOLDER    translates images

Your own script is an experiment too:

    experiment = Experiment(__file__, {"digits": MyConfig()}, build, evaluator, doc=__doc__)

    if __name__ == "__main__":
        main(experiment)
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Array

from jaxgen.cli.config import Config
from jaxgen.cli.data import Data, load_data
from jaxgen.cli.process import command_line
from jaxgen.cli.sampling import Sampling
from jaxgen.evaluation import Evaluator
from jaxgen.optional import require
from jaxgen.types import State, Trainable

__all__ = ["Command", "Experiment", "main"]

Command = Callable[["Experiment", list[str]], None]
"""A command of an experiment: it takes the experiment and the words after the command's name."""

COMMANDS = ("train", "sample", "evaluate", "report", "diagnose", "translate")


@dataclass(frozen=True)
class Experiment:
    """What a script adds to the command line."""

    file: str
    """The script's `__file__`; its stem is the experiment's name."""
    presets: Mapping[str, Config]
    """Configs by name; the first is the default."""
    build: Callable[[Any, Data], Trainable]
    """(config, data set) -> model. It reads only `example`, `label_names`, `attributes` and the length of the data."""
    evaluator: Callable[[Any, Any, Data, Data], Evaluator]
    """(config, model, training set, test set) -> a function from a state to its `Evaluation`."""
    pictures: Callable[[Any, Any, State, Data, Data, Path], None] | None = None
    """(config, model, state, training set, test set, folder): writes further PNGs and GIFs."""
    sampling: type[Sampling] = Sampling
    """How the experiment samples; its fields are flags of `sample` and arguments of `Run.sample`."""
    doc: str = ""
    """The help; usually the script's `__doc__`."""
    best: str | None = None
    """The figure by which the best checkpoint is kept."""
    mode: Literal["min", "max"] = "min"
    """Whether the smallest or the largest value of `best` is the best."""
    diagnosed: bool = False
    """Whether the training is that of a GAN, whose failures are told while it trains and by the command `diagnose`."""
    load: Callable[[Any], tuple[Data, Data]] = load_data
    """config -> the training and the test set; by default what `jaxgen.load` reads from `config.source`."""
    translate: Callable[..., dict[str, Array]] | None = None
    """(model, data set, state, key, images) -> their translations by the name of the domain, for `translate`."""
    commands: Mapping[str, Command] = field(default_factory=dict)
    """Further commands by name; one with the name of a shared command replaces it."""

    @property
    def name(self) -> str:
        """The name of the script."""
        return Path(self.file).stem

    @property
    def module(self) -> str | None:
        """The dotted name of the script where it is part of a package, such as `package.script`; else None."""
        folder, parts = Path(self.file).resolve().parent, [self.name]
        while (folder / "__init__.py").exists():
            folder, parts = folder.parent, [folder.name, *parts]
        return ".".join(parts) if len(parts) > 1 else None

    @property
    def program(self) -> str:
        """How the user starts the script."""
        return f"python -m {self.module}" if self.module else f"python {self.file}"

    @property
    def help(self) -> str:
        """The script's documentation, its presets and its commands."""
        listed = ", ".join([*COMMANDS[1:], *(name for name in self.commands if name not in COMMANDS)])
        return f"{self.doc}\n\nPresets: {', '.join(self.presets)}. Commands on a run (each with --help): {listed}."

    def command(self, name: str) -> Command | None:
        """Returns the command of this name; None where there is none."""
        if name in self.commands:
            return self.commands[name]
        return getattr(importlib.import_module(f"jaxgen.cli.{name}"), name) if name in COMMANDS else None

    def preset(self, name: str) -> Config:
        """Returns the preset of this name. ValueError, with the presets and commands, where there is none."""
        if name not in self.presets:
            commands = ", ".join(dict.fromkeys([*COMMANDS, *self.commands]))
            raise ValueError(
                f"unknown preset or command {name!r}: presets are {', '.join(self.presets)}; commands are {commands}"
            )
        return self.presets[name]


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv`, by default the process's, and ends as `command_line` says."""
    args = list(sys.argv[1:] if argv is None else argv)
    named = experiment.command(args[0]) if args else None
    command, rest = (named, args[1:]) if named else (experiment.command("train"), args)
    with command_line(experiment.program, args):
        require("tyro", "the command line")
        assert command is not None
        command(experiment, rest)
