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

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float, Int

from jaxgen.layers import ConditionalBatchNorm, Conv, SelfAttention, SpectralNorm, enlarge
from jaxgen.networks.resnet import DiscriminatorBlock, projection
from jaxgen.networks.sizes import halve

__all__ = ["FACTORS", "BigGANDiscriminator", "BigGANGenerator", "widths"]

orthogonal: Initializer = nn.initializers.orthogonal()

FACTORS: dict[int, tuple[int, ...]] = {64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1), 256: (16, 16, 8, 8, 4, 2, 1)}
"""The generator's channels in units of its width, by the side of the image in pixels (appendix B; 64 as in the authors'
code)."""


def widths(side: int, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the channels of generator and discriminator for square images of this side in pixels (appendix B).

    The discriminator halves the image in all blocks but the last. Raises ValueError for sides that are not in
    `FACTORS`.
    """
    if side not in FACTORS:
        raise ValueError(f"side {side}: BigGAN is laid out for {', '.join(map(str, FACTORS))} pixels")
    _, *factors = FACTORS[side]
    judge = factors[::-1] if factors[-1] == 1 else [1, *factors[:0:-1]]
    return tuple(width * f for f in FACTORS[side]), tuple(width * f for f in (*judge, 16))


class ConditionedBatchNorm(nn.Module):
    """Batch normalisation whose scale, 1 + U c, and bias, V c, are linear in a code c (b, k) of each example."""

    dtype: Dtype | None = None
    """The type in which the layer computes."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], code: Float[Array, "b k"], *, train: bool
    ) -> Float[Array, "b h w c"]:
        def linear(code):
            layer = nn.Dense(x.shape[-1], use_bias=False, kernel_init=orthogonal, dtype=self.dtype)
            return SpectralNorm(layer)(code, train=train)[:, None, None]

        scale, bias = 1 + linear(code), linear(code)
        norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, use_scale=False, use_bias=False)
        return norm(x) * scale + bias


class GeneratorBlock(nn.Module):
    """Doubles the size by two 3×3 convolutions beside a 1×1 shortcut: (b, h, w, c) to (b, 2h, 2w, features).

    The code is a vector for each example, (b, k), or with `classes` a label, (b,).
    """

    features: int
    """The number of channels of the output."""
    classes: int
    """The number of classes, for each of which every norm has a scale and a bias; 0 where the code is a vector."""
    dtype: Dtype | None
    """The type in which the block computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], code: Array, *, train: bool) -> Float[Array, "b h2 w2 f"]:
        def activate(x):
            norm = partial(ConditionalBatchNorm, self.classes) if self.classes else ConditionedBatchNorm
            return nn.relu(norm(dtype=self.dtype)(x, code, train=train))

        def conv(x, size):
            layer = Conv(self.features, (size, size), kernel_init=orthogonal, dtype=self.dtype)
            return SpectralNorm(layer)(x, train=train)

        y = conv(enlarge(activate(x)), 3)
        y = conv(activate(y), 3)
        return y + enlarge(conv(x, 1))  # a 1×1 convolution is cheaper before the doubling


class BigGANGenerator(nn.Module):
    """Maps a latent and a label to an image in (-1, 1).

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    Raises ValueError for sides that are no multiples of 2^(number of doublings), and for a latent that cannot be split
    equally among the first layer and the blocks.
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    widths: Sequence[int]
    """The numbers of channels of the smallest image and after each of its doublings."""
    classes: int
    """The number of classes."""
    embedding: int | None = 128
    """The number of units of the classes' embedding, which all norms share. Each block sees it beside a part of its own
    of the latent, which is split equally among the first layer and the blocks. None: there is no embedding, every norm
    has a table of the classes, and the whole latent goes into the first layer."""
    attention: int | None = 64
    """The height of the image on which pixels attend to each other; None: on none."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Int[Array, "b"], *, train: bool = False
    ) -> Float[Array, "b h w c"]:
        height, width, channels = self.shape
        base = (*halve(height, width, len(self.widths) - 1), self.widths[0])
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
        x = first_layer(first, base, self.dtype, train)
        for features, code in zip(self.widths[1:], codes, strict=True):
            x = GeneratorBlock(features, 0 if self.embedding else self.classes, self.dtype)(x, code, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return to_image(x, channels, self.dtype, train)


def first_layer(
    code: Float[Array, "b k"], shape: tuple[int, int, int], dtype: Dtype | None, train: bool
) -> Float[Array, "b h w c"]:
    """Maps a code to the smallest image, of this shape, by a dense layer, which belongs to the calling module."""
    dense = nn.Dense(math.prod(shape), kernel_init=orthogonal, dtype=dtype)
    return SpectralNorm(dense)(code, train=train).reshape(-1, *shape)


def to_image(x: Float[Array, "b h w c"], channels: int, dtype: Dtype | None, train: bool) -> Float[Array, "b h w o"]:
    """Maps features to an image in (-1, 1) by a norm and a convolution, which belong to the calling module."""
    x = nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=dtype)(x))
    x = SpectralNorm(Conv(channels, (3, 3), kernel_init=orthogonal, dtype=dtype))(x, train=train)
    return nn.tanh(x.astype(jnp.float32))


def to_logit(x: Float[Array, "b h w c"], label: Int[Array, "b"], classes: int, train: bool) -> Float[Array, "b"]:
    """Maps features to one logit by `projection`, after ReLU and a sum over the pixels."""
    return projection(nn.relu(x).astype(jnp.float32).sum((1, 2)), label, classes, orthogonal, True, train)


class BigGANDiscriminator(nn.Module):
    """Maps an image and its label to one logit, a(φ) + ⟨b(label), φ⟩, where φ are the features summed over the pixels.

        logit = discriminator(image, label, train=train)      # (b, h, w, c), (b,) -> (b,)

    Raises ValueError for sides that are no multiples of 2^downsamplings.
    """

    widths: Sequence[int]
    """The numbers of channels after each block; inside, a block has those of its output."""
    downsamplings: int
    """The number of blocks, from the first on, that halve the image."""
    classes: int
    """The number of classes."""
    attention: int | None = 64
    """The height of the image on which pixels attend to each other; None: on none."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Int[Array, "b"], *, train: bool = False
    ) -> Float[Array, "b"]:
        halve(*image.shape[1:3], times=self.downsamplings)
        x = image
        for i, features in enumerate(self.widths):
            block = DiscriminatorBlock(
                features, i == 0, i < self.downsamplings, True, self.dtype, wide=True, kernel_init=orthogonal
            )
            x = block(x, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return to_logit(x, label, self.classes, train)
