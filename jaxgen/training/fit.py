"""The training loop, one for all models: compiled chunks of steps, logs, pictures, checkpoints, exact resume.

state = fit(model, load("digits"), steps=2000, batch_size=64, run=Path("runs/mine"))
"""

import itertools
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from jaxgen.data import Dataset, StreamedDataset, orders
from jaxgen.report import save_image
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.logging import Logger
from jaxgen.training.mesh import data_mesh, place, replicated, sharded
from jaxgen.types import State, Trainable

__all__ = ["Interrupted", "NonFinite", "abstract_state", "fit"]

STREAM_BYTES = 64 << 20  # of one chunk of a streamed data set, on the host and on the device


class Interrupted(Exception):
    """SIGINT or SIGTERM stopped the run after `step`, which is saved."""

    def __init__(self, signum: int, step: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}")
        self.signum, self.step = signum, step


class NonFinite(ArithmeticError):
    """A metric or a parameter became NaN or infinite."""


def fit(
    model: Trainable,
    dataset: Dataset | StreamedDataset,
    *,
    steps: int,
    batch_size: int,
    seed: int = 0,
    run: Path | None = None,
    resume: bool = False,
    mesh: Mesh | None = None,
    log_every: int = 100,
    checkpoint_every: int = 1000,
    eval_every: int = 0,
    evaluate: Callable[[State], Mapping[str, float]] | None = None,
    draw: Callable[[State], np.ndarray] | None = None,
    best: str | None = None,
    mode: Literal["min", "max"] = "min",
    progress: bool = True,
) -> State:
    """Trains `model` for `steps` steps and returns its state.

    The run is a pure function of the model, the data and `seed`: interrupted anywhere and resumed, it ends with the
    same state bit for bit.

    Args:
        batch_size: examples of a minibatch; a model with `minibatches` (a GAN's k discriminator steps) takes so many
            of them in one step.
        run: the folder for `metrics.jsonl`, TensorBoard events, `samples/` and `checkpoints/`; None keeps nothing.
        resume: go on from the newest good checkpoint of `run`.
        mesh: the devices; by default all, as one `data` axis.
        log_every, checkpoint_every, eval_every: in steps. At each of these, and at the end, one line of metrics is
            written, the mean over the steps since the line before. 0: only at the end.
        evaluate: figures of a state, every `eval_every` steps and at the end.
        draw: a picture (h, w, c) uint8 of a state, drawn as often.
        best, mode: the figure of `evaluate` by which the best checkpoint is kept.
        progress: show a progress bar, or lines where there is no terminal.

    Raises:
        ValueError: a batch larger than the data or not divisible by the devices; a run that cannot be resumed.
        NonFinite: a metric or a parameter became NaN or infinite; the last checkpoint is good.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    mesh = data_mesh() if mesh is None else mesh
    if batch_size % mesh.size:
        raise ValueError(f"batch size {batch_size}: it must be a multiple of the {mesh.size} devices of the mesh")
    batch_size *= getattr(model, "minibatches", 1)
    spec = dataset.spec(batch_size)
    init_key, augment_key = jax.random.split(jax.random.key(seed))

    def due(step: int, every: int) -> bool:
        return step == steps or bool(every and step % every == 0)

    with ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(run / "checkpoints", best=best, mode=mode)) if run else None
        step = 0
        if resume and checkpoints and checkpoints.all_steps:
            state, step = checkpoints.restore(abstract_state(model, spec, mesh))
            checkpoints.rewind(step)
        else:
            state = jax.jit(lambda key: model.init(key, spec), out_shardings=replicated(mesh))(init_key)
        logger = stack.enter_context(Logger(run, step)) if run and jax.process_index() == 0 else None
        length = min(log_every or steps, steps) or 1
        chunk = _chunk(model, dataset, spec, mesh, augment_key, length)
        feed = _feeder(dataset, mesh, seed, batch_size, range(step, steps), length)
        received = stack.enter_context(_signals())
        shown = progress and jax.process_index() == 0
        bar = tqdm(total=steps, initial=step, unit="step", disable=None if shown else True, desc="compiling")
        stack.enter_context(bar)
        compiling = True

        while step < steps:
            if received:
                raise Interrupted(received[0], step)
            stop = min(steps, *(step - step % n + n for n in (log_every, checkpoint_every, eval_every) if n))
            began, pending = time.perf_counter(), []
            with jax.set_mesh(mesh):
                for count, inputs in feed(step, stop):
                    state, metrics = chunk(state, inputs, count)
                    pending.append((count, metrics))
            values = _collect(pending, step)  # the one host sync
            rate = (stop - step) / (time.perf_counter() - began)
            step = stop

            bar.set_description("training", refresh=False)
            bar.set_postfix({"images/s": f"{rate * batch_size:.0f}", **_brief(values)}, refresh=False)
            bar.update(step - bar.n)
            if logger:
                logger.write(step, values | ({} if compiling else {"steps_per_second": rate}))
            compiling = False
            figures: dict[str, float] = {}
            if due(step, eval_every):
                figures = dict(evaluate(state)) if evaluate else {}
                picture = draw(state) if draw else None
                if logger:
                    if figures:
                        logger.write(step, figures)
                    if picture is not None:
                        save_image(run / "samples" / f"{step:08d}.png", picture)
                        logger.image("samples", step, picture)
            if bar.disable and shown and due(step, eval_every or checkpoint_every):
                print(
                    f"step {step}/{steps}",
                    *(f"{k} {v:.4g}" for k, v in (values | figures).items()),
                    flush=True,
                )
            if checkpoints and (due(step, checkpoint_every) or received):
                if not _all_finite(state):
                    raise NonFinite(f"step {step}: a parameter is NaN or infinite")
                checkpoints.save(step, state, figures)
    return state


def abstract_state(model: Trainable, spec: Mapping[str, jax.ShapeDtypeStruct], mesh: Mesh) -> State:
    """Shapes, dtypes and shardings of the state of `model`: what a checkpoint is restored into."""
    state = jax.eval_shape(model.init, jax.random.key(0), spec)
    place = replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), state)


def _chunk(model, dataset, spec, mesh: Mesh, augment_key, length: int):
    """The compiled loop: `chunk(state, inputs, count)` takes `count` ≤ `length` steps.

    The trip count is an argument, so one program serves every chunk, and where chunks end changes no bit.
    """

    @partial(jax.jit, donate_argnums=0, out_shardings=replicated(mesh))
    def chunk(state, inputs, count):
        def one(i, carry):
            state, history = carry
            if isinstance(dataset, Dataset):
                arrays, indices = inputs
                batch = dataset.gather(arrays, indices[i])
            else:
                batch = jax.tree.map(lambda x: x[i], inputs)
            if dataset.augment:
                batch = dataset.augment(jax.random.fold_in(augment_key, state.step), batch)
            state, metrics = model.step(state, batch)
            return state, jax.tree.map(lambda h, m: h.at[i].set(m), history, metrics)

        metrics = jax.eval_shape(model.step, state, spec)[1]
        history = jax.tree.map(lambda m: jnp.zeros((length, *m.shape), m.dtype), metrics)
        return jax.lax.fori_loop(0, count, one, (state, history))

    return chunk


def _feeder(dataset, mesh: Mesh, seed: int, batch_size: int, steps: range, longest: int):
    """`feed(start, stop)` yields (count, inputs) for the chunks from step `start` to `stop`; the calls of a run
    follow one another through `steps`."""

    def pad(x: np.ndarray, length: int) -> np.ndarray:  # one shape, one compilation
        return np.concatenate([x, np.zeros((length - len(x), *x.shape[1:]), x.dtype)])

    if isinstance(dataset, Dataset):
        arrays = place(dict(dataset.arrays), replicated(mesh))

        def feed(start: int, stop: int) -> Iterator[tuple[int, Any]]:
            indices = pad(orders(seed, range(start, stop), batch_size, len(dataset)), longest)
            yield stop - start, (arrays, place(indices, sharded(mesh, 1)))

        return feed

    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in dataset.spec(batch_size).values())
    length = max(1, min(longest, STREAM_BYTES // size))
    batches = dataset.stream(seed, steps.start, steps.stop, batch_size)

    def stream(start: int, stop: int) -> Iterator[tuple[int, Any]]:
        for begin in range(start, stop, length):
            some = list(itertools.islice(batches, min(length, stop - begin)))
            stacked = jax.tree.map(lambda *x: pad(np.stack(x), length), *some)
            yield len(some), place(stacked, sharded(mesh, 1))

    return stream


def _collect(pending: list[tuple[int, dict]], step: int) -> dict[str, float]:
    """Mean of each metric over the steps of the chunks; NonFinite names the first step and metric that is not."""
    history = [
        {name: np.asarray(values)[:count] for name, values in jax.device_get(metrics).items()}
        for count, metrics in pending
    ]
    series = {name: np.concatenate([part[name] for part in history]) for name in history[0]}
    bad = {name: int(np.argmin(finite)) for name, x in series.items() if not (finite := np.isfinite(x)).all()}
    if bad:
        name = min(bad, key=bad.__getitem__)
        raise NonFinite(f"step {step + bad[name] + 1}: {name} is {series[name][bad[name]]}")
    return {name: float(x.mean(dtype=np.float64)) for name, x in series.items()}


@jax.jit
def _all_finite(state: State):
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.array([jnp.isfinite(x).all() for x in floats]).all()


def _brief(values: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.3g}" for name, value in values.items() if "loss" in name or name == "elbo"}


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; a second one acts as if nobody listened. Signals reach the main thread alone."""
    received: list[int] = []
    before = {}

    def restore():
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def handle(signum, frame):
        received.append(signum)
        print(
            f"\n{signal.Signals(signum).name}: stopping at the next log line; once more stops at once",
            file=sys.stderr,
        )
        restore()

    try:
        for signum in (signal.SIGINT, signal.SIGTERM):
            before[signum] = signal.signal(signum, handle)
    except ValueError:  # not the main thread
        pass
    try:
        yield received
    finally:
        restore()
