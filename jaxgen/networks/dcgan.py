"""DCGAN (Radford et al. 2016): strided convolutions, batch normalisation, no biases, N(0, 0.02²) weights.

At 64×64×3 with width 64 the generator has 3,576,704 parameters and the discriminator 2,765,568. Other sizes keep the
pattern: 4×4 kernels of stride 2 between the image and the smallest size of `pyramid`, channels doubling inwards.

`DeepConvGenerator` and `DeepConvDiscriminator` are the DCGAN and LSGAN of the CIFAR-10 benchmarks (Kang et al. 2023,
arXiv:2206.09479), descended from SN-GAN's standard CNN (Miyato et al. 2018, table 3). At 32×32×3, with 128 latent
units, they have 3,812,355 and 2,931,009 parameters.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose, around_one, with_label
from jaxgen.networks.sizes import pyramid
from jaxgen.types import Label

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "DeepConvDiscriminator", "DeepConvGenerator"]

weights: Initializer = nn.initializers.normal(0.02)
orthogonal: Initializer = nn.initializers.orthogonal()


class DCGANGenerator(nn.Module):
    """Maps a latent, and with `classes` a label, to an image in (-1, 1).

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    The one-hot label is appended to the latent. Raises ValueError for sides that `pyramid` cannot halve.
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    width: int = 64
    """The number of channels before the last layer; it doubles with each halving of the size."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w c"]:
        height, width, channels = self.shape
        sizes = pyramid(height, width)
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=around_one)
        common = {"use_bias": False, "kernel_init": weights, "dtype": self.dtype}
        deconv = partial(ConvTranspose, kernel_size=(4, 4), strides=2, padding=1, **common)
        base = (*sizes[-1], self.width * 2 ** (len(sizes) - 2))
        x = nn.Dense(math.prod(base), **common)(with_label(latent, label, self.classes))
        x = nn.relu(norm()(x.reshape(-1, *base)))
        for level in reversed(range(len(sizes) - 2)):
            x = nn.relu(norm()(deconv(self.width * 2**level)(x)))
        return nn.tanh(deconv(channels)(x).astype(jnp.float32))


class DCGANDiscriminator(nn.Module):
    """Maps an image, and with `classes` its label, to one logit.

        logit = discriminator(image, label, train=train)      # (b, h, w, c), (b,) -> (b,)

    The one-hot label is appended to the image as channels. Raises ValueError for sides that `pyramid` cannot halve.
    """

    width: int = 64
    """The number of channels after the first convolution; each further one doubles it."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b"]:
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=around_one)
        common = {"use_bias": False, "kernel_init": weights, "dtype": self.dtype}
        x = with_label(image, label, self.classes)
        for level in range(len(pyramid(*image.shape[1:3])) - 1):
            x = Conv(self.width * 2**level, (4, 4), strides=2, padding=1, **common)(x)
            x = nn.leaky_relu(norm()(x) if level else x, 0.2)
        x = nn.Dense(1, **common)(x.reshape(x.shape[0], -1))
        return x.astype(jnp.float32)[:, 0]


class DeepConvGenerator(nn.Module):
    """Maps a latent, and with `classes` a label, to an image in (-1, 1).

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    It differs from `DCGANGenerator` by its biases, by a 3×3 convolution at the end, by orthogonal weights, and by
    having no activation before the first deconvolution.
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    width: int = 64
    """The number of channels at full size; it doubles with each halving of the size."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w c"]:
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
    """Maps an image, and with `classes` its label, to one logit.

        logit = discriminator(image, label, train=train)      # (b, h, w, c), (b,) -> (b,)

    The one-hot label is appended to the image as channels. At each size there are a 3×3 convolution and a 4×4 one of
    stride 2, at the smallest a 3×3 one, all with batch normalisation and ReLU. The logit is a linear function of the
    sum over the pixels.
    """

    width: int = 64
    """The number of channels at full size; it doubles with each halving of the size."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b"]:
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
