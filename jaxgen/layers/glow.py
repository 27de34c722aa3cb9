"""The layers of Glow (Kingma & Dhariwal 2018, arXiv:1807.03039): activation normalisation, invertible 1×1 convolution,
a learnt prior, and the convolutions of its coupling networks.

`ActNorm`, `InvertibleConv` and `Standardise` are invertible layers in the form of `jaxgen.layers.bijectors`.

Initialising reads shapes only: the normalisations start as the identity, and take scale and bias from data when they
are applied to it with `mutable=["params"]`.
"""

import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax.scipy.linalg import solve_triangular
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jaxgen.layers.bijectors import Condition, Pair, noted, sum_per_example
from jaxgen.layers.convolution import Conv, conv

__all__ = ["ActNorm", "EdgeConv", "InvertibleConv", "NormalisedConv", "Standardise", "ZeroConv"]

LOG_SCALE_FACTOR = 3.0
"""The factor by which log-scales exceed their parameters, as in the code of Glow: they learn that much faster."""


def scale_and_bias(layer: nn.Module, x: Float[Array, "b ... c"]) -> tuple[Float[Array, "c"], Float[Array, "c"]]:
    """Returns a log scale and a bias, parameters of the layer. Where the parameters are mutable, they are set so that
    (x + bias) · exp(log scale) has mean 0 and variance 1."""
    bias = layer.param("bias", nn.initializers.zeros, x.shape[-1:])
    log_scale = layer.param("log_scale", nn.initializers.zeros, x.shape[-1:])
    if layer.is_mutable_collection("params") and not layer.is_initializing():
        data, axes = x.astype(jnp.promote_types(x.dtype, jnp.float32)), range(x.ndim - 1)
        bias = -data.mean(axes).astype(bias.dtype)
        log_scale = (-jnp.log(data.std(axes) + 1e-6) / LOG_SCALE_FACTOR).astype(log_scale.dtype)
        layer.put_variable("params", "bias", bias)
        layer.put_variable("params", "log_scale", log_scale)
    return LOG_SCALE_FACTOR * log_scale, bias


# ---- Invertible layers -----------------------------------------------------------------------------------


class ActNorm(nn.Module):
    """Applies a scale and a bias to each channel; they start as those that give the first minibatch mean 0 and variance
    1 (section 3.1)."""

    @nn.compact
    def __call__(self, x: Float[Array, "b ... c"], condition: Condition = None, inverse: bool = False) -> Pair:
        log_scale, bias = (p.astype(x.dtype) for p in scale_and_bias(self, x))
        y = x / jnp.exp(log_scale) - bias if inverse else (x + bias) * jnp.exp(log_scale)
        log_det = math.prod(x.shape[1:-1]) * log_scale.sum()
        return noted(self, y, jnp.broadcast_to(-log_det if inverse else log_det, len(x)))


class InvertibleConv(nn.Module):
    """Convolves images with an invertible 1×1 kernel, which starts as a random rotation (section 3.2), or applies it to
    vectors, as a learnt permutation."""

    lu: bool = False
    """Whether the kernel is a product P L U, which makes its determinant a product (eq. 10). P is the reversal of the
    channels; L has a diagonal of 1 and that of U is positive. Both are read from one matrix, whose diagonal is
    log diag(U)."""

    @nn.compact
    def __call__(self, x: Float[Array, "b ... c"], condition: Condition = None, inverse: bool = False) -> Pair:
        shape = (x.shape[-1],) * 2
        if self.lu:
            kernel = self.param("kernel", zero_diagonal, shape).astype(x.dtype)
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
        return noted(self, y, jnp.broadcast_to(-log_det if inverse else log_det, len(x)))


def zero_diagonal(key: Key[Array, ""], shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Float[Array, "c c"]:
    """Draws a square matrix from N(0, 1 / channels), with zeros on the diagonal."""
    return jax.random.normal(key, shape, dtype) * (1 - jnp.eye(shape[0])) / math.sqrt(shape[0])


class Standardise(nn.Module):
    """Standardises what leaves the flow by a learnt Gaussian prior: (z - mean) / scale, which is N(0, I).

    Mean and log scale are a `ZeroConv` of `context`, plus a dense layer of the condition that starts at 0 too (as in
    the code of Glow).
    """

    dtype: Dtype | None = None
    """The type in which the convolution computes."""

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
        return noted(self, y, sum_per_example(log_scale if inverse else -log_scale))


# ---- Convolutions ----------------------------------------------------------------------------------------


class EdgeConv(nn.Module):
    """Convolves x and one more channel, which is 0 in the image and 1 in the padding around it, so that the network can
    tell the edge from black (as in the code of Glow).

    Maps images (b, h, w, c) to (b, h, w, features). The kernel is (3, 3, c + 1, features).
    """

    features: int
    """The number of channels of the output."""
    kernel_init: Initializer = nn.initializers.normal(0.05)
    """The initialiser of the kernel."""
    dtype: Dtype | None = None
    """The type in which the layer computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1] + 1, self.features))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        edge = jnp.pad(jnp.zeros((1, *x.shape[1:3], 1), x.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
        return conv(x, kernel[:, :, :-1]) + conv(edge, kernel[:, :, -1:], padding="VALID")


class NormalisedConv(nn.Module):
    """Convolves images (b, h, w, c) to (b, h, w, features), with a scale and a bias that start as those of
    `ActNorm`."""

    features: int
    """The number of channels of the output."""
    kernel_size: Literal[1, 3] = 3
    """The side of the kernel; a convolution of 3×3 is an `EdgeConv`."""
    dtype: Dtype | None = None
    """The type in which the layer computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        kernel_init = nn.initializers.normal(0.05)
        if self.kernel_size == 3:
            x = EdgeConv(self.features, kernel_init, self.dtype)(x)
        else:
            x = Conv(self.features, 1, use_bias=False, kernel_init=kernel_init, dtype=self.dtype)(x)
        log_scale, bias = scale_and_bias(self, x)
        return (x + bias.astype(x.dtype)) * jnp.exp(log_scale).astype(x.dtype)


class ZeroConv(nn.Module):
    """Computes (`EdgeConv` + bias) · exp(3 · log scale), which starts at 0.

    Maps images (b, h, w, c) to (b, h, w, features).
    """

    features: int
    """The number of channels of the output."""
    dtype: Dtype | None = None
    """The type in which the layer computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        y = EdgeConv(self.features, nn.initializers.zeros, self.dtype)(x)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.features,))
        return (y + bias.astype(y.dtype)) * jnp.exp(LOG_SCALE_FACTOR * log_scale).astype(y.dtype)
