"""What a run computes: a pure function of the model, the data and the seed, compiled for chunks of steps.

Nothing in this file writes a file or looks at a clock.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool

from jaxgen.data.dataset import Dataset, StreamedDataset
from jaxgen.data.feed import Feed, feed
from jaxgen.sharding import replicated, sharded
from jaxgen.training.population import over_members, summary
from jaxgen.training.states import abstract_state
from jaxgen.types import Batch, Blaming, Metrics, Minibatched, Staged, State, Trainable

__all__ = ["NonFinite", "Program", "Stage", "all_finite", "minibatches_of", "phases_of"]


class NonFinite(ArithmeticError):
    """A metric or a parameter became NaN or infinite."""


def phases_of(model: Trainable) -> Sequence[Trainable]:
    """Returns the models that take the steps, one after the other: the model itself where it has no phases."""
    return model.phases if isinstance(model, Staged) else (model,)


def minibatches_of(model: Trainable) -> int:
    """Returns the number of minibatches that one step of the model takes."""
    return model.minibatches if isinstance(model, Minibatched) else 1


@dataclass(frozen=True)
class Stage:
    """The compiled loop of one phase of a run."""

    end: int
    """The step after which the next phase begins, or the run ends."""
    examples: int
    """The number of examples that one step takes."""
    mesh: Mesh
    """The devices of the run."""
    chunk: Callable[[State, Any, int], tuple[State, Metrics]]
    """Takes a state, what the feed gives, and the number of steps to take. Returns the state after them and each metric
    of each step, padded to one length. The state that it takes is donated."""
    feed: Feed
    """Gives the batches of the steps."""
    blame: Callable[[Mapping[str, float]], str] | None
    """Names the cause from the metrics of a step that are not finite; None where the model is not `Blaming`."""

    def advance(self, state: State, start: int, stop: int) -> tuple[State, dict[str, float]]:
        """Takes the steps from `start` to `stop`, and returns the state and the mean of each metric over them.

        This waits for the devices, once.

        Raises:
            NonFinite: a metric is not finite.
        """
        pending = []
        with jax.set_mesh(self.mesh):
            for count, inputs in self.feed(start, stop):
                state, metrics = self.chunk(state, inputs, count)
                pending.append((count, metrics))
        return state, _means(pending, start, self.blame)


@dataclass(frozen=True)
class Program:
    """The computation of a run.

    Raises:
        ValueError: the model is not one; the batch or the population cannot be shared over the devices; a population
            that cannot be one.
    """

    model: Trainable | Callable[[Any], Trainable]
    """The model, or with a `sweep` a function from a member's values to its model."""
    dataset: Dataset | StreamedDataset
    """The training data."""
    steps: int
    """The step at which the run ends."""
    batch_size: int
    """The number of examples of a minibatch."""
    seed: int | Sequence[int]
    """The seed of the run, or the seeds of a population's members."""
    sweep: Any
    """A pytree of arrays with one value for each member of a population; None where the members share the model."""
    mesh: Mesh
    """The devices, as one `data` axis."""
    longest: int
    """The largest number of steps of a chunk."""

    def __post_init__(self) -> None:
        members = self.members
        shared, what = (self.batch_size, "batch size") if members is None else (members, "population")
        if not shared or shared % self.mesh.size:
            raise ValueError(f"{what} {shared}: it must be a multiple of the {self.mesh.size} devices of the mesh")
        if members is not None and not isinstance(self.dataset, Dataset):
            raise ValueError(f"a population of {members} seeds needs data in memory; {self.dataset.name} is streamed")
        if self.sweep is not None:
            if members is None or any(np.shape(x)[:1] != (members,) for x in jax.tree.leaves(self.sweep)):
                shapes = jax.tree.map(np.shape, self.sweep)
                raise ValueError(f"sweep of shape {shapes}: a value for each of several seeds is needed")
            if not callable(self.model):
                raise ValueError("sweep: the model must be a function from a member's values to its model")
        elif not isinstance(self.model, Trainable):
            raise ValueError(f"model of type {type(self.model).__name__}: a model needs the methods `init` and `step`")

    @property
    def members(self) -> int | None:
        """The number of members of a population; None for a single run."""
        return None if isinstance(self.seed, int) else len(self.seed)

    @cached_property
    def first(self) -> Trainable:
        """The model, or that of the first member of a sweep."""
        return self._model_of(None if self.sweep is None else jax.tree.map(lambda x: x[0], self.sweep))

    @cached_property
    def spec(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes and dtypes of the largest batch of a step. ValueError for a batch larger than the data."""
        return self.dataset.spec(self.batch_size * max(map(minibatches_of, phases_of(self.first))))

    def abstract_state(self) -> State:
        """Returns the shapes, dtypes and shardings of the state."""
        return abstract_state(self.first, self.spec, self.mesh, self.members)

    def initial_state(self) -> State:
        """Returns the state before the first step, on the devices."""
        init = partial(self.first.init, batch=self.spec)
        key, _ = _keys(self.seed)
        if self.members is None:
            return jax.jit(init, out_shardings=replicated(self.mesh))(key)
        # The members come one after the other: jaxlib 0.10 can wait for ever on a CPU for the batched QR that an
        # orthogonal start becomes.
        return jax.jit(partial(jax.lax.map, init), out_shardings=sharded(self.mesh))(key)

    def stage(self, step: int) -> Stage:
        """Returns the stage that takes the step after `step`; its feed begins there."""
        phases = phases_of(self.first)
        # A phase of a model that has several knows its number of steps; the last one lasts until the run ends.
        ends = [*itertools.accumulate(phase.steps for phase in cast(Sequence[Any], phases[:-1])), self.steps]
        phase = next(i for i, end in enumerate(ends) if step < end)
        end, examples = min(ends[phase], self.steps), self.batch_size * minibatches_of(phases[phase])
        return Stage(
            end,
            examples,
            self.mesh,
            self._compile(phase, self.dataset.spec(examples)),
            feed(self.dataset, self.mesh, self.seed, examples, range(step, end), self.longest),
            self.first.blame if isinstance(self.first, Blaming) else None,
        )

    def _model_of(self, values: Any) -> Trainable:
        return cast(Any, self.model)(values) if self.sweep is not None else cast(Trainable, self.model)

    def _compile(self, phase: int, spec: Batch) -> Callable[[State, Any, int], tuple[State, Metrics]]:
        """Returns `chunk(state, inputs, count)`, which takes `count` ≤ `longest` steps of the phase.

        The number of steps is an argument, so one program serves every chunk, and where chunks end changes no bit.
        """
        dataset, length = self.dataset, self.longest

        def steps(state, augment_key, values, arrays, inputs, count):
            model = phases_of(self._model_of(values))[phase]

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

        _, augment_key = _keys(self.seed)
        if self.members is None:
            compiled = jax.jit(steps, donate_argnums=0, out_shardings=replicated(self.mesh))
        else:
            compiled = jax.jit(over_members(steps, self.mesh, [0, 0, 0, None, 0, None]), donate_argnums=0)
        return lambda state, inputs, count: compiled(state, augment_key, self.sweep, *inputs, count)


@jax.jit
def all_finite(state: State) -> Bool[Array, ""]:
    """Returns whether every floating-point number of a state is finite."""
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.array([jnp.isfinite(x).all() for x in floats]).all()


def _keys(seed: int | Sequence[int]) -> tuple[Any, Any]:
    """The key of the parameters and noise and the key of augmentation, of one seed or of each."""
    if isinstance(seed, int):
        parameters, augmentation = jax.random.split(jax.random.key(seed))
        return parameters, augmentation
    return jax.vmap(lambda s: tuple(jax.random.split(jax.random.key(s))))(jnp.array(seed, jnp.uint32))


def _means(
    pending: Sequence[tuple[int, Metrics]], step: int, blame: Callable[[Mapping[str, float]], str] | None
) -> dict[str, float]:
    """The mean of each metric over the steps of the chunks, which begin at `step`. NonFinite names the first step and
    metric that is not finite, and says what the model can tell about it."""
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
