"""Labels and times in the form in which a network reads them."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.types import Label

__all__ = ["time_embedding", "with_label"]


def with_label(x: Float[Array, "b *space c"], label: Label, classes: int) -> Float[Array, "b *space k"]:
    """Returns x with the one-hot label as further channels, the same at every pixel; x itself for 0 classes.

    Raises ValueError where there are classes and no label.
    """
    if not classes:
        return x
    if label is None:
        raise ValueError(f"label=None: a network of {classes} classes needs a label for each example")
    code = jnp.expand_dims(jax.nn.one_hot(label, classes, dtype=x.dtype), range(1, x.ndim - 1))
    return jnp.concatenate([x, jnp.broadcast_to(code, (*x.shape[:-1], classes))], axis=-1)


def time_embedding(time: Float[Array, "b"], features: int) -> Float[Array, "b e"]:
    """Returns sines and cosines of the time at frequencies from 1 down to 1e-4, which is how Vaswani et al. (2017,
    section 3.5) embed a position. `features`, their number, is even."""
    half = features // 2
    angles = time[:, None] * jnp.exp(-math.log(10_000) / max(half - 1, 1) * jnp.arange(half))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
