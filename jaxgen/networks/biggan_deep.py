"""BigGAN-deep: Brock et al. 2019 (arXiv:1809.11096), appendix B.

    ImageNet 128   BigGANDeepGenerator((128, 128, 3), widths(128, 128)[0], 1000)           50,244,484, z 128
                   BigGANDeepDiscriminator(widths(128, 128)[1], 1000)                      34,590,210

Deeper and smaller than BigGAN: two bottlenecks of four convolutions at each size, whose shortcuts leave out channels,
or in the discriminator add some. Spectral norm and initialisation are as there.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from jaxgen.layers import Conv, SelfAttention, SpectralNorm, enlarge, shrink
from jaxgen.networks.biggan import ConditionedBatchNorm, orthogonal, projection, to_image
from jaxgen.networks.resnet import smallest

__all__ = ["BigGANDeepDiscriminator", "BigGANDeepGenerator"]

NARROWING = 4  # of the channels inside a bottleneck


class GeneratorBottleneck(nn.Module):
    """1×1, two 3×3 at the size of the output, 1×1, each after a norm by the code, beside the first channels of x."""

    features: int
    enlarges: bool
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], code: Float[Array, "b k"], *, train: bool):
        def activate(x):
            return nn.relu(ConditionedBatchNorm(self.dtype)(x, code, train=train))

        def conv(x, features, size):
            layer = Conv(features, (size, size), kernel_init=orthogonal, dtype=self.dtype)
            return SpectralNorm(layer)(x, train=train)

        narrow = x.shape[-1] // NARROWING
        y = activate(conv(activate(x), narrow, 1))
        x = x[..., : self.features]
        if self.enlarges:
            x, y = enlarge(x), enlarge(y)
        y = conv(activate(conv(y, narrow, 3)), narrow, 3)
        return x + conv(activate(y), self.features, 1)


class BigGANDeepGenerator(nn.Module):
    """Latent and label to an image of `shape` in (-1, 1), whose sides are multiples of 2^(doublings).

    widths:    channels of the smallest image and after each of its doublings
    embedding: units of the classes' embedding; with the latent beside it, it is what the first layer and all norms see
    attention: the height of the image on which pixels attend to each other; None: they don't
    """

    shape: Sequence[int]
    widths: Sequence[int]
    classes: int
    embedding: int = 128
    attention: int | None = 64
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Int[Array, "b"], *, train: bool = False):
        height, width, channels = self.shape
        base = (*smallest(height, width, len(self.widths) - 1), self.widths[0])
        code = nn.Embed(self.classes, self.embedding, embedding_init=orthogonal, dtype=self.dtype)(label)
        code = jnp.concatenate([code, latent], axis=1)
        dense = nn.Dense(math.prod(base), kernel_init=orthogonal, dtype=self.dtype)
        x = SpectralNorm(dense)(code, train=train).reshape(-1, *base)
        for features in self.widths[1:]:
            x = GeneratorBottleneck(x.shape[-1], False, self.dtype)(x, code, train=train)
            x = GeneratorBottleneck(features, True, self.dtype)(x, code, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return to_image(x, channels, self.dtype, train)


class DiscriminatorBottleneck(nn.Module):
    """1×1, two 3×3, 1×1 at the size of the output, each after ReLU, beside x and, 1×1, the channels that it lacks."""

    features: int
    shrinks: bool
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        def conv(x, features, size):
            layer = Conv(features, (size, size), kernel_init=orthogonal, dtype=self.dtype)
            return SpectralNorm(layer)(x, train=train)

        narrow = self.features // NARROWING
        y = conv(nn.relu(x), narrow, 1)
        y = nn.relu(conv(nn.relu(conv(nn.relu(y), narrow, 3)), narrow, 3))
        if self.shrinks:
            x, y = shrink(x), shrink(y)
        if lacking := self.features - x.shape[-1]:
            x = jnp.concatenate([x, conv(x, lacking, 1)], axis=-1)
        return x + conv(y, self.features, 1)


class BigGANDeepDiscriminator(nn.Module):
    """Image and label to one logit, a(φ) + ⟨b(label), φ⟩, of the features φ summed over the pixels.

    widths: channels of the first convolution, and after each halving of the image; they do not fall
    """

    widths: Sequence[int]
    classes: int
    attention: int | None = 64
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Int[Array, "b"], *, train: bool = False):
        smallest(*image.shape[1:3], len(self.widths) - 1)
        first = Conv(self.widths[0], (3, 3), kernel_init=orthogonal, dtype=self.dtype)
        x = SpectralNorm(first)(image, train=train)
        for features in self.widths[1:]:
            x = DiscriminatorBottleneck(features, True, self.dtype)(x, train=train)
            x = DiscriminatorBottleneck(features, False, self.dtype)(x, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return projection(nn.relu(x), label, self.classes, train)
