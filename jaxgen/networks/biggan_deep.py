"""BigGAN-deep: Brock et al. 2019 (arXiv:1809.11096), appendix B.

    ImageNet 128   BigGANDeepGenerator((128, 128, 3), widths(128, 128)[0], 1000)           50,244,484, z 128
                   BigGANDeepDiscriminator(widths(128, 128)[1], 1000)                      34,590,210

It is deeper and smaller than BigGAN, with two bottlenecks of four convolutions at each size, whose shortcuts leave out
channels, or in the discriminator add some. Spectral norm and initialisation are those of BigGAN.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from jaxgen.layers import Conv, SelfAttention, SpectralNorm, enlarge, shrink
from jaxgen.networks.biggan import ConditionedBatchNorm, first_layer, orthogonal, to_image, to_logit
from jaxgen.networks.sizes import halve

__all__ = ["BigGANDeepDiscriminator", "BigGANDeepGenerator"]

NARROWING = 4
"""The factor by which a bottleneck has fewer channels inside than at its wide end."""


class GeneratorBottleneck(nn.Module):
    """Applies a 1×1, two 3×3 and a 1×1 convolution, each after a norm that sees the code, beside a shortcut that keeps
    the first channels: (b, h, w, c) to (b, p, q, features)."""

    features: int
    """The number of channels of the output."""
    enlarges: bool
    """Whether the block doubles the size, which it does before the 3×3 convolutions."""
    dtype: Dtype | None
    """The type in which the block computes."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], code: Float[Array, "b k"], *, train: bool
    ) -> Float[Array, "b p q f"]:
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
    """Maps a latent and a label to an image in (-1, 1).

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    Raises ValueError for sides that are no multiples of 2^(number of doublings).
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    widths: Sequence[int]
    """The numbers of channels of the smallest image and after each of its doublings; they do not rise."""
    classes: int
    """The number of classes."""
    embedding: int = 128
    """The number of units of the classes' embedding; the first layer and all norms see it with the latent beside it."""
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
        code = nn.Embed(self.classes, self.embedding, embedding_init=orthogonal, dtype=self.dtype)(label)
        code = jnp.concatenate([code, latent], axis=1)
        x = first_layer(code, base, self.dtype, train)
        for features in self.widths[1:]:
            x = GeneratorBottleneck(x.shape[-1], False, self.dtype)(x, code, train=train)
            x = GeneratorBottleneck(features, True, self.dtype)(x, code, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return to_image(x, channels, self.dtype, train)


class DiscriminatorBottleneck(nn.Module):
    """Applies a 1×1, two 3×3 and a 1×1 convolution, each after ReLU, beside a shortcut, to which a 1×1 convolution adds
    the channels that it lacks: (b, h, w, c) to (b, p, q, features)."""

    features: int
    """The number of channels of the output."""
    shrinks: bool
    """Whether the block halves the size, which it does before the last convolution."""
    dtype: Dtype | None
    """The type in which the block computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b p q f"]:
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
    """Maps an image and its label to one logit, a(φ) + ⟨b(label), φ⟩, where φ are the features summed over the pixels.

        logit = discriminator(image, label, train=train)      # (b, h, w, c), (b,) -> (b,)

    Raises ValueError for sides that are no multiples of 2^(number of halvings).
    """

    widths: Sequence[int]
    """The numbers of channels of the first convolution and after each halving of the image; they do not fall."""
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
        halve(*image.shape[1:3], times=len(self.widths) - 1)
        first = Conv(self.widths[0], (3, 3), kernel_init=orthogonal, dtype=self.dtype)
        x = SpectralNorm(first)(image, train=train)
        for features in self.widths[1:]:
            x = DiscriminatorBottleneck(features, True, self.dtype)(x, train=train)
            x = DiscriminatorBottleneck(features, False, self.dtype)(x, train=train)
            if x.shape[1] == self.attention:
                x = SelfAttention(dtype=self.dtype)(x, train=train)
        return to_logit(x, label, self.classes, train)
