"""The command line that every experiment shares.

    python -m experiments.NAME [PRESET] [--FLAG VALUE ...]     train (the word `train` may stand before)
    python -m experiments.NAME sample --run DIR                a grid of samples
    python -m experiments.NAME evaluate --run DIR              the figures on the test set
    python -m experiments.NAME report --run DIR                the pictures and report.html again

A script gives a typed config with presets, `build`, and what it evaluates and draws; see `experiments/vae.py`.
"""

import dataclasses
import json
import math
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxgen.data import Dataset, StreamedDataset, load
from jaxgen.report import image_grid, plot_curves, save_image, write_page
from jaxgen.training.command_line import (
    find_run,
    flag_of,
    one_line,
    parse,
    stop,
    use_compilation_cache,
    use_cpu_devices,
)
from jaxgen.training.fit import Interrupted, NonFinite, fit
from jaxgen.training.logging import read_metrics
from jaxgen.training.mesh import data_mesh
from jaxgen.training.runs import check_data, check_same, read_run, restore_run, settings_of, write_run
from jaxgen.types import GenerativeModel, State

__all__ = ["Config", "Experiment", "main"]


@dataclass(frozen=True)
class Config:
    """Settings of a run; an experiment adds its own."""

    source: str = "digits"
    """`digits`, `tfds:NAME` or `folder:PATH`."""
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
            counts = ("steps", "batch_size", "image_size", "mesh", "latent", "width")
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
    build:     (config, data set) -> model; of the data set only `example` and `label_names` are read
    evaluator: (config, model, train, test) -> a function of a state that gives figures by name
    pictures:  (config, model, state, test, folder) writes PNGs
    best:      the figure by which the best checkpoint is kept, and whether the smallest or largest is best
    """

    name: str
    presets: Mapping[str, Config]
    build: Callable[[Any, Dataset], GenerativeModel]
    evaluator: Callable[[Any, Any, Dataset, Dataset], Callable[[State], dict[str, float]]]
    pictures: Callable[[Any, Any, State, Dataset, Path], None]
    doc: str = ""
    best: str | None = None
    mode: Literal["min", "max"] = "min"

    @property
    def script(self) -> str:
        """What follows `python -m`."""
        return f"experiments.{self.name}"

    @property
    def help(self) -> str:
        presets = ", ".join(self.presets)
        return f"{self.doc}\n\nPresets: {presets}. Commands on a run: sample, evaluate, report (each with --help)."


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> None:
    """Runs the command line `argv`, by default the process's.

    A user's mistake is one line on stderr and exit code 2; NaN exits with 1, a signal with 128 + its number.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    commands = {"train": train, "sample": sample, "evaluate": evaluate, "report": report}
    warnings.showwarning = lambda message, *_: print(f"warning: {one_line(message)}", file=sys.stderr)
    use_compilation_cache()
    try:
        command = commands[args.pop(0)] if args and args[0] in commands else train
        command(experiment, args[:])
    except ValueError as error:
        stop(2, f"error: {one_line(error)}")
    except NonFinite as error:
        stop(1, f"stopped at {error}; the checkpoints before it are kept")
    except Interrupted as signalled:
        stop(
            128 + signalled.signum, f"{signalled}, which is saved; go on with:\n  {_command(experiment, args)} --resume"
        )
    except KeyboardInterrupt:
        stop(130, "stopped at once; what is checkpointed can be resumed")


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
        check_same(config, stored, run)
    elif run.exists() and any(run.iterdir()):
        if not options.overwrite:
            raise ValueError(f"{run} exists: choose --resume, --overwrite or another --run")
        if not (run / "config.json").exists():
            raise ValueError(f"{run} is not the folder of a run (no config.json): not overwritten")
    _use_devices(config)
    training, test = _load(config)
    model = experiment.build(config, training)
    mesh = data_mesh(config.mesh)
    jax.eval_shape(model.init, jax.random.key(0), training.spec(1))  # what does not fit says so before anything is lost
    training.spec(config.batch_size * getattr(model, "minibatches", 1))
    if options.overwrite and run.exists():
        shutil.rmtree(run)
    run.mkdir(parents=True, exist_ok=True)
    write_run(experiment, run, config, training)

    figures_of = experiment.evaluator(config, model, training, test)
    figures: dict[str, float] = {}

    def evaluate_state(state):
        figures.update(figures_of(state))
        return figures

    state = fit(
        model,
        training,
        steps=config.steps,
        batch_size=config.batch_size,
        seed=config.seed,
        run=run,
        resume=options.resume,
        mesh=mesh,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        eval_every=config.eval_every,
        evaluate=evaluate_state,
        draw=_drawer(model, training),
        best=experiment.best,
        mode=experiment.mode,
    )
    figures = figures or figures_of(state)  # a run that was complete already
    _finish(experiment, run, config, model, state, test, figures)


def sample(experiment: Experiment, args: list[str]) -> None:
    """A grid of samples of a run, one row a label for a conditional model."""

    @dataclass(frozen=True)
    class Sample:
        run: Path
        """The folder of the run."""
        n: int = 64
        """How many images; of a conditional model a multiple of the number of labels."""
        out: Path | None = None
        """The PNG to write; default: samples.png in the run folder."""
        seed: int = 0
        """Of the latents."""
        labels: tuple[int, ...] = ()
        """The classes to sample, each once; default: all."""
        checkpoint: int | None = None
        """The step to use; default: the newest."""

    options = parse(Sample, args, f"{experiment.script} sample", sample.__doc__)
    config, data = read_run(experiment, options.run)
    model, state, step = restore_run(experiment, options.run, config, data, options.checkpoint)
    if options.n < 1:
        raise ValueError(f"--n {options.n}: at least 1 is needed")
    classes = getattr(model, "classes", 0)
    labels = options.labels or tuple(range(classes))
    if options.labels and not classes:
        raise ValueError("--labels: this run's model is unconditional")
    if len(labels) > classes or len(set(labels)) < len(labels):
        raise ValueError(f"--labels {' '.join(map(str, labels))}: each of the {classes} classes can be named once")
    for label in labels:
        if not 0 <= label < classes:
            raise ValueError(f"--labels {label}: this run's labels are 0 to {classes - 1}")
    if labels and options.n % len(labels):
        if options.labels:
            raise ValueError(f"--n {options.n}: a multiple of the {len(labels)} labels is needed")
        labels = labels[: options.n]  # the default: as many whole rows as n images make
    columns = options.n // len(labels) if labels else math.isqrt(options.n - 1) + 1
    n = columns * len(labels) if labels else options.n
    extra = {"label": jnp.repeat(jnp.array(labels, jnp.int32), columns)} if labels else {}
    images = jax.jit(model.sample, static_argnums=2)(state, jax.random.key(options.seed), n, **extra)
    out = options.out or options.run / "samples.png"
    save_image(out, image_grid(images, columns))
    print(f"{n} samples of step {step}: {out}")


def evaluate(experiment: Experiment, args: list[str]) -> None:
    """The figures of a run on the test set; flags of the config replace the run's (another source, more samples)."""
    folder = find_run(args)
    stored = read_run(experiment, folder)[0] if folder else next(iter(experiment.presets.values()))

    @dataclass(frozen=True)
    class Evaluate:
        run: Path
        """The folder of the run."""
        config: Annotated[type(stored), tyro.conf.arg(name="")] = stored
        checkpoint: int | None = None
        """The step to use; default: the newest."""

    options = parse(Evaluate, args, f"{experiment.script} evaluate", evaluate.__doc__)
    folder = options.run
    _, trained_on = read_run(experiment, folder)
    _use_devices(dataclasses.replace(options.config, mesh=1))
    training, test = _load(options.config)
    check_data(options.config, training, trained_on)
    model, state, step = restore_run(experiment, folder, options.config, training, options.checkpoint)
    figures = experiment.evaluator(options.config, model, training, test)(state)
    (folder / "evaluation.json").write_text(json.dumps({"step": step, **figures}, indent=2) + "\n")
    print(f"step {step}")
    _print_figures(figures)


def report(experiment: Experiment, args: list[str]) -> None:
    """The pictures of a run, and a page that shows them with the settings and the figures."""

    @dataclass(frozen=True)
    class Report:
        run: Path
        """The folder of the run."""

    run = parse(Report, args, f"{experiment.script} report", report.__doc__).run
    config, _ = read_run(experiment, run)
    training, test = _load(config)
    model, state, _ = restore_run(experiment, run, config, training, None)
    _finish(
        experiment,
        run,
        config,
        model,
        state,
        test,
        experiment.evaluator(config, model, training, test)(state),
    )


def _finish(experiment, run: Path, config, model, state, test, figures: dict[str, float]) -> None:
    """Pictures, page, and the last lines: figures, where the pictures are, what to do next."""
    save_image(run / "samples.png", _drawer(model, test)(state))
    experiment.pictures(config, model, state, test, run)
    plot_curves(run / "curves.png", read_metrics(run))
    write_page(run, f"{experiment.name}, step {int(state.step)}", settings_of(config), figures)
    _print_figures(figures)
    pictures = sorted(path.name for path in run.glob("*.png"))
    print(f"pictures  {run}/ {' '.join(pictures)} report.html")
    print(f"go on     python -m {experiment.script} --run {run} --resume --steps {2 * config.steps}")
    print(f"sample    python -m {experiment.script} sample --run {run} --n 64 --out grid.png")


def _print_figures(figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):32} {value:.4g}")


def _drawer(model, data) -> Callable[[State], np.ndarray]:
    """A function of a state that draws samples from the same latents each time, one row a class."""
    classes = getattr(model, "classes", 0)
    columns = 8
    labels = {"label": jnp.repeat(jnp.arange(classes, dtype=jnp.int32), columns)} if classes else {}
    draw = jax.jit(partial(model.sample, n=columns * (classes or 8)))
    return lambda state: image_grid(draw(state, jax.random.key(0), **labels), columns)


def _load(config: Config) -> tuple[Dataset | StreamedDataset, Dataset | StreamedDataset]:
    options = {name: getattr(config, name) for name in ("image_size", "channels", "flip", "corrupt")}
    return load(config.source, "train", **options), load(config.source, "test", **options)


def _use_devices(config: Config) -> None:
    cores = os.cpu_count() or 1
    count = config.mesh
    if count is None and config.convolutional:
        count = max(n for n in range(1, cores + 1) if config.batch_size % n == 0)
    use_cpu_devices(count or 1)


def _command(experiment: Experiment, args: list[str]) -> str:
    shown = [a for a in args if a not in ("--resume", "--overwrite")]
    return " ".join(["python -m", experiment.script, *shown])
