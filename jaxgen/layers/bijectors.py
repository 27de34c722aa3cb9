"""Invertible layers whose Jacobian's determinant is cheap: the parts of normalising flows.

    y, log_det = layer(x, condition)                    # log |det ∂y/∂x| of each example, (b,)
    x, log_det = layer(y, condition, inverse=True)      # of ∂x/∂y

x is (b, features) or (b, h, w, features). `condition`, (b, k) or for images also (b, h, w, k), reaches the networks in
the coupling layers. Initialising reads shapes only: the normalisations start as the identity, and take scale and bias
from data when they are applied to it with `mutable=["params"]`.

Each layer notes in the collection `finite`, where that is mutable, whether what came out is finite.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from jaxgen.layers.convolution import Conv, conv
from jaxgen.layers.splines import rational_quadratic_spline

__all__ = [
    "ActNorm",
    "Additive",
    "Affine",
    "Coupling",
    "EdgeConv",
    "InvertibleConv",
    "Mask",
    "NormalisedConv",
    "RationalQuadratic",
    "Reverse",
    "Squeeze",
    "Standardise",
    "ZeroConv",
    "logit",
    "squeeze",
    "unsqueeze",
]

Condition = Float[Array, "b ... k"] | None
Mask = Literal["channel", "checkerboard"]
Pair = tuple[Float[Array, "b ..."], Float[Array, "b"]]

LOG_SCALE_FACTOR = 3.0  # of learnt log-scales, as in the code of Glow: they learn so many times faster


def _noted(layer: nn.Module, y: Array, log_det: Array) -> Pair:
    """Both, after a note on whether they are finite."""
    finite = jnp.isfinite(log_det).all() & jnp.isfinite(y).all()
    layer.sow("finite", "all", finite, init_fn=lambda: None, reduce_fn=lambda _, now: now)
    return y, log_det


def _per_example(x: Float[Array, "b ..."]) -> Float[Array, "b"]:
    """The sum over all axes but the first."""
    return x.sum(range(1, x.ndim))


# ---- Elementwise, linear and rearranging layers ----------------------------------------------------------


def _scale_and_bias(layer: nn.Module, x: Float[Array, "b ... c"]) -> tuple[Float[Array, "c"], Float[Array, "c"]]:
    """Log scale and bias by which (x + bias) exp(log scale) has mean 0 and variance 1 on the data that they are taken
    from."""
    bias = layer.param("bias", nn.initializers.zeros, x.shape[-1:])
    log_scale = layer.param("log_scale", nn.initializers.zeros, x.shape[-1:])
    if layer.is_mutable_collection("params") and not layer.is_initializing():
        data, axes = x.astype(jnp.promote_types(x.dtype, jnp.float32)), range(x.ndim - 1)
        bias = -data.mean(axes).astype(bias.dtype)
        log_scale = (-jnp.log(data.std(axes) + 1e-6) / LOG_SCALE_FACTOR).astype(log_scale.dtype)
        layer.put_variable("params", "bias", bias)
        layer.put_variable("params", "log_scale", log_scale)
    return LOG_SCALE_FACTOR * log_scale, bias


class ActNorm(nn.Module):
    """A scale and a bias for each channel, at first those that give it mean 0 and variance 1 on the first minibatch
    (Kingma & Dhariwal 2018, section 3.1)."""

    @nn.compact
    def __call__(self, x: Float[Array, "b ... c"], condition: Condition = None, inverse: bool = False) -> Pair:
        log_scale, bias = (p.astype(x.dtype) for p in _scale_and_bias(self, x))
        y = x / jnp.exp(log_scale) - bias if inverse else (x + bias) * jnp.exp(log_scale)
        log_det = math.prod(x.shape[1:-1]) * log_scale.sum()
        return _noted(self, y, jnp.broadcast_to(-log_det if inverse else log_det, len(x)))


class InvertibleConv(nn.Module):
    """1×1 convolution with an invertible kernel, at first a random rotation (Kingma & Dhariwal 2018, section 3.2); of
    vectors a learnt permutation.

    With `lu` the kernel is P L U, which makes the determinant a product (eq. 10). P here is the reversal of the
    channels; L has a diagonal of 1, that of U is positive, and both are read from one matrix, whose diagonal is log
    diag(U).
    """

    lu: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b ... c"], condition: Condition = None, inverse: bool = False) -> Pair:
        shape = (x.shape[-1],) * 2
        if self.lu:
            kernel = self.param("kernel", _hollow, shape).astype(x.dtype)
            lower = jnp.tril(kernel, -1) + jnp.eye(len(kernel))
            upper = jnp.triu(kernel, 1) + jnp.diag(jnp.exp(jnp.diag(kernel)))
            log_det = jnp.trace(kernel)
            if inverse:
                first = solve_triangular(lower, jnp.eye(len(kernel)), lower=True, unit_diagonal=True)
                matrix = solve_triangular(upper, first)[:, ::-1]
            else:
                matrix = jnp.matmul(lower, upper, precision="highest")[::-1]
        else:
            matrix = self.param("kernel", nn.initializers.orthogonal(), shape).astype(x.dtype)
            log_det = jnp.linalg.slogdet(matrix)[1]
            matrix = jnp.linalg.inv(matrix) if inverse else matrix
        y = jnp.matmul(x, matrix, precision="highest")  # accelerators would round float32 products
        log_det = math.prod(x.shape[1:-1]) * log_det
        return _noted(self, y, jnp.broadcast_to(-log_det if inverse else log_det, len(x)))


def _hollow(key, shape, dtype=jnp.float32):
    """N(0, 1 / channels) off the diagonal, on which are zeros."""
    return jax.random.normal(key, shape, dtype) * (1 - jnp.eye(*shape)) / math.sqrt(shape[0])


class Reverse(nn.Module):
    """The channels in reverse order."""

    def __call__(self, x: Float[Array, "b ... c"], condition: Condition = None, inverse: bool = False) -> Pair:
        return x[..., ::-1], jnp.zeros(len(x), x.dtype)


class Squeeze(nn.Module):
    """Half the size and four times the channels: each square of 2×2 pixels becomes one (Dinh et al. 2017, section
    3.6)."""

    def __call__(self, x: Float[Array, "b h w c"], condition: Condition = None, inverse: bool = False) -> Pair:
        return unsqueeze(x) if inverse else squeeze(x), jnp.zeros(len(x), x.dtype)


def squeeze(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c4"]:
    """Squares of 2×2 pixels to channels. ValueError for odd sides."""
    b, h, w, c = x.shape
    if h % 2 or w % 2:
        raise ValueError(f"image size {h}×{w}: squares of 2×2 pixels need even sides")
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)


def unsqueeze(x: Float[Array, "b h w c4"]) -> Float[Array, "b h2 w2 c"]:
    """The inverse of `squeeze`."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c // 4)


def logit(x: Float[Array, "b ..."], alpha: float, inverse: bool = False) -> Pair:
    """logit(α + (1 - 2α) u) of pixels x in [-1, 1], that are u in [0, 1] (Dinh et al. 2017, section 4.1, where the
    factor is 1 - α, which takes white to infinity)."""
    if inverse:
        y, between = (2 * jax.nn.sigmoid(x) - 1) / (1 - 2 * alpha), x
    else:
        p = alpha + (1 - 2 * alpha) * (x + 1) / 2
        y = between = jnp.log(p) - jnp.log1p(-p)
    log_slope = math.log((1 - 2 * alpha) / 2) + jax.nn.softplus(between) + jax.nn.softplus(-between)
    return y, _per_example(-log_slope if inverse else log_slope)


# ---- Coupling --------------------------------------------------------------------------------------------


class Additive(nn.Module):
    """y = x + t: volume-preserving (Dinh et al. 2015)."""

    outputs = 1

    def __call__(self, x: Float[Array, "b ... c"], parameters: Float[Array, "b ... p"], inverse: bool = False):
        return x - parameters if inverse else x + parameters, jnp.zeros_like(x)


class Affine(nn.Module):
    """y = x exp(s) + t. Of the networks' raw output, s is log sigmoid(raw + 2), so that nothing is stretched, as in the
    code of Glow; or `factor` tanh(raw), the factor learnt, one a channel (Dinh et al. 2017, section 4.1)."""

    scale: Literal["sigmoid", "tanh"] = "sigmoid"
    outputs = 2

    @nn.compact
    def __call__(self, x: Float[Array, "b ... c"], parameters: Float[Array, "b ... p"], inverse: bool = False):
        raw, shift = jnp.split(parameters, 2, axis=-1)
        if self.scale == "sigmoid":
            log_scale = jax.nn.log_sigmoid(raw + 2)
        else:
            log_scale = self.param("factor", nn.initializers.ones, x.shape[-1:]) * jnp.tanh(raw)
        if inverse:
            return (x - shift) / jnp.exp(log_scale), -log_scale
        return x * jnp.exp(log_scale) + shift, log_scale


class RationalQuadratic(nn.Module):
    """y = a monotone spline of x in [-bound, bound], and x outside (Durkan et al. 2019)."""

    bins: int = 8
    bound: float = 4.0

    @property
    def outputs(self) -> int:
        return 3 * self.bins - 1

    def __call__(self, x: Float[Array, "b ... c"], parameters: Float[Array, "b ... p"], inverse: bool = False):
        parameters = parameters.reshape(*x.shape, self.outputs)
        widths, heights, slopes = jnp.split(parameters, (self.bins, 2 * self.bins), axis=-1)
        return rational_quadratic_spline(x, widths, heights, slopes, self.bound, inverse)


class Coupling(nn.Module):
    """One part of x stays, the other goes through an elementwise map, whose parameters a network computes from the
    part that stays (Dinh et al. 2017, sections 3.2 to 3.4).

    network:    (outputs) -> a module (x, condition) -> (b, ..., outputs)
    transform:  () -> `Additive`, `Affine` or `RationalQuadratic`
    mask:       what stays: the first half of the channels, or every second pixel; with `flip`, the last half, or the
                other pixels
    """

    network: Callable[[int], nn.Module]
    transform: Callable[[], nn.Module]
    mask: Mask = "channel"

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
        return _noted(self, y, _per_example(log_slope))


# ---- Convolutions of Glow, and its learnt prior ----------------------------------------------------------


class EdgeConv(nn.Module):
    """3×3 convolution of x and a further channel, 0 in the image and 1 in the padding around it, so that the edge can
    be told from black (the code of Glow). The kernel is (3, 3, channels + 1, features)."""

    features: int
    kernel_init: Callable = nn.initializers.normal(0.05)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1] + 1, self.features))
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        edge = jnp.pad(jnp.zeros((1, *x.shape[1:3], 1), x.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
        return conv(x, kernel[:, :, :-1]) + conv(edge, kernel[:, :, -1:], padding="VALID")


class NormalisedConv(nn.Module):
    """3×3 (`EdgeConv`) or 1×1 convolution with a scale and a bias that start as those of `ActNorm`."""

    features: int
    kernel_size: Literal[1, 3] = 3
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        options = {"kernel_init": nn.initializers.normal(0.05), "dtype": self.dtype}
        if self.kernel_size == 3:
            x = EdgeConv(self.features, **options)(x)
        else:
            x = Conv(self.features, 1, use_bias=False, **options)(x)
        log_scale, bias = _scale_and_bias(self, x)
        return (x + bias.astype(x.dtype)) * jnp.exp(log_scale).astype(x.dtype)


class ZeroConv(nn.Module):
    """`EdgeConv` that starts at 0: (convolution + bias) exp(3 log scale)."""

    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        y = EdgeConv(self.features, nn.initializers.zeros, self.dtype)(x)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.features,))
        return (y + bias.astype(y.dtype)) * jnp.exp(LOG_SCALE_FACTOR * log_scale).astype(y.dtype)


class Standardise(nn.Module):
    """What leaves the flow under a learnt Gaussian prior: (z - mean) / scale, which is N(0, I).

    Mean and log scale are a `ZeroConv` of `context`, plus a dense layer of the condition, which starts at 0 too (the
    code of Glow).
    """

    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self,
        z: Float[Array, "b h w c"],
        context: Float[Array, "#b h w i"],
        condition: Condition = None,
        inverse: bool = False,
    ) -> Pair:
        prior = ZeroConv(2 * z.shape[-1], self.dtype)(context).astype(z.dtype)
        if condition is not None:
            shift = nn.Dense(prior.shape[-1], use_bias=False, kernel_init=nn.initializers.zeros)(condition)
            prior += shift[:, None, None]
        mean, log_scale = jnp.split(prior, 2, axis=-1)
        y = z * jnp.exp(log_scale) + mean if inverse else (z - mean) * jnp.exp(-log_scale)
        log_scale = jnp.broadcast_to(log_scale, z.shape)
        return _noted(self, y, _per_example(log_scale if inverse else -log_scale))
