"""The ranges of pixels: uint8 in files, in memory and in batches, and float32 in [-1, 1] inside the models."""

from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

__all__ = ["normalise", "to_uint8", "to_unit"]


@overload
def normalise(image: UInt8[Array, "..."] | Float[Array, "..."]) -> Float[Array, "..."]: ...
@overload
def normalise(image: UInt8[np.ndarray, "..."] | Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]: ...
def normalise(
    image: UInt8[Array | np.ndarray, "..."] | Float[Array | np.ndarray, "..."],
) -> Float[Array | np.ndarray, "..."]:
    """Maps uint8 0..255 to float32 in [-1, 1]. A float array (2-D points, images already normalised) is returned as it
    is."""
    if jnp.issubdtype(image.dtype, jnp.floating):
        return image
    return (image.astype(jnp.float32) - 127.5) / 127.5  # exactly -1 and 1 at the ends, compiled too


def to_unit(image: Float[Array, "..."]) -> Float[Array, "..."]:
    """Maps [-1, 1] to [0, 1], the range that Bernoulli likelihoods and plotting libraries take."""
    return (image + 1) / 2


def to_uint8(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
    """Maps [-1, 1] to uint8 0..255, rounded; values outside are clipped. It undoes `normalise`."""
    return jnp.clip(jax.lax.round((image.astype(jnp.float32) + 1) * 127.5), 0, 255).astype(jnp.uint8)
