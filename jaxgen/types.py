"""The vocabulary that the whole library shares: batches, metrics, states, and what a model can do.

A model is a frozen dataclass whose methods are pure functions; it inherits from nothing. The protocols below name the
methods that the rest of the library calls. `Trainable` is all that `jaxgen.fit` needs. The others are optional
abilities: a model has one by having its method or property.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, Int, Key

__all__ = [
    "Batch",
    "Blaming",
    "GenerativeModel",
    "Label",
    "Metrics",
    "Minibatched",
    "Phase",
    "Staged",
    "State",
    "Trainable",
]

Batch = Mapping[str, Any]
"""Arrays of JAX or NumPy, or for `init` their shapes (`jax.ShapeDtypeStruct`), with one leading batch axis.

The keys are `image` (uint8, NHWC), and where they exist `label` (int32) and `attributes` (int32, 0 or 1). Paired images
are `source` and `target`, two unpaired domains `a` and `b`.
"""

Label = Int[Array, "b"] | None
"""The class of each example, from 0; None where the model is unconditional."""

Metrics = dict[str, Array]
"""Scalars by name, as `step` returns them."""

State = Any
"""A `flax.struct.PyTreeNode` that holds everything a run needs to go on; it has a field `step`."""


@runtime_checkable
class Trainable(Protocol):
    """The methods of a model that `jaxgen.fit` calls.

    `init` accepts arrays or `jax.ShapeDtypeStruct`s and reads only shapes, so `jax.eval_shape(model.init, key, batch)`
    describes the state without allocating it.
    """

    def init(self, key: Key[Array, ""], batch: Batch) -> State:
        """Returns the state before the first step."""
        ...

    def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """Takes one training step. The same state and batch give the same result, bit for bit."""
        ...


@runtime_checkable
class GenerativeModel(Trainable, Protocol):
    """A model that also samples."""

    def sample(self, state: State, key: Key[Array, ""], n: int) -> Float[Array, "n ..."]:
        """Draws n samples in the model's domain: [-1, 1] for images."""
        ...


@runtime_checkable
class Minibatched(Protocol):
    """A model whose step takes several minibatches, such as the k discriminator steps of a GAN."""

    @property
    def minibatches(self) -> int:
        """The number of minibatches in the batch of one step."""
        ...


class Phase(Trainable, Protocol):
    """A model that takes a known number of steps of a longer training."""

    @property
    def steps(self) -> int:
        """The number of steps of the phase."""
        ...


@runtime_checkable
class Staged(Protocol):
    """A model that is trained in phases, one after the other (progressive growing, the scales of SinGAN)."""

    @property
    def phases(self) -> Sequence[Phase]:
        """The models that take the steps, in order. All have the same state."""
        ...


@runtime_checkable
class Blaming(Protocol):
    """A model that can tell from the metrics of a step why they are not finite."""

    def blame(self, metrics: Mapping[str, float]) -> str:
        """Names the cause, or returns an empty string where it is not known."""
        ...
