"""The networks of the disentanglement literature, for images whose sides are multiples of 16, 64×64 in the papers.

                                                  64×64×1 images, 10 latent units
    β-VAE (Higgins et al. 2017, table 1)          encoder 309,204 and decoder 381,313, together 690,517
    FactorVAE (Kim & Mnih 2018, appendix A)       discriminator 5,018,002

The encoder is in the form of Locatello et al. (2019): its last two convolutions have 2×2 kernels.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose
from jaxgen.types import Label

__all__ = ["BetaVAEDecoder", "BetaVAEEncoder", "FactorVAEDiscriminator"]


def _check_sides(height: int, width: int) -> None:
    if height % 16 or width % 16:
        raise ValueError(f"image size {height}×{width}: this network halves it four times, sides need multiples of 16")


class BetaVAEEncoder(nn.Module):
    """Image (and label) to the posterior's mean and log variance: four convolutions of stride 2, two dense layers.

    ValueError for other sides than multiples of 16.
    """

    latent: int = 10
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Label = None):
        _check_sides(*image.shape[1:3])
        x = image
        for features, kernel, padding in ((32, 4, 1), (32, 4, 1), (64, 2, 0), (64, 2, 0)):
            x = nn.relu(Conv(features, kernel, strides=2, padding=padding, dtype=self.dtype)(x))
        x = x.reshape(x.shape[0], -1)
        if self.classes:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.classes, dtype=x.dtype)], axis=-1)
        x = nn.relu(nn.Dense(256, dtype=self.dtype)(x))
        return jnp.split(nn.Dense(2 * self.latent, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)


class BetaVAEDecoder(nn.Module):
    """Latent (and label) to the likelihood's parameters of `shape`: two dense layers, four transposed convolutions.

    ValueError for other sides than multiples of 16.
    """

    shape: Sequence[int]
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None) -> Float[Array, "b h w p"]:
        height, width, channels = self.shape
        _check_sides(height, width)
        x = latent
        if self.classes:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.classes)], axis=-1)
        x = nn.relu(nn.Dense(256, dtype=self.dtype)(x))
        x = nn.relu(nn.Dense(height // 16 * (width // 16) * 64, dtype=self.dtype)(x))
        x = x.reshape(-1, height // 16, width // 16, 64)
        for features in (64, 32, 32):
            x = nn.relu(ConvTranspose(features, 4, strides=2, padding=1, dtype=self.dtype)(x))
        return ConvTranspose(channels, 4, strides=2, padding=1, dtype=self.dtype)(x).astype(jnp.float32)


class FactorVAEDiscriminator(nn.Module):
    """Code to log D / (1 - D), the log odds that its units were drawn together: the difference of the paper's two
    logits, behind six layers of 1000 with LeakyReLU 0.2."""

    hidden: Sequence[int] = (1000,) * 6
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "b z"]) -> Float[Array, "b"]:
        x = z
        for features in self.hidden:
            x = nn.leaky_relu(nn.Dense(features, dtype=self.dtype)(x), 0.2)
        together, apart = jnp.split(nn.Dense(2, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)
        return (together - apart)[:, 0]
