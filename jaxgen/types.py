"""The vocabulary that the whole library shares."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Key

__all__ = ["Batch", "GenerativeModel", "Metrics", "State", "Trainable"]

Batch = Mapping[str, Array | np.ndarray | jax.ShapeDtypeStruct]
"""Arrays, or for `init` their shapes, with one leading batch axis: `image` (uint8, NHWC), and where they exist `label`
(int32) and `attributes` (int32, 0 or 1); or the images `source` and `target`, which are pairs, or `a` and `b`, which
are not."""

Metrics = dict[str, Array]
"""Scalars by name, as `step` returns them."""

State = Any
"""A `flax.struct.dataclass` pytree with everything that going on needs; it has a field `step`."""


@runtime_checkable
class Trainable(Protocol):
    """What `jaxgen.training.fit` needs: a frozen dataclass whose methods are pure functions. Nothing to inherit from.

    `init` accepts arrays or `jax.ShapeDtypeStruct`s: only shapes are read, so `jax.eval_shape(model.init, key, batch)`
    describes the state without allocating it. A model whose step takes several minibatches (the k discriminator steps
    of a GAN) says how many in a property `minibatches`. One that is trained in phases (progressive growing) lists in
    `phases` the models that take the steps, one after the other and `steps` each; all have the same state. One that can
    tell from the metrics of a step why they are not finite (a flow) has a method `blame(metrics) -> str`.
    """

    def init(self, key: Key[Array, ""], batch: Batch) -> State:
        """The state before the first step."""
        ...

    def step(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One training step; the same state and batch give the same result, bit for bit."""
        ...


@runtime_checkable
class GenerativeModel(Trainable, Protocol):
    """A model that also samples."""

    def sample(self, state: State, key: Key[Array, ""], n: int) -> Float[Array, "n ..."]:
        """n samples in the model's domain: [-1, 1] for images."""
        ...
