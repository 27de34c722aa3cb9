"""Normalisation of weights (spectral norm, equalised learning rate) and of activations (instance norm, pixel norm,
class-conditional batch norm), and the deviation within a minibatch."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jaxgen.layers.convolution import ConvTranspose
from jaxgen.types import Label

__all__ = [
    "ConditionalBatchNorm",
    "EqualisedLearningRate",
    "SpectralNorm",
    "around_one",
    "instance_norm",
    "minibatch_deviation",
    "pixel_norm",
]

instance_norm: Callable[..., nn.Module] = partial(nn.InstanceNorm, epsilon=1e-5, use_fast_variance=False)
"""Gives each channel of each image mean 0 and variance 1 (Ulyanov et al. 2016): Flax's module with PyTorch's epsilon,
and with a variance that is computed without cancellation, so that a flat image becomes 0 and not noise."""


def around_one(key: Key[Array, ""], shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Float[Array, "..."]:
    """Draws from N(1, 0.02²), with which the gains of DCGAN's batch normalisation start."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class SpectralNorm(nn.Module):
    """Applies a layer whose kernel is divided by its largest singular value (Miyato et al. 2018, Algorithm 1).

        x = SpectralNorm(Conv(64, (3, 3)))(x, train=train)

    The kernel is read as a matrix W (inputs, output features). Power iteration, v ← Wu / |Wu| and u ← Wᵀv / |Wᵀv|,
    finds the singular vectors, which count as constants; the gradient flows through W in σ = vᵀWu. The collection
    `spectral` holds u and σ. It changes only with `train=True` and where it is mutable; otherwise σ is computed from
    the stored u. Raises ValueError for a layer without a kernel, and for less than one iteration.
    """

    layer: nn.Module
    """The layer, which has a parameter `kernel`."""
    iterations: int = 1
    """The number of power iterations in each call."""

    @nn.compact
    def __call__(self, *args: Array, train: bool) -> Array:
        if self.iterations < 1:
            raise ValueError(f"iterations={self.iterations}: power iteration needs at least 1")
        if self.is_initializing():
            self.layer(*args)
        kernel = self.layer.variables.get("params", {}).get("kernel")
        if kernel is None:
            raise ValueError(f"{type(self.layer).__name__} has no kernel to normalise")
        sigma = self._sigma(kernel.astype(jnp.float32), train)

        def divide(variables):
            return {"params": variables["params"] | {"kernel": (kernel / sigma).astype(kernel.dtype)}}

        return nn.map_variables(lambda layer: layer(*args), "params", divide)(self.layer)

    def _sigma(self, kernel: Float[Array, "..."], train: bool) -> Float[Array, ""]:
        if isinstance(self.layer, ConvTranspose):  # (h, w, features, in)
            kernel = kernel.swapaxes(-1, -2)
        w = kernel.reshape(-1, kernel.shape[-1])
        constant = lax.stop_gradient(w)
        dot = partial(jnp.dot, precision="highest")  # accelerators would round float32 products
        u = self.variable("spectral", "u", lambda: unit(jax.random.normal(self.make_rng("params"), w.shape[1:])))
        sigma = self.variable("spectral", "sigma", jnp.ones, ())
        vector = unit(u.value)  # an average of several u, as an EMA makes, is shorter than 1
        update = train and self.is_mutable_collection("spectral")
        for _ in range(self.iterations if update else 0):
            vector = unit(dot(unit(dot(constant, vector)), constant))
        value = dot(dot(unit(dot(constant, vector)), w), vector)
        if update or self.is_initializing():
            u.value, sigma.value = vector, lax.stop_gradient(value)
        return value


def unit(x: Float[Array, "n"]) -> Float[Array, "n"]:
    """Returns x / ||x||."""
    return x / (jnp.linalg.norm(x) + 1e-12)


class EqualisedLearningRate(nn.Module):
    """Applies a layer whose kernel is multiplied by gain / √fan-in each time it is used, so that under Adam all layers
    learn equally fast (Karras et al. 2018, section 4.1).

        x = EqualisedLearningRate(Conv(64, (3, 3), kernel_init=nn.initializers.normal(1.0)))(x)
    """

    layer: nn.Module
    """The layer, whose parameter `kernel` starts as N(0, 1)."""
    gain: float = 2**0.5
    """The standard deviation of the kernel, as it is used, times √fan-in."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.is_initializing():
            self.layer(x)

        def scale(variables):
            kernel = variables["params"]["kernel"]
            return {"params": variables["params"] | {"kernel": kernel * (self.gain * kernel[..., 0].size ** -0.5)}}

        return nn.map_variables(lambda layer: layer(x), "params", scale)(self.layer)


def pixel_norm(x: Float[Array, "b *space c"]) -> Float[Array, "b *space c"]:
    """Returns x / √(mean of x² over the channels), which gives each pixel the length √c (Karras et al. 2018, section
    4.2)."""
    return x * lax.rsqrt(jnp.square(x.astype(jnp.float32)).mean(-1, keepdims=True) + 1e-8).astype(x.dtype)


def minibatch_deviation(x: Float[Array, "b h w c"], group: int = 4) -> Float[Array, "b h w c1"]:
    """Returns x with one more channel, the standard deviation within groups of the minibatch (Karras et al. 2018,
    section 3).

    It is taken over `group` neighbours in the minibatch, or over the greatest common divisor of `group` and the size of
    the minibatch, and averaged over pixels and channels.
    """
    group = math.gcd(group, len(x))
    grouped = x.astype(jnp.float32).reshape(-1, group, *x.shape[1:])
    deviation = jnp.sqrt(grouped.var(1) + 1e-8).mean((1, 2, 3))
    channel = jnp.broadcast_to(jnp.repeat(deviation, group)[:, None, None, None], (*x.shape[:3], 1))
    return jnp.concatenate([x, channel.astype(x.dtype)], axis=-1)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with a scale and a bias for each class (Dumoulin et al. 2017).

    It has 2 · classes · channels parameters. Raises ValueError where there is no label.
    """

    classes: int
    """The number of classes."""
    momentum: float = 0.9
    """The share that the running statistics keep in each training step."""
    epsilon: float = 1e-5
    """The number added to the variance."""
    dtype: Dtype | None = None
    """The type in which the layer computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"], label: Label, *, train: bool) -> Float[Array, "b *space c"]:
        if label is None:
            raise ValueError(f"label=None: a network of {self.classes} classes needs a label for each example")
        shape = (self.classes, x.shape[-1])
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            use_scale=False,
            use_bias=False,
        )(x)
        space = range(1, x.ndim - 1)
        scale, bias = (jnp.expand_dims(p[label].astype(x.dtype), space) for p in (scale, bias))
        return x * scale + bias
