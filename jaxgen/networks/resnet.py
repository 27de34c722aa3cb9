"""Residual players of WGAN-GP (Gulrajani et al. 2017) and SN-GAN (Miyato et al. 2018).

Conditional ones follow Miyato & Koyama (2018): the generator's batch norms have scales and biases for each class, and
the discriminator is one of projection.

    WGAN-GP 32   ResNetGenerator((32, 32, 3), (128,) * 4)                      1,204,483
                 ResNetDiscriminator(spectral_norm=False, pooling=jnp.mean)    1,053,825
    SN-GAN 32    ResNetGenerator((32, 32, 3))                                  4,276,739
                 ResNetDiscriminator()                                         1,053,825
    SN-GAN 64    ResNetGenerator((64, 64, 3), (1024, 512, 256, 128, 64))
                 ResNetDiscriminator((64, 128, 256, 512, 1024), downsamplings=5)

with 128 latent units. 28×28 is `ResNetGenerator((28, 28, 1), (256,) * 3)`, from 7×7.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxgen.layers import ConditionalBatchNorm, Conv, SpectralNorm, enlarge, shrink
from jaxgen.networks.sizes import halve
from jaxgen.types import Label

__all__ = ["ResNetDiscriminator", "ResNetGenerator"]

xavier: Initializer = nn.initializers.xavier_uniform()
residual: Initializer = nn.initializers.variance_scaling(
    2.0, "fan_avg", "uniform"
)  # Xavier with a gain of √2, for ReLU


class GeneratorBlock(nn.Module):
    """Doubles the size by two 3×3 convolutions beside a 1×1 shortcut: (b, h, w, c) to (b, 2h, 2w, features)."""

    features: int
    """The number of channels of the output."""
    classes: int
    """The number of classes; 0 for an unconditional block."""
    dtype: Dtype | None
    """The type in which the block computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], label: Label, *, train: bool) -> Float[Array, "b h2 w2 f"]:
        def activate(x):
            if self.classes:
                return nn.relu(ConditionalBatchNorm(self.classes, dtype=self.dtype)(x, label, train=train))
            return nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x))

        conv = partial(Conv, self.features, dtype=self.dtype)
        y = conv((3, 3), kernel_init=residual)(enlarge(activate(x)))
        y = conv((3, 3), kernel_init=residual)(activate(y))
        return y + enlarge(conv((1, 1), kernel_init=xavier)(x))  # a 1×1 convolution is cheaper before the doubling


class ResNetGenerator(nn.Module):
    """Maps a latent, and with `classes` a label, to an image in (-1, 1).

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    Raises ValueError for sides that are no multiples of 2^(number of doublings).
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    widths: Sequence[int] = (256,) * 4
    """The numbers of channels of the smallest image and after each of its doublings."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w c"]:
        height, width, channels = self.shape
        base = (*halve(height, width, len(self.widths) - 1), self.widths[0])
        x = nn.Dense(math.prod(base), kernel_init=xavier, dtype=self.dtype)(latent).reshape(-1, *base)
        for features in self.widths[1:]:
            x = GeneratorBlock(features, self.classes, self.dtype)(x, label, train=train)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x))
        x = Conv(channels, (3, 3), kernel_init=xavier, dtype=self.dtype)(x)
        return nn.tanh(x.astype(jnp.float32))


def constrained(layer: nn.Module, spectral_norm: bool, train: bool) -> Callable[[Array], Array]:
    """Returns the layer, spectrally normalised or as it is."""
    return partial(SpectralNorm(layer), train=train) if spectral_norm else layer


class DiscriminatorBlock(nn.Module):
    """Applies two 3×3 convolutions, and halves the size when downsampling, beside a shortcut, which is a 1×1
    convolution unless the block changes neither size nor channels: (b, h, w, c) to (b, p, q, features)."""

    features: int
    """The number of channels of the output."""
    first: bool
    """Whether the block is the first of its network, which does not rectify its input, the image."""
    downsample: bool
    """Whether the block halves the size."""
    spectral_norm: bool
    """Whether the convolutions are spectrally normalised."""
    dtype: Dtype | None
    """The type in which the block computes."""
    wide: bool = False
    """Whether the block has the channels of its output between its convolutions, as the first always has; by default
    it has those of its input."""
    kernel_init: Initializer | None = None
    """The initialiser of the kernels; by default Xavier's, with a gain of √2 for the 3×3 convolutions."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b p q f"]:
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


def projection(
    x: Float[Array, "b f"], label: Label, classes: int, kernel_init: Initializer, spectral_norm: bool, train: bool
) -> Float[Array, "b"]:
    """Returns a(x) + ⟨b(label), x⟩ with a dense layer a and an embedding b, which belong to the calling module (Miyato
    & Koyama 2018); a(x) alone for 0 classes."""
    logit = constrained(nn.Dense(1, kernel_init=kernel_init), spectral_norm, train)(x)[:, 0]
    if not classes:
        return logit
    embedding = nn.Dense(x.shape[-1], use_bias=False, kernel_init=kernel_init)
    code = constrained(embedding, spectral_norm, train)(jax.nn.one_hot(label, classes))
    return logit + (code * x).sum(-1)


class ResNetDiscriminator(nn.Module):
    """Maps an image, and with `classes` its label, to one logit, a(φ) + ⟨b(label), φ⟩, where φ are the features summed
    over the pixels.

        logit = discriminator(image, label, train=train)      # (b, h, w, c), (b,) -> (b,)

    Raises ValueError for sides that are no multiples of 2^downsamplings.
    """

    widths: Sequence[int] = (128,) * 4
    """The numbers of channels after each block."""
    downsamplings: int = 2
    """The number of blocks, from the first on, that halve the image."""
    spectral_norm: bool = True
    """Whether all layers are spectrally normalised."""
    pooling: Callable[..., Array] = jnp.sum
    """How features are pooled over the pixels: `jnp.sum` or `jnp.mean`."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b"]:
        halve(*image.shape[1:3], times=self.downsamplings)
        x = image
        for i, features in enumerate(self.widths):
            block = DiscriminatorBlock(features, i == 0, i < self.downsamplings, self.spectral_norm, self.dtype)
            x = block(x, train=train)
        x = self.pooling(nn.relu(x).astype(jnp.float32), axis=(1, 2))
        return projection(x, label, self.classes, xavier, self.spectral_norm, train)
