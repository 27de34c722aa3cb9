"""The command `train`: trains a model, evaluates it, and draws its pictures."""

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.cli.config import settings_of
from jaxgen.cli.experiment import Experiment
from jaxgen.cli.flags import parse, parse_known
from jaxgen.cli.folder import begin, check_same, claim
from jaxgen.cli.process import mesh_of, use_devices
from jaxgen.cli.report import draw_report, figures_of, picture_of
from jaxgen.cli.run import open_run, read_run, write_run
from jaxgen.evaluation import Evaluation, Evaluator
from jaxgen.evaluation.diagnosis import diagnose
from jaxgen.training import fit, members, minibatches_of, phases_of, read_metrics
from jaxgen.types import Staged, State, Trainable

__all__ = ["train"]


@dataclass(frozen=True)
class RunOptions:
    """The flags of `train` beside the config."""

    run: Path
    """The folder of the run."""
    resume: bool = False
    """Go on from the run's newest good checkpoint, with its settings."""
    overwrite: bool = False
    """Delete what the run folder holds and start afresh."""
    init_from: Path | None = None
    """The folder of a run whose parameters the new run starts with; its optimisers start afresh."""


def train(experiment: Experiment, args: list[str]) -> None:
    """Trains a preset, or goes on with a run; then evaluates and draws."""
    options, config = _chosen(experiment, args)
    run = options.run
    use_devices(config)
    data = experiment.load(config)
    model = experiment.build(config, data[0])
    mesh = mesh_of(config)
    _trace(model, data[0], config.batch_size)
    start = _start(options.init_from, model, data[0], config) if options.init_from else None
    evaluator = experiment.evaluator(config, model, *data)
    # What does not fit has raised by now, so nothing is lost.
    begin(run, options.overwrite)
    watch = _Watch(evaluator, run if experiment.diagnosed and config.seeds == 1 else None, data[0].label_names)
    write_run(experiment, run, config, data[0])
    draw = experiment.sampling.of(config).picture(model, lambda: data)

    state = fit(
        model,
        data[0],
        steps=config.steps or sum(phase.steps for phase in (model.phases if isinstance(model, Staged) else ())),
        batch_size=config.batch_size,
        seed=config.seed if config.seeds == 1 else range(config.seed, config.seed + config.seeds),
        run=run,
        resume=options.resume,
        state=start,
        mesh=mesh,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        eval_every=config.eval_every,
        evaluate=watch,
        draw=lambda state: picture_of(draw(state)),
        best=experiment.best,
        mode=experiment.mode,
    )
    states = [state] if config.seeds == 1 else members(state)
    evaluations = watch.made[-len(states) :] or [evaluator(state) for state in states]
    if evaluations[-1].extractor:
        write_run(experiment, run, config, data[0], evaluations[-1].extractor)
    draw_report(experiment, run, config, model, states[0], data, figures_of(evaluations))


def _chosen(experiment: Experiment, args: list[str]) -> tuple[RunOptions, Any]:
    """The flags, and the config: a preset with the flags, or of a run that goes on its own with them."""
    import tyro

    given, args = ([args[0]], args[1:]) if args and not args[0].startswith("-") else ([], args)
    first = next(iter(experiment.presets))
    preset = given[0] if given else first
    base = experiment.preset(preset)
    folder = Path("runs") / (experiment.name if preset == first else f"{experiment.name}-{preset}")
    known, _ = parse_known(RunOptions, args, experiment.program, default=RunOptions(folder), add_help=False)
    record = claim(known.run, known.resume, known.overwrite)
    if record is not None and known.init_from:
        raise ValueError("--resume and --init-from: choose one")
    stored = read_run(experiment, known.run)[0] if record is not None else None

    kind, default = type(base), base if stored is None or given else stored

    @dataclass(frozen=True)
    class Train(RunOptions):
        run: Path = folder
        config: Annotated[kind, tyro.conf.arg(name="")] = default  # pyright: ignore[reportInvalidTypeForm]

    options = parse(Train, args, experiment.program, experiment.help)
    config = options.config
    if stored is not None:
        check_same(settings_of(config), settings_of(stored), options.run)
        longer, _ = read_run(experiment, options.run, steps=config.steps)
        moved = {name: x for name, x in vars(longer).items() if x != getattr(stored, name) and name != "steps"}
        config = dataclasses.replace(config, **moved)
    return options, config


def _trace(model: Trainable, data: Any, batch_size: int) -> None:
    """Traces a step of each phase without computing it, so that what does not fit raises before anything is written."""
    for phase in phases_of(model):
        spec = data.spec(batch_size * minibatches_of(phase))
        jax.eval_shape(lambda batch, phase=phase: phase.step(phase.init(jax.random.key(0), batch), batch), spec)


def _start(path: Path, model: Trainable, data: Any, config: Any) -> State:
    """The state of a new run with the parameters of the run in `path`: all leaves but its step, its key and those of
    its optimisers."""
    if config.seeds > 1:
        raise ValueError(f"--init-from, --seeds {config.seeds}: a population cannot start from one run")
    source = open_run(path).state
    spec = {name: jax.ShapeDtypeStruct((1, *x.shape), x.dtype) for name, x in data.example.items()}
    fresh = jax.jit(lambda key: model.init(key, spec))(jax.random.key(config.seed))
    known = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(source)}
    differing = []

    def chosen(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if "optimiser" in name or name in (".step", ".key"):
            return leaf
        if name not in known or np.shape(known[name]) != np.shape(leaf):
            differing.append(name)
            return leaf
        return jnp.asarray(known[name])

    state = jax.tree_util.tree_map_with_path(chosen, fresh)
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ValueError(f"--init-from {path}: other shapes than this run's: {', '.join(differing[:3])}{more}")
    return state


class _Watch:
    """Evaluates states; of a GAN it also warns when the diagnosis of the run so far changes to a failure."""

    def __init__(self, evaluator: Evaluator, diagnosed: Path | None, label_names: Any) -> None:
        self.evaluator, self.diagnosed, self.label_names = evaluator, diagnosed, label_names
        self.made: list[Evaluation] = []
        self.verdicts: set[str] = {"healthy"}

    def __call__(self, state: State) -> Mapping[str, float]:
        evaluation = self.evaluator(state)
        self.made.append(evaluation)
        if self.diagnosed:
            records = [*read_metrics(self.diagnosed), {"step": int(state.step), **evaluation.figures}]
            found = diagnose(records, self.label_names)
            if found.verdict not in self.verdicts:
                warnings.warn(f"step {int(state.step)}: {found}", stacklevel=1)
            self.verdicts.add(found.verdict)
        return {**evaluation.figures, **evaluation.counts}
