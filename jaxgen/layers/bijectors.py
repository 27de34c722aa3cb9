"""Invertible layers whose Jacobian has a determinant that is cheap to compute: the parts of normalising flows.

    y, log_det = layer(x, condition)                    # log |det ∂y/∂x| of each example, (b,)
    x, log_det = layer(y, condition, inverse=True)      # log |det ∂x/∂y|

x is (b, features) or (b, h, w, features). `condition`, (b, k) or for images also (b, h, w, k), reaches the networks in
the coupling layers. A module of this form, a user's own too, can stand wherever these stand.

Each layer notes in the collection `finite`, where that is mutable, whether its output is finite (see `noted`).
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxgen.layers.splines import rational_quadratic_spline

__all__ = [
    "Additive",
    "Affine",
    "Condition",
    "Coupling",
    "Mask",
    "Pair",
    "RationalQuadratic",
    "Reverse",
    "Squeeze",
    "logit",
    "noted",
    "squeeze",
    "sum_per_example",
    "unsqueeze",
]

Condition = Float[Array, "b ... k"] | None
"""What the density is conditional on, for each example or for each pixel; None for an unconditional flow."""

Mask = Literal["channel", "checkerboard"]
"""The part that a coupling leaves as it is: half the channels, or every second pixel."""

Pair = tuple[Float[Array, "b ..."], Float[Array, "b"]]
"""The output of a layer, and the log-determinant for each example."""


def noted(layer: nn.Module, y: Float[Array, "b ..."], log_det: Float[Array, "b"]) -> Pair:
    """Returns y and log_det after the layer has noted in the collection `finite` whether both are finite."""
    finite = jnp.isfinite(log_det).all() & jnp.isfinite(y).all()
    layer.sow("finite", "all", finite, init_fn=lambda: finite, reduce_fn=lambda _, latest: latest)
    return y, log_det


def sum_per_example(x: Float[Array, "b ..."]) -> Float[Array, "b"]:
    """Returns the sum over all axes but the first."""
    return x.sum(range(1, x.ndim))


# ---- Rearranging and elementwise maps --------------------------------------------------------------------


class Reverse(nn.Module):
    """Puts the channels in reverse order."""

    def __call__(self, x: Float[Array, "b ... c"], condition: Condition = None, inverse: bool = False) -> Pair:
        return x[..., ::-1], jnp.zeros(len(x), x.dtype)


class Squeeze(nn.Module):
    """Halves the size and multiplies the channels by four: each square of 2×2 pixels becomes one pixel (Dinh et al.
    2017, section 3.6). Raises ValueError for odd sides."""

    def __call__(self, x: Float[Array, "b h w c"], condition: Condition = None, inverse: bool = False) -> Pair:
        return unsqueeze(x) if inverse else squeeze(x), jnp.zeros(len(x), x.dtype)


def squeeze(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c4"]:
    """Turns squares of 2×2 pixels into channels. Raises ValueError for odd sides."""
    b, h, w, c = x.shape
    if h % 2 or w % 2:
        raise ValueError(f"image size {h}×{w}: squares of 2×2 pixels need even sides")
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)


def unsqueeze(x: Float[Array, "b h w c4"]) -> Float[Array, "b h2 w2 c"]:
    """Undoes `squeeze`."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)


def logit(x: Float[Array, "b ..."], alpha: float, inverse: bool = False) -> Pair:
    """Maps pixels x in [-1, 1], which are u in [0, 1], to logit(α + (1 - 2α) u).

    In Dinh et al. (2017, section 4.1) the factor is 1 - α, which takes white to infinity.
    """
    if inverse:
        y, between = (2 * jax.nn.sigmoid(x) - 1) / (1 - 2 * alpha), x
    else:
        p = alpha + (1 - 2 * alpha) * (x + 1) / 2
        y = between = jnp.log(p) - jnp.log1p(-p)
    log_slope = math.log((1 - 2 * alpha) / 2) + jax.nn.softplus(between) + jax.nn.softplus(-between)
    return y, sum_per_example(-log_slope if inverse else log_slope)


# ---- Coupling --------------------------------------------------------------------------------------------


class Additive(nn.Module):
    """Maps x to x + t, which preserves volume (Dinh et al. 2015). t are the parameters.

    A transform of `Coupling` takes values x (b, ..., c) and parameters (b, ..., `outputs` · c), and returns y and
    log dy/dx, both of the shape of x.
    """

    outputs = 1
    """The number of parameters for each value."""

    def __call__(
        self, x: Float[Array, "b ... c"], parameters: Float[Array, "b ... p"], inverse: bool = False
    ) -> tuple[Float[Array, "b ... c"], Float[Array, "b ... c"]]:
        return x - parameters if inverse else x + parameters, jnp.zeros_like(x)


class Affine(nn.Module):
    """Maps x to x exp(s) + t. The parameters are raw values, from which s is computed, and then t."""

    scale: Literal["sigmoid", "tanh"] = "sigmoid"
    """'sigmoid': s = log sigmoid(raw + 2), so that nothing is stretched, as in the code of Glow. 'tanh':
    s = factor · tanh(raw) with a learnt factor for each channel (Dinh et al. 2017, section 4.1)."""

    outputs = 2
    """The number of parameters for each value."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b ... c"], parameters: Float[Array, "b ... p"], inverse: bool = False
    ) -> tuple[Float[Array, "b ... c"], Float[Array, "b ... c"]]:
        raw, shift = jnp.split(parameters, 2, axis=-1)
        if self.scale == "sigmoid":
            log_scale = jax.nn.log_sigmoid(raw + 2)
        else:
            log_scale = self.param("factor", nn.initializers.ones, x.shape[-1:]) * jnp.tanh(raw)
        if inverse:
            return (x - shift) / jnp.exp(log_scale), -log_scale
        return x * jnp.exp(log_scale) + shift, log_scale


class RationalQuadratic(nn.Module):
    """Maps x in [-bound, bound] by a monotone spline, and leaves x outside as it is (Durkan et al. 2019)."""

    bins: int = 8
    """The number of pieces of the spline."""
    bound: float = 4.0
    """Where the spline ends."""

    @property
    def outputs(self) -> int:
        """The number of parameters for each value: widths, heights, and slopes at the inner knots."""
        return 3 * self.bins - 1

    def __call__(
        self, x: Float[Array, "b ... c"], parameters: Float[Array, "b ... p"], inverse: bool = False
    ) -> tuple[Float[Array, "b ... c"], Float[Array, "b ... c"]]:
        parameters = parameters.reshape(*x.shape, self.outputs)
        widths, heights, slopes = jnp.split(parameters, (self.bins, 2 * self.bins), axis=-1)
        return rational_quadratic_spline(x, widths, heights, slopes, self.bound, inverse)


class Coupling(nn.Module):
    """Leaves one part of x as it is and sends the other through an elementwise map, whose parameters a network computes
    from the first part (Dinh et al. 2017, sections 3.2 to 3.4).

    `flip`, which may be traced, exchanges the two parts.
    """

    network: Callable[[int], nn.Module]
    """Makes the network, from the number of its outputs: a module (x, condition) -> (b, ..., outputs)."""
    transform: Callable[[], nn.Module]
    """Makes the elementwise map: `Additive`, `Affine`, `RationalQuadratic`, or another module of their form."""
    mask: Mask = "channel"
    """The part that stays as it is: the first half of the channels, or every second pixel."""

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b ... c"],
        condition: Condition = None,
        inverse: bool = False,
        flip: bool | Bool[Array, ""] = False,
    ) -> Pair:
        transform = self.transform()
        if self.mask == "channel":
            half = x.shape[-1] // 2
            stays, goes = jnp.split(jnp.where(flip, jnp.roll(x, half, axis=-1), x), [half], axis=-1)
            parameters = self.network(goes.shape[-1] * transform.outputs)(stays, condition)
            goes, log_slope = transform(goes, parameters, inverse)
            y = jnp.concatenate([stays, goes], axis=-1)
            y = jnp.where(flip, jnp.roll(y, -half, axis=-1), y)
        else:
            stays = (jnp.indices(x.shape[1:3]).sum(0) % 2 == flip)[..., None]
            parameters = self.network(x.shape[-1] * transform.outputs)(jnp.where(stays, x, 0), condition)
            y, log_slope = transform(x, parameters, inverse)
            y, log_slope = jnp.where(stays, x, y), jnp.where(stays, 0, log_slope)
        return noted(self, y, sum_per_example(log_slope))
