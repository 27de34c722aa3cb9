"""The training loop, one for all models: compiled chunks of steps, logs, pictures, checkpoints, exact resume.

>>> import optax
>>> from jaxgen.data import load
>>> from jaxgen.models import VAE
>>> from jaxgen.networks import MLPDecoder, MLPEncoder
>>> from jaxgen.training import fit
>>> vae = VAE(MLPEncoder(2, (8,)), MLPDecoder((8, 8, 1), (8,)), optax.adam(1e-3))
>>> state = fit(vae, load("digits"), steps=4, batch_size=16, progress=False)
>>> state = fit(vae, load("digits"), steps=8, batch_size=16, progress=False, state=state)  # goes on for four steps
>>> int(state.step)
8

With `run=Path("runs/mine")` everything is kept in a folder, and the same call with `resume=True` goes on from there. A
population trains several seeds, or several values of a hyperparameter, side by side:

    states = fit(lambda beta: replace(vae, beta=beta), data, seed=[0, 0], sweep=jnp.array([1.0, 4.0]), ...)
    [first, second] = jaxgen.training.members(states)
"""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgen.data.dataset import Dataset, StreamedDataset
from jaxgen.sharding import data_mesh
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.logging import Kind, Logger, MetricLogger, as_logger
from jaxgen.training.population import members, summary
from jaxgen.training.program import NonFinite, Program, all_finite, minibatches_of, phases_of
from jaxgen.training.progress import Progress
from jaxgen.training.signals import stop_signals
from jaxgen.training.states import abstract_state, assemble, check_same, forms, to_host
from jaxgen.types import State, Trainable

__all__ = ["Interrupted", "NonFinite", "abstract_state", "fit", "minibatches_of", "phases_of"]


class Interrupted(Exception):
    """SIGINT or SIGTERM stopped the run after `step`.

    Its `state` is the state after that step, so that a run without a folder loses nothing: `fit(..., state=...)` goes
    on from it. `signum` is the number of the signal, and the message says whether the step is saved.
    """

    def __init__(self, signum: int, step: int, saved: bool = True, state: State | None = None) -> None:
        end = "which is saved" if saved else "which is not saved: the state of this exception holds it"
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}, {end}")
        self.signum: int = signum
        self.step: int = step
        self.saved: bool = saved
        self.state: State | None = state


def fit(
    model: Trainable | Callable[[Any], Trainable],
    dataset: Dataset | StreamedDataset,
    *,
    steps: int,
    batch_size: int,
    seed: int | Sequence[int] = 0,
    sweep: Any = None,
    state: State | None = None,
    run: str | Path | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
    log_every: int = 100,
    checkpoint_every: int = 1000,
    eval_every: int = 0,
    evaluate: Callable[[State], Mapping[str, float]] | None = None,
    draw: Callable[[State], np.ndarray] | None = None,
    best: str | None = None,
    mode: Literal["min", "max"] = "min",
    logger: MetricLogger | Callable[[int, Mapping[str, float]], None] | None = None,
    progress: bool = True,
) -> State:
    """Trains `model` up to step `steps` and returns its state.

    The run is a pure function of the model, the data and `seed`: interrupted anywhere and continued, it ends with the
    same state bit for bit.

    Args:
        batch_size: examples of a minibatch. A model that is `Minibatched` takes several of them in one step.
        seed: decides the parameters, the noise and the order of the data. Several seeds train a population side by
            side, its members shared over the mesh. Its state has a leading axis over the members; its metrics and
            figures are means over them, with standard deviations under the name with `_std`.
        sweep: hyperparameters of a population: a pytree of arrays with one value for each of `seed`, which may repeat.
            `model` is a function of a member's values, which may change no shape and nothing that `init` returns.
        state: the state to start from, which stays usable. The data go on from its step; with the same `seed` the end
            is that of one run. By default the state is a new one.
        run: the folder for `metrics.jsonl`, `tensorboard/`, `samples/` and `checkpoints/`; None keeps nothing.
        resume: go on from the newest good checkpoint of `run`, or where there is none, start as without it.
        mesh: the devices; by default all, as one `data` axis.
        log_every, checkpoint_every, eval_every: numbers of steps, 0 for the end alone. At the multiples of each, and
            at the end, one record is written: the means of the metrics over the steps since the record before.
        evaluate: gives figures of a state (of each member), every `eval_every` steps and at the end.
        draw: gives a picture (h, w, c) uint8 of a state (of the first member) as often.
        best, mode: the figure of `evaluate` by which the best checkpoint is kept, and whether less or more is better.
        logger: receives all metrics, figures and pictures besides `run`. What it raises ends the run and comes out of
            this function; the checkpoints before it are kept.
        progress: show a progress bar, or lines where there is neither a terminal nor a notebook.

    Raises:
        ValueError: a batch that the data or the mesh cannot have, or such a population; a state of another model; a
            folder with a later checkpoint, without `resume`.
        NonFinite: a metric or a parameter became NaN or infinite; the last checkpoint is good.
        Interrupted: SIGINT or SIGTERM; it carries the state, which is saved where there is a `run`.
    """
    length = min(log_every or steps, steps) or 1
    mesh, run = data_mesh() if mesh is None else mesh, Path(run) if run else None
    program = Program(model, dataset, steps, batch_size, seed, sweep, mesh, length)
    with ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(run / "checkpoints", best=best, mode=mode)) if run else None
        state, step = _start(program, state, checkpoints, resume)
        intervals = _Intervals(steps, log_every, checkpoint_every, eval_every)
        log = stack.enter_context(_Log(run, step, logger))
        received = stack.enter_context(stop_signals())
        bar = stack.enter_context(Progress(steps, step, progress and jax.process_index() == 0))
        return _Loop(program, intervals, checkpoints, log, bar, received, evaluate, draw).run(state, step)


def _start(program: Program, state: State | None, checkpoints: Checkpoints | None, resume: bool) -> tuple[State, int]:
    """The state with which a run begins, and its step: from a checkpoint, from a copy of `state`, or a new one."""
    latest = checkpoints.latest_step if checkpoints else None
    if checkpoints and latest is not None and resume:
        restored, step = checkpoints.restore(program.abstract_state())
        checkpoints.rewind(step)
        return restored, step
    step = 0 if state is None else int(np.ravel(jax.device_get(state.step))[0])
    if checkpoints and latest is not None and latest > step:
        raise ValueError(f"{checkpoints.folder} has step {latest} already: resume that run, or use another folder")
    if state is None:
        return program.initial_state(), step
    target = program.abstract_state()
    check_same(forms(state), forms(target), "the state to start from")
    # The loop donates its state: it gets a copy, which moves to the mesh of the run by way of the host.
    return assemble(to_host(state), target), step


@dataclass(frozen=True)
class _Intervals:
    """When something is due, in steps; an interval of 0 is due at the end alone."""

    steps: int
    log: int
    checkpoint: int
    evaluation: int

    def due(self, step: int, every: int) -> bool:
        return step == self.steps or bool(every and step % every == 0)

    def next(self, step: int, end: int) -> int:
        """Returns the first step after `step` at which anything is due, `end` at the latest."""
        return min(end, *(step - step % n + n for n in (self.log, self.checkpoint, self.evaluation) if n))


class _Log:
    """Everything that a run reports to: its folder, and the logger of the user. Where there are several processes, only
    the first reports."""

    def __init__(
        self,
        run: Path | None,
        step: int,
        logger: MetricLogger | Callable[[int, Mapping[str, float]], None] | None,
    ):
        first = jax.process_index() == 0
        self._other = as_logger(logger) if logger is not None and first else None
        self._own = Logger(run, step) if run and first else None

    def write(self, step: int, kind: Kind, values: Mapping[str, float]) -> None:
        if self._own:
            self._own.write(step, values, kind)
        if self._other:
            self._other.write(step, values)

    def image(self, step: int, picture: np.ndarray) -> None:
        for logger in (self._own, self._other):
            if logger:
                logger.image("samples", step, picture)

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._own.close()


@dataclass(frozen=True)
class _Loop:
    """The loop of one run, and what it does between two chunks of steps."""

    program: Program
    intervals: _Intervals
    checkpoints: Checkpoints | None
    log: _Log
    progress: Progress
    received: list[int]  # signals
    evaluate: Callable[[State], Mapping[str, float]] | None
    draw: Callable[[State], np.ndarray] | None

    def run(self, state: State, step: int) -> State:
        """Takes the steps that are left."""
        intervals, stage = self.intervals, None
        while step < intervals.steps:
            if self.received:
                raise Interrupted(self.received[0], step, self._is_saved(step), state)
            compiling = False
            if stage is None or step == stage.end:
                self.progress.compiling()
                stage, compiling = self.program.stage(step), True
            began = time.perf_counter()
            stop = intervals.next(step, stage.end)
            state, metrics = stage.advance(state, step, stop)
            rate = (stop - step) / (time.perf_counter() - began)
            step = stop
            self.progress.advance(step, rate * stage.examples, metrics)
            self.log.write(step, "train", metrics | ({} if compiling else {"steps_per_second": rate}))
            figures = self._look(state, step) if intervals.due(step, intervals.evaluation) else {}
            due = intervals.due(step, intervals.evaluation or intervals.checkpoint)
            self.progress.line(step, metrics | figures, due)
            if intervals.due(step, intervals.checkpoint) or self.received:
                self._save(state, step, figures)
        return state

    def _look(self, state: State, step: int) -> dict[str, float]:
        """Evaluates and draws the state, reports both, and returns the figures."""
        each = members(state) if self.program.members is not None else [state]
        figures = summary([self.evaluate(one) for one in each]) if self.evaluate else {}
        picture = self.draw(each[0]) if self.draw else None
        if figures:
            self.log.write(step, "evaluation", figures)
        if picture is not None:
            self.log.image(step, picture)
        return figures

    def _save(self, state: State, step: int, figures: Mapping[str, float]) -> None:
        if self.checkpoints:
            if not all_finite(state):
                raise NonFinite(f"step {step}: a parameter is NaN or infinite")
            self.checkpoints.save(step, state, figures)

    def _is_saved(self, step: int) -> bool:
        return self.checkpoints is not None and self.checkpoints.latest_step == step
