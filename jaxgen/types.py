"""The vocabulary that the whole library shares."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
from jaxtyping import Array, Float, Key

__all__ = ["Batch", "GenerativeModel", "Metrics", "State"]

Batch = Mapping[str, Array]
"""Arrays with one leading batch axis: `image` (uint8, NHWC), and where they exist `label` (int32), ..."""

Metrics = dict[str, Array]
"""Scalars by name, as `step` returns them."""

State = Any
"""A `flax.struct.dataclass` pytree with everything that going on needs; it has a field `step`."""


class GenerativeModel(Protocol):
    """What `jaxgen.training.fit` needs of a model: a frozen dataclass whose methods are pure functions.

    There is nothing to inherit from. `init` accepts arrays or `jax.ShapeDtypeStruct`s: only shapes are read, so
    `jax.eval_shape(model.init, key, batch)` describes the state without allocating it.
    """

    def init(self, key: Key[Array, ""], batch: Batch) -> State:
        """The state before the first step."""
        ...

    def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One training step; the same state and batch give the same result, bit for bit."""
        ...

    def sample(self, state: State, key: Key[Array, ""], n: int) -> Float[Array, "n ..."]:
        """n samples in the model's domain: [-1, 1] for images."""
        ...
