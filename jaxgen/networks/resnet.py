"""Residual players of WGAN-GP (Gulrajani et al. 2017) and SN-GAN (Miyato et al. 2018), conditional as Miyato & Koyama
(2018): the generator by the scales and biases of its batch norms, the discriminator by projection.

    WGAN-GP 32   ResNetGenerator((32, 32, 3), (128,) * 4)                      1,204,483
                 ResNetDiscriminator(spectral_norm=False, pooling=jnp.mean)    1,053,825
    SN-GAN 32    ResNetGenerator((32, 32, 3))                                  4,276,739
                 ResNetDiscriminator()                                         1,053,825
    SN-GAN 64    ResNetGenerator((64, 64, 3), (1024, 512, 256, 128, 64))
                 ResNetDiscriminator((64, 128, 256, 512, 1024), downsamplings=5)

with 128 latent units. `widths` are the channels: of the generator's smallest image and after each of its doublings, of
the discriminator after each of its blocks. So 28×28 is `ResNetGenerator((28, 28, 1), (256,) * 3)`, from 7×7.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import ConditionalBatchNorm, Conv, SpectralNorm, enlarge, shrink
from jaxgen.types import Label

__all__ = ["ResNetDiscriminator", "ResNetGenerator"]

xavier = nn.initializers.xavier_uniform()
residual = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # Xavier with a gain of √2, for ReLU


def smallest(height: int, width: int, halvings: int) -> tuple[int, int]:
    """The size after so many halvings. ValueError where they are not exact."""
    scale = 2**halvings
    if height % scale or width % scale:
        raise ValueError(f"image size {height}×{width}: {halvings} halvings need sides that are multiples of {scale}")
    return height // scale, width // scale


class GeneratorBlock(nn.Module):
    """Two 3×3 convolutions at twice the size, beside a 1×1 shortcut."""

    features: int
    classes: int
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], label: Label, *, train: bool):
        def activate(x):
            if self.classes:
                return nn.relu(ConditionalBatchNorm(self.classes, dtype=self.dtype)(x, label, train=train))
            return nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x))

        conv = partial(Conv, self.features, dtype=self.dtype)
        y = conv((3, 3), kernel_init=residual)(enlarge(activate(x)))
        y = conv((3, 3), kernel_init=residual)(activate(y))
        return y + enlarge(conv((1, 1), kernel_init=xavier)(x))  # doubling commutes with it, and comes cheaper last


class ResNetGenerator(nn.Module):
    """Latent (and label) to an image of `shape` in (-1, 1), whose sides are multiples of 2^(doublings)."""

    shape: Sequence[int]
    widths: Sequence[int] = (256,) * 4
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        height, width, channels = self.shape
        base = (*smallest(height, width, len(self.widths) - 1), self.widths[0])
        x = nn.Dense(math.prod(base), kernel_init=xavier, dtype=self.dtype)(latent).reshape(-1, *base)
        for features in self.widths[1:]:
            x = GeneratorBlock(features, self.classes, self.dtype)(x, label, train=train)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x))
        x = Conv(channels, (3, 3), kernel_init=xavier, dtype=self.dtype)(x)
        return nn.tanh(x.astype(jnp.float32))


def constrained(layer: nn.Module, spectral_norm: bool, train: bool) -> Callable[[Array], Array]:
    """The layer, spectrally normalised or as it is."""
    return partial(SpectralNorm(layer), train=train) if spectral_norm else layer


class DiscriminatorBlock(nn.Module):
    """Two 3×3 convolutions, and half the size when downsampling, beside a shortcut: 1×1 unless nothing changes.

    The first block of a network does not rectify its input, the image. Between its convolutions a block is as narrow
    as its input, save the first; or, if `wide`, as wide as its output. Without a `kernel_init` they begin as Xavier's.
    """

    features: int
    first: bool
    downsample: bool
    spectral_norm: bool
    dtype: Dtype | None
    wide: bool = False
    kernel_init: Callable | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        def conv(features, size, init):
            layer = Conv(features, (size, size), kernel_init=self.kernel_init or init, dtype=self.dtype)
            return constrained(layer, self.spectral_norm, train)

        y = x if self.first else nn.relu(x)
        y = nn.relu(conv(self.features if self.first or self.wide else x.shape[-1], 3, residual)(y))
        y = conv(self.features, 3, residual)(y)
        if self.downsample:
            x, y = shrink(x), shrink(y)
        if self.downsample or x.shape[-1] != self.features:
            x = conv(self.features, 1, xavier)(x)
        return x + y


class ResNetDiscriminator(nn.Module):
    """Image (and label) to one logit, a(φ) + ⟨b(label), φ⟩, of the features φ summed (or averaged) over the pixels.

    The first `downsamplings` blocks halve the image, whose sides are therefore multiples of 2^downsamplings.
    """

    widths: Sequence[int] = (128,) * 4
    downsamplings: int = 2
    spectral_norm: bool = True
    pooling: Callable = jnp.sum
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False):
        smallest(*image.shape[1:3], self.downsamplings)
        x = image
        for i, features in enumerate(self.widths):
            block = DiscriminatorBlock(features, i == 0, i < self.downsamplings, self.spectral_norm, self.dtype)
            x = block(x, train=train)
        x = self.pooling(nn.relu(x).astype(jnp.float32), axis=(1, 2))
        logit = constrained(nn.Dense(1, kernel_init=xavier), self.spectral_norm, train)(x)[:, 0]
        if self.classes:
            embedding = nn.Dense(x.shape[-1], use_bias=False, kernel_init=xavier)
            code = constrained(embedding, self.spectral_norm, train)(jax.nn.one_hot(label, self.classes))
            logit += (code * x).sum(-1)
        return logit
