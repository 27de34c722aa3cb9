"""The training loop, one for all models: compiled chunks of steps, logs, pictures, checkpoints, exact resume.

state = fit(model, load("digits"), steps=2000, batch_size=64, run=Path("runs/mine"))
"""

import itertools
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.report import save_image
from jaxgen.sharding import data_mesh, place, replicated, sharded
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.logging import Logger
from jaxgen.training.population import members, over_members, summary
from jaxgen.types import State, Trainable

__all__ = ["Interrupted", "NonFinite", "abstract_state", "fit", "phases_of"]

STREAM_BYTES = 64 << 20  # of one chunk of a streamed data set, on the host and on the device


class Interrupted(Exception):
    """SIGINT or SIGTERM stopped the run after `step`, which is saved where the run has a folder."""

    def __init__(self, signum: int, step: int, saved: bool = True):
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}{', which is saved' * saved}")
        self.signum, self.step = signum, step


class NonFinite(ArithmeticError):
    """A metric or a parameter became NaN or infinite."""


def fit(
    model: Trainable | Callable[[Any], Trainable],
    dataset: Dataset | StreamedDataset,
    *,
    steps: int,
    batch_size: int,
    seed: int | Sequence[int] = 0,
    sweep: Any = None,
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
            of them in one step. The phases of a model that has them are compiled when they are reached.
        seed: of the parameters, the noise and the order of the data. Several seeds train a population: one run of each,
            side by side in one program, the members shared over the mesh. Its state has a leading axis over the
            members (`jaxgen.training.members` takes it apart), its metrics and figures are means over them, with
            standard deviations under the name with `_std`.
        sweep: hyperparameters of a population: an array, or a pytree of them, with one value for each of `seed` (which
            may repeat). `model` is then a function from a member's values to its model, which must not let them change
            a shape or what `init` returns:

                fit(lambda beta: replace(vae, beta=beta), data, seed=[0, 0], sweep=jnp.array([1.0, 4.0]), ...)

        run: the folder for `metrics.jsonl`, TensorBoard events, `samples/` and `checkpoints/`; None keeps nothing.
        resume: go on from the newest good checkpoint of `run`.
        mesh: the devices; by default all, as one `data` axis.
        log_every, checkpoint_every, eval_every: in steps. At each of these, and at the end, one line of metrics is
            written, the mean over the steps since the line before. 0: only at the end.
        evaluate: figures of a state (of one member), every `eval_every` steps and at the end.
        draw: a picture (h, w, c) uint8 of a state (of the first member), drawn as often.
        best, mode: the figure of `evaluate` by which the best checkpoint is kept.
        progress: show a progress bar, or lines where there is no terminal.

    Raises:
        ValueError: a batch larger than the data or not divisible by the devices; members not divisible by the
            devices, or on streamed data; a run that cannot be resumed.
        NonFinite: a metric or a parameter became NaN or infinite; the last checkpoint is good.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    mesh = data_mesh() if mesh is None else mesh
    population = not isinstance(seed, int)
    shared, what = (len(seed), "population") if population else (batch_size, "batch size")
    if not shared or shared % mesh.size:
        raise ValueError(f"{what} {shared}: it must be a multiple of the {mesh.size} devices of the mesh")
    if population and not isinstance(dataset, Dataset):
        raise ValueError(f"a population of {len(seed)} seeds needs data in memory; {dataset.name} is streamed")
    model_of = (lambda _: model) if sweep is None else model
    if sweep is not None:
        if not population or any(np.shape(x)[:1] != (len(seed),) for x in jax.tree.leaves(sweep)):
            raise ValueError(
                f"sweep of shape {jax.tree.map(np.shape, sweep)}: a value for each of several seeds is needed"
            )
        model = model_of(jax.tree.map(lambda x: x[0], sweep))
    phases = phases_of(model)
    ends = [*itertools.accumulate(phase.steps for phase in phases[:-1]), steps]
    spec = dataset.spec(batch_size * max(getattr(phase, "minibatches", 1) for phase in phases))

    def due(step: int, every: int) -> bool:
        return step == steps or bool(every and step % every == 0)

    with ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(run / "checkpoints", best=best, mode=mode)) if run else None
        step = 0
        if resume and checkpoints and checkpoints.all_steps:
            state, step = checkpoints.restore(abstract_state(model, spec, mesh, len(seed) if population else None))
            checkpoints.rewind(step)
        else:
            state = _start(model, spec, mesh, seed)
        logger = stack.enter_context(Logger(run, step)) if run and jax.process_index() == 0 else None
        length = min(log_every or steps, steps) or 1
        end = step
        received = stack.enter_context(_signals())
        shown = progress and jax.process_index() == 0
        bar = tqdm(total=steps, initial=step, unit="step", disable=None if shown else True)
        stack.enter_context(bar)

        while step < steps:
            if received:
                raise Interrupted(received[0], step, saved=checkpoints is not None)
            if compiling := step == end:  # the next phase
                bar.set_description("compiling")
                phase = next(i for i, end in enumerate(ends) if step < end)
                end, examples = min(ends[phase], steps), batch_size * getattr(phases[phase], "minibatches", 1)
                chunk = _chunk(model_of, phase, sweep, dataset, dataset.spec(examples), mesh, seed, length)
                feed = _feeder(dataset, mesh, seed, examples, range(step, end), length)
            stop = min(end, *(step - step % n + n for n in (log_every, checkpoint_every, eval_every) if n))
            began, pending = time.perf_counter(), []
            with jax.set_mesh(mesh):
                for count, inputs in feed(step, stop):
                    state, metrics = chunk(state, inputs, count)
                    pending.append((count, metrics))
            values = _collect(pending, step, getattr(model, "blame", None))  # the one host sync
            rate = (stop - step) / (time.perf_counter() - began)
            step = stop

            bar.set_description("training", refresh=False)
            bar.set_postfix({"images/s": f"{rate * examples:.0f}", **_brief(values)}, refresh=False)
            bar.update(step - bar.n)
            if logger:
                logger.write(step, values | ({} if compiling else {"steps_per_second": rate}))
            figures: dict[str, float] = {}
            if due(step, eval_every):
                each = members(state) if population else [state]
                figures = summary([evaluate(one) for one in each]) if evaluate else {}
                picture = draw(each[0]) if draw else None
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


def abstract_state(
    model: Trainable, spec: Mapping[str, jax.ShapeDtypeStruct], mesh: Mesh, population: int | None = None
) -> State:
    """Shapes, dtypes and shardings of the state of `model`, or of a population of it: what a checkpoint is restored
    into."""
    state = jax.eval_shape(model.init, jax.random.key(0), spec)
    leading, place = ((), replicated(mesh)) if population is None else ((population,), sharded(mesh))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype, sharding=place), state)


def _keys(seed: int | Sequence[int]) -> tuple[Any, Any]:
    """The key of the parameters and noise and the key of augmentation, of one seed or of each."""
    if isinstance(seed, int):
        return tuple(jax.random.split(jax.random.key(seed)))
    return jax.vmap(lambda s: tuple(jax.random.split(jax.random.key(s))))(jnp.array(seed, jnp.uint32))


def _start(model, spec, mesh: Mesh, seed: int | Sequence[int]) -> State:
    init = partial(model.init, batch=spec)
    if isinstance(seed, int):
        return jax.jit(init, out_shardings=replicated(mesh))(_keys(seed)[0])
    # One after the other: jaxlib 0.10 can wait for ever on a CPU for the batched QR that an orthogonal start becomes.
    return jax.jit(partial(jax.lax.map, init), out_shardings=sharded(mesh))(_keys(seed)[0])


def phases_of(model: Trainable) -> Sequence[Trainable]:
    """The models that take the steps, one after the other."""
    return getattr(model, "phases", (model,))


def _chunk(model_of, phase: int, sweep: Any, dataset, spec, mesh: Mesh, seed: int | Sequence[int], length: int):
    """The compiled loop: `chunk(state, inputs, count)` takes `count` ≤ `length` steps.

    The trip count is an argument, so one program serves every chunk, and where chunks end changes no bit.
    """

    def steps(state, augment_key, values, arrays, inputs, count):
        model = phases_of(model_of(values))[phase]

        def one(i, carry):
            state, history = carry
            batch = jax.tree.map(lambda x: x[i], inputs)
            if isinstance(dataset, Dataset):
                batch = dataset.gather(arrays, batch)
            if dataset.augment:
                batch = dataset.augment(jax.random.fold_in(augment_key, state.step), batch)
            state, metrics = model.step(state, batch)
            return state, jax.tree.map(lambda h, m: h.at[i].set(m), history, metrics)

        metrics = jax.eval_shape(model.step, state, spec)[1]
        history = jax.tree.map(lambda m: jnp.zeros((length, *m.shape), m.dtype), metrics)
        return jax.lax.fori_loop(0, count, one, (state, history))

    _, augment_key = _keys(seed)
    if isinstance(seed, int):
        compiled = jax.jit(steps, donate_argnums=0, out_shardings=replicated(mesh))
    else:
        compiled = jax.jit(over_members(steps, mesh, [0, 0, 0, None, 0, None]), donate_argnums=0)
    return lambda state, inputs, count: compiled(state, augment_key, sweep, *inputs, count)


def _feeder(dataset, mesh: Mesh, seed: int | Sequence[int], batch_size: int, steps: range, longest: int):
    """`feed(start, stop)` yields (count, inputs) for the chunks from step `start` to `stop`; the calls of a run
    follow one another through `steps`."""

    def pad(x: np.ndarray, length: int) -> np.ndarray:  # one shape, one compilation
        return np.concatenate([x, np.zeros((length - len(x), *x.shape[1:]), x.dtype)])

    if isinstance(dataset, Dataset):
        arrays = place(dict(dataset.arrays), replicated(mesh))

        def indices(seed: int, start: int, stop: int) -> np.ndarray:
            return pad(dataset.orders(seed, range(start, stop), batch_size), longest)

        def feed(start: int, stop: int) -> Iterator[tuple[int, Any]]:
            if isinstance(seed, int):
                chosen = place(indices(seed, start, stop), sharded(mesh, 1))
            else:
                chosen = place(np.stack([indices(s, start, stop) for s in seed]), sharded(mesh))
            yield stop - start, (arrays, chosen)

        return feed

    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in dataset.spec(batch_size).values())
    length = max(1, min(longest, STREAM_BYTES // size))
    batches = dataset.stream(seed, steps.start, steps.stop, batch_size)

    def stream(start: int, stop: int) -> Iterator[tuple[int, Any]]:
        for begin in range(start, stop, length):
            some = list(itertools.islice(batches, min(length, stop - begin)))
            stacked = jax.tree.map(lambda *x: pad(np.stack(x), length), *some)
            yield len(some), ({}, place(stacked, sharded(mesh, 1)))

    return stream


def _collect(pending: list[tuple[int, dict]], step: int, blame: Callable[..., str] | None) -> dict[str, float]:
    """Mean of each metric over the steps of the chunks; NonFinite names the first step and metric that is not finite,
    and says what the model can tell of it."""
    history = [
        {name: np.atleast_2d(values)[:, :count] for name, values in jax.device_get(metrics).items()}
        for count, metrics in pending
    ]
    series = {name: np.concatenate([part[name] for part in history], axis=1) for name in history[0]}
    bad = {name: np.argwhere(~np.isfinite(x.T)) for name, x in series.items()}  # (step, member), the first step first
    if bad := {name: places[0] for name, places in bad.items() if len(places)}:
        name = min(bad, key=lambda name: bad[name][0])
        i, member = bad[name]
        whose = f" of member {member}" if len(series[name]) > 1 else ""
        why = blame({name: float(x[member, i]) for name, x in series.items()}) if blame else ""
        raise NonFinite(f"step {step + i + 1}: {name}{whose} is {series[name][member, i]}{why and f' ({why})'}")
    means = {name: x.mean(axis=1, dtype=np.float64) for name, x in series.items()}
    count = len(next(iter(means.values())))
    return summary([{name: float(mean[member]) for name, mean in means.items()} for member in range(count)])


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
