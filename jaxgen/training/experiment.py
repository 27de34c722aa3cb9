"""The command line that every experiment shares.

    python -m experiments.NAME [PRESET] [--FLAG VALUE ...]     train (the word `train` may stand before)
    python -m experiments.NAME sample --run DIR                a grid of samples
    python -m experiments.NAME evaluate --run DIR              the figures on the test set
    python -m experiments.NAME report --run DIR                the pictures and report.html again
    python -m experiments.NAME diagnose --run DIR              of a GAN: what fails, and by what it shows
    python -m experiments.NAME translate --run DIR --input FILE|FOLDER      of a model from images to images

A script gives a typed config with presets, `build`, and what it evaluates and draws; see `experiments/vae.py`.
"""

import dataclasses
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jax
import tyro
from jaxtyping import Array

from jaxgen.data import Dataset
from jaxgen.training.command_line import exits, flag_of, one_line, parse, use_compilation_cache
from jaxgen.training.commands import (
    diagnose,
    drawer,
    evaluate,
    finish,
    load_data,
    mesh_of,
    report,
    sample,
    translate,
    use_devices,
)
from jaxgen.training.fit import fit, phases_of
from jaxgen.training.logging import read_metrics
from jaxgen.training.population import members, summary
from jaxgen.training.runs import check_same, read_run, settings_of, write_run
from jaxgen.types import State, Trainable

__all__ = ["Config", "Experiment", "main"]


@dataclass(frozen=True)
class Config:
    """Settings of a run; an experiment adds its own."""

    source: str = "digits"
    """Of the data: `digits`, `sprites`, `ring`, `tfds:NAME`, `folder:PATH` and others; see `jaxgen.data.load`."""
    image_size: int | None = None
    """Resize to this many pixels a side."""
    channels: Literal[1, 3] | None = None
    """Make images grey (1) or RGB (3)."""
    flip: bool = False
    """In training, mirror each image left to right with probability 1/2."""
    corrupt: Literal["skip", "fail"] = "skip"
    """Unreadable files are skipped with a warning, or stop the run."""
    steps: int = 2000
    """Training steps."""
    batch_size: int = 64
    """Examples of a minibatch."""
    seed: int = 0
    """Of the parameters, the noise and the order of the data."""
    seeds: int = 1
    """Train so many seeds at once, from `seed` on; figures are then means and standard deviations over them."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' arithmetic; parameters and losses are float32."""
    mesh: int | None = None
    """Devices to share each batch. Default: all accelerators, or all cores for convolutions and one device else."""
    log_every: int = 100
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; 0: only at the end."""
    eval_every: int = 1000
    """Steps between evaluations and sample pictures; 0: only at the end."""

    convolutional: ClassVar[bool] = True

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_every") and value < 0:
                raise ValueError(f"{flag_of(field.name)} {value}: 0 or more is allowed")
            counts = ("steps", "batch_size", "seeds", "image_size", "mesh", "latent", "width", "discriminator_width")
            if field.name in counts and value is not None and value < 1:
                raise ValueError(f"{flag_of(field.name)} {value}: at least 1 is needed")
            if field.name.endswith("learning_rate") and not 0 < value < math.inf:
                raise ValueError(f"{flag_of(field.name)} {value}: a positive number is needed")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"--seed {self.seed}: 0 to 2**32 - 1 is allowed")


@dataclass(frozen=True)
class Experiment:
    """What a script adds to the command line.

    presets:   configs by name; the first is the default
    build:     (config, data set) -> model; of the data set only `example`, `label_names` and, for training, the
               length are read
    evaluator: (config, model, train, test) -> a function of a state that gives figures by name; its attribute
               `extractor`, where it has one, is what they depend on, and is stored beside them
    pictures:  (config, model, state, train, test, folder) writes further PNGs and GIFs
    best:      the figure by which the best checkpoint is kept, and whether the smallest or largest is best
    diagnose:  `jaxgen.evaluation.diagnose`, of a GAN: warns in training, and is a command
    translate: of a model from images to images, a command: (model, data set, state, key, images) -> their translations,
               by the name of the domain
    row:       of such a model, in place of samples: (model, data set, state, key, a batch of the test set) -> what the
               rows of its picture show, from left to right
    commands:  further ones, by name: (experiment, the words after the command)
    """

    name: str
    presets: Mapping[str, Config]
    build: Callable[[Any, Dataset], Trainable]
    evaluator: Callable[[Any, Any, Dataset, Dataset], Callable[[State], dict[str, float]]]
    pictures: Callable[[Any, Any, State, Dataset, Dataset, Path], None] | None = None
    doc: str = ""
    best: str | None = None
    mode: Literal["min", "max"] = "min"
    diagnose: Callable[..., Any] | None = None
    translate: Callable[..., dict[str, Array]] | None = None
    row: Callable[..., dict[str, Array]] | None = None
    commands: Mapping[str, Callable[["Experiment", list[str]], None]] = dataclasses.field(default_factory=dict)

    @property
    def script(self) -> str:
        """What follows `python -m`."""
        return f"experiments.{self.name}"

    @property
    def help(self) -> str:
        commands = ", ".join(["sample", "evaluate", "report", "diagnose", "translate", *self.commands])
        return f"{self.doc}\n\nPresets: {', '.join(self.presets)}. Commands on a run (each with --help): {commands}."


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv`, by default the process's.

    It ends as `exits` says.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    commands = {f.__name__: f for f in (train, sample, evaluate, report, diagnose, translate)}
    commands |= experiment.commands
    warnings.showwarning = lambda message, *_: print(f"warning: {one_line(message)}", file=sys.stderr)
    use_compilation_cache()
    command = commands[args.pop(0)] if args and args[0] in commands else train
    with exits(experiment.script, args):
        command(experiment, args[:])


def train(experiment: Experiment, args: list[str]) -> None:
    """Trains, evaluates, draws."""
    given = [args.pop(0)] if args and not args[0].startswith("-") else []
    preset = given[0] if given else next(iter(experiment.presets))
    if preset not in experiment.presets:
        raise ValueError(f"unknown preset {preset!r}: choose from {', '.join(experiment.presets)}")
    base = experiment.presets[preset]
    folder = Path("runs") / (
        experiment.name if preset == next(iter(experiment.presets)) else f"{experiment.name}-{preset}"
    )

    @dataclass(frozen=True)
    class Train:
        config: Annotated[type(base), tyro.conf.arg(name="")] = base
        run: Path = folder
        """The folder of the run."""
        resume: bool = False
        """Go on from the run's newest good checkpoint, with its settings."""
        overwrite: bool = False
        """Delete what the run folder holds and start afresh."""

    options = parse(Train, args, experiment.script, experiment.help)
    run, config = options.run, options.config
    if options.resume and options.overwrite:
        raise ValueError("--resume and --overwrite: choose one")
    if options.resume and (run / "config.json").exists():
        stored, _ = read_run(experiment, run)
        if not given:  # flags stand on the settings of the run
            config = parse(Train, args, experiment.script, experiment.help, default=Train(config=stored)).config
        check_same(settings_of(config), settings_of(stored), run)
    elif run.exists() and any(run.iterdir()):
        if not options.overwrite:
            raise ValueError(f"{run} exists: choose --resume, --overwrite or another --run")
        if not (run / "config.json").exists():
            raise ValueError(f"{run} is not the folder of a run (no config.json): not overwritten")
    use_devices(config)
    training, test = load_data(config)
    model = experiment.build(config, training)
    mesh = mesh_of(config)
    for phase in phases_of(model):
        spec = training.spec(config.batch_size * getattr(phase, "minibatches", 1))
        jax.eval_shape(lambda batch, phase=phase: phase.step(phase.init(jax.random.key(0), batch), batch), spec)
    figures_of = experiment.evaluator(config, model, training, test)
    # What does not fit has said so by now: nothing is lost.
    if options.overwrite and run.exists():
        shutil.rmtree(run)
    run.mkdir(parents=True, exist_ok=True)
    write_run(experiment, run, config, training)

    steps = config.steps or sum(phase.steps for phase in phases_of(model))
    evaluated: list[dict[str, float]] = []
    verdicts: set[str] = set()

    def evaluate_state(state):
        found = figures_of(state)
        evaluated.append(dict(found.figures))
        write_run(experiment, run, config, training, found.extractor)
        if experiment.diagnose and config.seeds == 1:
            records = [*read_metrics(run), {"step": int(state.step), **evaluated[-1]}]
            found = experiment.diagnose(records, training.label_names)
            if found.verdict not in {"healthy", *verdicts}:
                warnings.warn(f"step {int(state.step)}: {found}", stacklevel=1)
            verdicts.add(found.verdict)
        return evaluated[-1]

    state = fit(
        model,
        training,
        steps=steps,
        batch_size=config.batch_size,
        seed=config.seed if config.seeds == 1 else range(config.seed, config.seed + config.seeds),
        run=run,
        resume=options.resume,
        mesh=mesh,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        eval_every=config.eval_every,
        evaluate=evaluate_state,
        draw=drawer(experiment, model, training, test),
        best=experiment.best,
        mode=experiment.mode,
    )
    states = [state] if config.seeds == 1 else members(state)
    figures = summary(evaluated[-len(states) :] or [figures_of(state).figures for state in states])
    finish(experiment, run, config, model, states[0], (training, test), figures)
