"""BigGAN: Brock et al. 2019 (arXiv:1809.11096).

    ImageNet 128   BigGANGenerator((128, 128, 3), widths(128, 96)[0], 1000)               70,433,988, z 120
                   BigGANDiscriminator(widths(128, 96)[1], 5, 1000)                       87,982,370
    CIFAR-10       BigGANGenerator((32, 32, 3), (256,) * 4, 10, None, None)                4,304,387, z 128
                   BigGANDiscriminator((256,) * 4, 2, 10, None)                            4,207,361

Every layer with a kernel is spectrally normalised, in both players, and initialised orthogonally.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from jaxgen.layers import ConditionalBatchNorm, Conv, SelfAttention, SpectralNorm, enlarge
from jaxgen.networks.resnet import DiscriminatorBlock, smallest

__all__ = ["BigGANDiscriminator", "BigGANGenerator", "widths"]

orthogonal = nn.initializers.orthogonal()
FACTORS = {64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1)}


def widths(side: int, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of generator and discriminator for images of 64, 128 or 256 pixels (appendix B; 64 as in the authors' code);
    the discriminator halves the image in all blocks but the last. ValueError for other sides."""
    if side not in FACTORS:
        raise ValueError(f"side {side}: BigGAN is laid out for {', '.join(map(str, FACTORS))} pixels")
    _, *factors = FACTORS[side]
    judge = factors[::-1] if factors[-1] == 1 else [1, *factors[:0:-1]]
    return tuple(width * f for f in FACTORS[side]), tuple(width * f for f in (*judge, 16))


class ConditionedBatchNorm(nn.Module):
    """Batch normalisation whose scale, 1 + U c, and bias, V c, are linear in a code c of each example."""

    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], code: Float[Array, "b k"], *, train: bool) -> Array:
        def linear(code):
            layer = nn.Dense(x.shape[-1], use_bias=False, kernel_init=orthogonal, dtype=self.dtype)
            return SpectralNorm(layer)(code, train=train)[:, None, None]

        scale, bias = 1 + linear(code), linear(code)
        norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, use_scale=False, use_bias=False)
        return norm(x) * scale + bias


class GeneratorBlock(nn.Module):
    """Two 3×3 convolutions at twice the size, beside a 1×1 shortcut. The code is a vector, or with `classes` a label
    whose scales and biases each norm has for itself."""

    features: int
    classes: int
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], code: Array, *, train: bool):
        def activate(x):
            norm = partial(ConditionalBatchNorm, self.classes) if self.classes else ConditionedBatchNorm
            return nn.relu(norm(dtype=self.dtype)(x, code, train=train))

        def conv(x, size):
            layer = Conv(self.features, (size, size), kernel_init=orthogonal, dtype=self.dtype)
            return SpectralNorm(layer)(x, train=train)

        y = conv(enlarge(activate(x)), 3)
        y = conv(activate(y), 3)
        return y + enlarge(conv(x, 1))  # doubling commutes with it, and comes cheaper last


class BigGANGenerator(nn.Module):
    """Latent and label to an image of `shape` in (-1, 1), whose sides are multiples of 2^(doublings).

    widths:    channels of the smallest image and after each of its doublings
    embedding: units of the classes' embedding, which all norms share; each sees it beside a part of its own of the
               latent, which is split equally among the first layer and the blocks. None: neither; every norm has a
               table of the classes, and the whole latent goes into the first layer
    attention: the height of the image on which pixels attend to each other; None: they don't
    """

    shape: Sequence[int]
    widths: Sequence[int]
    classes: int
    embedding: int | None = 128
    attention: int | None = 64
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Int[Array, "b"], *, train: bool = False):
        height, width, channels = self.shape
        base = (*smallest(height, width, len(self.widths) - 1), self.widths[0])
        parts = len(self.widths) if self.embedding else 1
        if latent.shape[1] % parts:
            raise ValueError(
                f"latent of {latent.shape[1]} units: a multiple of {parts} is needed, a part for each block"
            )
        first, *rest = jnp.split(latent, parts, axis=1)
        codes = [label] * (len(self.widths) - 1)
        if self.embedding:
            code = nn.Embed(self.classes, self.embedding, embedding_init=orthogonal, dtype=self.dtype)(label)
            codes = [jnp.concatenate([code, part], axis=1) for part in rest]
        dense = nn.Dense(math.prod(base), kernel_init=orthogonal, dtype=self.dtype)
        x = SpectralNorm(dense)(first, train=train).reshape(-1, *base)
        for features, code in zip(self.widths[1:], codes, strict=True):
            x = GeneratorBlock(features, 0 if self.embedding else self.classes, self.dtype)(x, code, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return to_image(x, channels, self.dtype, train)


def to_image(x: Float[Array, "b h w c"], channels: int, dtype: Dtype | None, train: bool) -> Float[Array, "b h w o"]:
    """A last norm and convolution, to (-1, 1), within the calling module."""
    x = nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=dtype)(x))
    x = SpectralNorm(Conv(channels, (3, 3), kernel_init=orthogonal, dtype=dtype))(x, train=train)
    return nn.tanh(x.astype(jnp.float32))


class BigGANDiscriminator(nn.Module):
    """Image and label to one logit, a(φ) + ⟨b(label), φ⟩, of the features φ summed over the pixels.

    The first `downsamplings` of the blocks, which are as wide inside as they end, halve the image.
    """

    widths: Sequence[int]
    downsamplings: int
    classes: int
    attention: int | None = 64
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Int[Array, "b"], *, train: bool = False):
        smallest(*image.shape[1:3], self.downsamplings)
        x = image
        for i, features in enumerate(self.widths):
            block = DiscriminatorBlock(
                features, i == 0, i < self.downsamplings, True, self.dtype, wide=True, kernel_init=orthogonal
            )
            x = block(x, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return projection(nn.relu(x), label, self.classes, train)


def projection(x: Float[Array, "b h w c"], label: Int[Array, "b"], classes: int, train: bool) -> Float[Array, "b"]:
    """a(φ) + ⟨b(label), φ⟩ of the features φ, x summed over the pixels, within the calling module."""
    x = x.astype(jnp.float32).sum((1, 2))
    logit = SpectralNorm(nn.Dense(1, kernel_init=orthogonal))(x, train=train)[:, 0]
    embedding = nn.Dense(x.shape[-1], use_bias=False, kernel_init=orthogonal)
    code = SpectralNorm(embedding)(jax.nn.one_hot(label, classes), train=train)
    return logit + (code * x).sum(-1)
