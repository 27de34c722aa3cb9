"""Paths through a latent space.

path   = slerp(z[0], z[1], jnp.linspace(0, 1, 10)[:, None])         # (10, z): between two codes, ends included
images = vae.decode(state, path)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["slerp"]


def slerp(
    start: Float[Array | np.ndarray, "*b z"],
    end: Float[Array | np.ndarray, "*c z"],
    weight: float | int | Float[Array | np.ndarray, "..."],
) -> Float[Array, "*d z"]:
    """Interpolates spherically (White 2016, arXiv:1609.04468), from `start` at weight 0 to `end` at 1.

    Draws of N(0, I) lie near a sphere, whose inside the straight line between them crosses. Here the direction turns at
    a constant rate along the great circle, and the norm goes linearly from one to the other. For equal norms that is
    the paper's formula; for others it has no pole at opposite directions.

    Opposite directions, between which any great circle is shortest, are joined by one of them (with z = 1 through 0); a
    zero vector takes the other's direction. The arguments broadcast: `weight` is a number, or for n weights an array
    (n, 1).
    """
    start, end = jnp.broadcast_arrays(start, end)
    (u, start_norm), (v, end_norm) = _polar(start), _polar(end)
    u, v = jnp.where(start_norm > 0, u, v), jnp.where(end_norm > 0, v, u)
    cos = (u * v).sum(-1, keepdims=True)
    across, sin = _polar(v - cos * u)
    # What is left of opposite vectors is rounding: any direction at right angles to u does, such as that of an axis.
    axis = jax.nn.one_hot(jnp.abs(u).argmin(-1), u.shape[-1], dtype=u.dtype)
    opposite = (cos < 0) & (sin < 8 * jnp.finfo(u.dtype).eps)
    across = jnp.where(opposite, axis, across)
    across, _ = _polar(across - (u * across).sum(-1, keepdims=True) * u)
    turned = weight * jnp.arctan2(sin, cos)
    norm = (1 - weight) * start_norm + weight * end_norm
    return jnp.asarray(norm * (jnp.cos(turned) * u + jnp.sin(turned) * across))


def _polar(x: Float[Array, "*b z"]) -> tuple[Float[Array, "*b z"], Float[Array, "*b 1"]]:
    """The direction (0 for a zero vector) and the norm, with finite gradients."""
    square = jnp.square(x).sum(-1, keepdims=True)
    norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return x / jnp.where(norm > 0, norm, 1), norm
