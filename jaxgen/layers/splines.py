"""Monotone rational-quadratic splines: Durkan et al. 2019, Neural Spline Flows (arXiv:1906.04032), section 3.1."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["rational_quadratic_spline"]

SMALLEST = 1e-3  # share of the interval that a bin takes, and slope at a knot


def rational_quadratic_spline(
    x: Float[Array, "*b"],
    widths: Float[Array, "*b k"],
    heights: Float[Array, "*b k"],
    slopes: Float[Array, "*b k1"],
    bound: float,
    inverse: bool = False,
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """The spline of k bins that maps [-bound, bound] onto itself and is the identity outside; y and log dy/dx (eqs. 4,
    5).

    `widths`, `heights` and the k - 1 `slopes` at the inner knots are unconstrained: all zero, the spline is the
    identity. The inverse takes y to x and gives log dx/dy (eqs. 6 to 8).
    """
    slopes = SMALLEST + jax.nn.softplus(slopes + math.log(math.expm1(1 - SMALLEST)))
    slopes = jnp.pad(slopes, [(0, 0)] * x.ndim + [(1, 1)], constant_values=1)
    xs, ys = _knots(widths, bound), _knots(heights, bound)
    inside = jnp.abs(x) < bound
    v = jnp.where(inside, x, 0)
    i = (v[..., None] >= (ys if inverse else xs)[..., 1:-1]).sum(-1, keepdims=True)

    def at(values, offset=0):
        return jnp.take_along_axis(values, i + offset, axis=-1)[..., 0]

    left, width, low, height = at(xs), at(xs, 1) - at(xs), at(ys), at(ys, 1) - at(ys)
    first, last, mean = at(slopes), at(slopes, 1), height / width
    bend = first + last - 2 * mean
    if inverse:
        rise = v - low
        a, b, c = height * (mean - first) + rise * bend, height * first - rise * bend, -mean * rise
        place = 2 * c / (-b - jnp.sqrt(jnp.maximum(jnp.square(b) - 4 * a * c, 0)))
        y = left + place * width
    else:
        place = (v - left) / width
    mixed = place * (1 - place)
    below = mean + bend * mixed
    if not inverse:
        y = low + height * (mean * jnp.square(place) + first * mixed) / below
    slope = jnp.square(mean / below) * (last * jnp.square(place) + 2 * mean * mixed + first * jnp.square(1 - place))
    log_slope = -jnp.log(slope) if inverse else jnp.log(slope)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0)


def _knots(shares: Float[Array, "*b k"], bound: float) -> Float[Array, "*b k1"]:
    """Of -bound to bound, with bins as large as the softmax says."""
    k = shares.shape[-1]
    inner = jnp.cumsum(SMALLEST + (1 - SMALLEST * k) * jax.nn.softmax(shares), axis=-1)[..., :-1]
    ends = [(0, 0)] * (shares.ndim - 1)
    inner = jnp.pad(2 * bound * inner - bound, [*ends, (1, 0)], constant_values=-bound)
    return jnp.pad(inner, [*ends, (0, 1)], constant_values=bound)
