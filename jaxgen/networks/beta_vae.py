"""The networks of the disentanglement literature, for images whose sides are multiples of 16, 64×64 in the papers.

                                                  64×64×1 images, 10 latent units
    β-VAE (Higgins et al. 2017, table 1)          encoder 309,204 and decoder 381,313, together 690,517
    FactorVAE (Kim & Mnih 2018, appendix A)       discriminator 5,018,002

The encoder has the form of Locatello et al. (2019), where the last two convolutions have 2×2 kernels.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose, with_label
from jaxgen.networks.sizes import halve
from jaxgen.types import Label

__all__ = ["BetaVAEDecoder", "BetaVAEEncoder", "FactorVAEDiscriminator"]


class BetaVAEEncoder(nn.Module):
    """Maps an image to the mean and the log variance of its posterior, by four convolutions of stride 2 and two dense
    layers.

        mean, log_variance = encoder(image, label, train=train)      # (b, h, w, c), (b,) -> (b, latent), (b, latent)

    Raises ValueError for sides that are no multiples of 16.
    """

    latent: int = 10
    """The number of latent units."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        halve(*image.shape[1:3], times=4)
        x = image
        for features, kernel, padding in ((32, 4, 1), (32, 4, 1), (64, 2, 0), (64, 2, 0)):
            x = nn.relu(Conv(features, kernel, strides=2, padding=padding, dtype=self.dtype)(x))
        x = with_label(x.reshape(x.shape[0], -1), label, self.classes)
        x = nn.relu(nn.Dense(256, dtype=self.dtype)(x))
        mean, log_variance = jnp.split(nn.Dense(2 * self.latent, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)
        return mean, log_variance


class BetaVAEDecoder(nn.Module):
    """Maps a latent to the parameters of the likelihood, by two dense layers and four transposed convolutions.

        parameters = decoder(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    Raises ValueError for sides that are no multiples of 16.
    """

    shape: Sequence[int]
    """The shape (h, w, p) of the output, with p = channels × parameters for each value."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w p"]:
        height, width, channels = self.shape
        base = (*halve(height, width, times=4), 64)
        x = nn.relu(nn.Dense(256, dtype=self.dtype)(with_label(latent, label, self.classes)))
        x = nn.relu(nn.Dense(math.prod(base), dtype=self.dtype)(x)).reshape(-1, *base)
        for features in (64, 32, 32):
            x = nn.relu(ConvTranspose(features, 4, strides=2, padding=1, dtype=self.dtype)(x))
        return ConvTranspose(channels, 4, strides=2, padding=1, dtype=self.dtype)(x).astype(jnp.float32)


class FactorVAEDiscriminator(nn.Module):
    """Maps a code to the log odds that its units were drawn together, log D / (1 - D): the difference of the paper's
    two logits, after dense layers with LeakyReLU 0.2.

        logit = discriminator(z)      # (b, z) -> (b,)
    """

    hidden: Sequence[int] = (1000,) * 6
    """The widths of the hidden layers."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, z: Float[Array, "b z"]) -> Float[Array, "b"]:
        x = z
        for features in self.hidden:
            x = nn.leaky_relu(nn.Dense(features, dtype=self.dtype)(x), 0.2)
        together, apart = jnp.split(nn.Dense(2, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)
        return (together - apart)[:, 0]
