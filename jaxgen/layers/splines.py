"""Monotone rational-quadratic splines: Durkan et al. 2019, Neural Spline Flows (arXiv:1906.04032), section 3.1."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["rational_quadratic_spline"]

SMALLEST = 1e-3
"""The smallest share of the interval that a bin takes, and the smallest slope at a knot."""


def rational_quadratic_spline(
    x: Float[Array, "*b"],
    widths: Float[Array, "*b k"],
    heights: Float[Array, "*b k"],
    slopes: Float[Array, "*b k1"],
    bound: float,
    inverse: bool = False,
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """Returns y and log dy/dx of a spline of k bins (eqs. 4 and 5).

    The spline maps [-bound, bound] onto itself and is the identity outside. `widths`, `heights` and the k - 1 `slopes`
    at the inner knots are unconstrained; where all are zero, the spline is the identity. With `inverse`, x is read as
    y, and x and log dx/dy are returned (eqs. 6 to 8).
    """
    slopes = SMALLEST + jax.nn.softplus(slopes + math.log(math.expm1(1 - SMALLEST)))
    slopes = jnp.pad(slopes, [(0, 0)] * x.ndim + [(1, 1)], constant_values=1)
    (lefts, widths), (lows, heights) = _bins(widths, bound), _bins(heights, bound)
    inside = jnp.abs(x) < bound
    v = jnp.where(inside, x, 0)
    i = (v[..., None] >= (lows if inverse else lefts)[..., 1:]).sum(-1)
    here = jax.nn.one_hot(i, widths.shape[-1], dtype=bool)  # the gradient of indexing would be a scatter, which is slow

    def at(values):
        return jnp.where(here, values, 0).sum(-1)

    left, width, low, height = at(lefts), at(widths), at(lows), at(heights)
    first, last, mean = at(slopes[..., :-1]), at(slopes[..., 1:]), height / width
    bend = first + last - 2 * mean
    if inverse:
        rise = v - low
        a, b, c = height * (mean - first) + rise * bend, height * first - rise * bend, -mean * rise
        place = 2 * c / (-b - jnp.sqrt(jnp.maximum(jnp.square(b) - 4 * a * c, 0)))
    else:
        place = (v - left) / width
    y = left + place * width  # the result of the inverse; forwards, x itself
    mixed = place * (1 - place)
    below = mean + bend * mixed
    if not inverse:
        y = low + height * (mean * jnp.square(place) + first * mixed) / below
    slope = jnp.square(mean / below) * (last * jnp.square(place) + 2 * mean * mixed + first * jnp.square(1 - place))
    log_slope = -jnp.log(slope) if inverse else jnp.log(slope)
    return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0)


def _bins(shares: Float[Array, "*b k"], bound: float) -> tuple[Float[Array, "*b k"], Float[Array, "*b k"]]:
    """Returns where the bins of [-bound, bound] begin, and their sizes, which are a softmax of the shares."""
    k = shares.shape[-1]
    sizes = 2 * bound * (SMALLEST + (1 - SMALLEST * k) * jax.nn.softmax(shares))
    before = jnp.triu(jnp.ones((k, k), sizes.dtype), 1)
    return jnp.matmul(sizes, before, precision="highest") - bound, sizes
