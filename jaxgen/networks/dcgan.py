"""DCGAN (Radford et al. 2016): strided convolutions, batch normalisation, no biases, N(0, 0.02) weights.

At 64×64×3 with width 64 the generator has 3,576,704 parameters and the discriminator 2,765,568. Other sizes keep the
pattern: 4×4 kernels of stride 2 between the image and the smallest size of `pyramid`, channels doubling inwards.

`DeepConvGenerator` and `DeepConvDiscriminator` are the DCGAN and LSGAN of the CIFAR-10 benchmarks (Kang et al. 2023,
arXiv:2206.09479), descended from SN-GAN's standard CNN (Miyato et al. 2018, table 3). At 32×32×3, with 128 latent
units, they have 3,812,355 and 2,931,009 parameters.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose
from jaxgen.networks.convolutional import pyramid
from jaxgen.types import Label

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "DeepConvDiscriminator", "DeepConvGenerator"]

weights = nn.initializers.normal(0.02)
orthogonal = nn.initializers.orthogonal()


def scales(key, shape, dtype=jnp.float32):
    """N(1, 0.02): how DCGAN starts the gains of its batch normalisation."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def with_label(x: Float[Array, "b *space c"], label: Label, classes: int) -> Float[Array, "b *space k"]:
    """x with the one-hot label as further channels, where there are classes."""
    if not classes:
        return x
    code = jnp.expand_dims(jax.nn.one_hot(label, classes, dtype=x.dtype), range(1, x.ndim - 1))
    return jnp.concatenate([x, jnp.broadcast_to(code, (*x.shape[:-1], classes))], axis=-1)


class DCGANGenerator(nn.Module):
    """Latent (with a one-hot label appended, when conditional) to an image of `shape` in (-1, 1)."""

    shape: Sequence[int]
    width: int = 64
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        height, width, channels = self.shape
        sizes = pyramid(height, width)
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=scales)
        deconv = partial(
            ConvTranspose,
            kernel_size=(4, 4),
            strides=2,
            padding=1,
            use_bias=False,
            kernel_init=weights,
            dtype=self.dtype,
        )
        x = with_label(latent, label, self.classes)
        base = (*sizes[-1], self.width * 2 ** (len(sizes) - 2))
        x = nn.Dense(math.prod(base), use_bias=False, kernel_init=weights, dtype=self.dtype)(x)
        x = nn.relu(norm()(x.reshape(-1, *base)))
        for level in reversed(range(len(sizes) - 2)):
            x = nn.relu(norm()(deconv(self.width * 2**level)(x)))
        return nn.tanh(deconv(channels)(x).astype(jnp.float32))


class DCGANDiscriminator(nn.Module):
    """Image (with the label as one-hot channels, when conditional) to one logit."""

    width: int = 64
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False):
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=scales)
        x = with_label(image, label, self.classes)
        for level in range(len(pyramid(*image.shape[1:3])) - 1):
            x = Conv(
                self.width * 2**level,
                (4, 4),
                strides=2,
                padding=1,
                use_bias=False,
                kernel_init=weights,
                dtype=self.dtype,
            )(x)
            x = nn.leaky_relu(norm()(x) if level else x, 0.2)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(1, use_bias=False, kernel_init=weights, dtype=self.dtype)(x)
        return x.astype(jnp.float32)[:, 0]


class DeepConvGenerator(nn.Module):
    """Latent (with a one-hot label appended, when conditional) to an image of `shape` in (-1, 1).

    As `DCGANGenerator`, but with biases, no activation before the first deconvolution, a 3×3 convolution at the end
    and orthogonal weights.
    """

    shape: Sequence[int]
    width: int = 64
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        height, width, channels = self.shape
        sizes = pyramid(height, width)
        base = (*sizes[-1], self.width * 2 ** (len(sizes) - 1))
        x = with_label(latent, label, self.classes)
        x = nn.Dense(math.prod(base), kernel_init=orthogonal, dtype=self.dtype)(x).reshape(-1, *base)
        for level in reversed(range(len(sizes) - 1)):
            features = self.width * 2**level
            x = ConvTranspose(features, (4, 4), strides=2, padding=1, kernel_init=orthogonal, dtype=self.dtype)(x)
            x = nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x))
        x = Conv(channels, (3, 3), kernel_init=orthogonal, dtype=self.dtype)(x)
        return nn.tanh(x.astype(jnp.float32))


class DeepConvDiscriminator(nn.Module):
    """Image (with the label as one-hot channels, when conditional) to one logit.

    At each size a 3×3 convolution and a 4×4 one of stride 2, at the last a 3×3 one, all with batch norm and ReLU; then
    the sum over the pixels.
    """

    width: int = 64
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False):
        def layer(x, features, size, stride):
            kernel = (size, size)
            x = Conv(features, kernel, strides=stride, padding=1, kernel_init=orthogonal, dtype=self.dtype)(x)
            return nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x))

        x = with_label(image, label, self.classes)
        levels = len(pyramid(*image.shape[1:3])) - 1
        for level in range(levels):
            x = layer(x, self.width * 2**level, 3, 1)
            x = layer(x, self.width * 2**level, 4, 2)
        x = layer(x, self.width * 2**levels, 3, 1)
        x = x.astype(jnp.float32).sum((1, 2))
        return nn.Dense(1, kernel_init=orthogonal)(x)[:, 0]
