"""Multi-layer perceptrons for points of the plane, or of any number of features: the players of a GAN, and the network
of a diffusion model.

                                              generator                 discriminator
    WGAN-GP (Gulrajani et al. 2017)           527,874, of latent 2      527,361
    Unrolled GAN (Metz et al. 2017)           49,666, of latent 256     17,025

The first are the defaults, three layers of 512 with ReLU. The second take `hidden=(128, 128)`, `activation=nn.tanh` and
`kernel_init=nn.initializers.orthogonal(1.4)`.
"""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.types import Label

__all__ = ["PointDenoiser", "PointDiscriminator", "PointGenerator", "time_embedding"]


def perceptron(
    x: Float[Array, "b i"], widths: Sequence[int], activation: Callable, kernel_init: Callable, dtype: Dtype | None
) -> Float[Array, "b o"]:
    """Dense layers of these widths, within the calling module; the last is not activated."""
    for i, width in enumerate(widths):
        x = nn.Dense(width, kernel_init=kernel_init, dtype=dtype)(activation(x) if i else x)
    return x.astype(jnp.float32)


class PointGenerator(nn.Module):
    """Latent to an unbounded point, (b, features)."""

    features: int = 2
    hidden: Sequence[int] = (512,) * 3
    activation: Callable = nn.relu
    kernel_init: Callable = nn.initializers.he_uniform()
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        return perceptron(latent, (*self.hidden, self.features), self.activation, self.kernel_init, self.dtype)


class PointDiscriminator(nn.Module):
    """Point to one logit."""

    hidden: Sequence[int] = (512,) * 3
    activation: Callable = nn.relu
    kernel_init: Callable = nn.initializers.he_uniform()
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b f"], label: Label = None, *, train: bool = False):
        return perceptron(image, (*self.hidden, 1), self.activation, self.kernel_init, self.dtype)[:, 0]


def time_embedding(time: Float[Array, "b"], features: int) -> Float[Array, "b e"]:
    """Sines and cosines of the time at frequencies from 1 down to 1e-4, as of a position (Vaswani et al. 2017, section
    3.5); `features` is even."""
    half = features // 2
    angles = time[:, None] * jnp.exp(-math.log(10_000) / max(half - 1, 1) * jnp.arange(half))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class PointDenoiser(nn.Module):
    """Points, the time and the label to `outputs` values for each feature."""

    hidden: Sequence[int] = (256,) * 3
    outputs: int = 1
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b f"], time: Float[Array, "b"], label: Label = None, *, train: bool = False):
        inputs = [x, time_embedding(time, 64)]
        if self.classes:
            inputs.append(nn.Embed(self.classes + 1, 64)(label))
        widths = (*self.hidden, x.shape[-1] * self.outputs)
        return perceptron(jnp.concatenate(inputs, -1), widths, nn.swish, nn.initializers.he_uniform(), self.dtype)
