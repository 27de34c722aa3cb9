"""Small convolutional encoder and decoder for VAEs on images from 8×8 upwards, of any channel count."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose
from jaxgen.types import Label

__all__ = ["ConvDecoder", "ConvEncoder", "pyramid"]


def pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """The sizes met by halving an image while both sides are even and stay at least 4, the largest first.

    28×28 gives 28, 14, 7; 64×64 gives 64, 32, 16, 8, 4. ValueError where not even one halving is possible.
    """
    sizes = [(height, width)]
    while all(side % 2 == 0 and side >= 8 for side in sizes[-1]):
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    if len(sizes) == 1:
        raise ValueError(f"image size {height}×{width}: a convolutional network needs even sides of at least 8 pixels")
    return sizes


class ConvEncoder(nn.Module):
    """Image (and label) to the posterior's mean and log variance: 4×4 convolutions of stride 2, then a dense layer."""

    latent: int = 20
    width: int = 32
    hidden: int = 256
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Label = None):
        x = image
        for level in range(len(pyramid(*image.shape[1:3])) - 1):
            x = nn.relu(Conv(self.width * 2**level, (4, 4), strides=2, padding=1, dtype=self.dtype)(x))
        x = x.reshape(x.shape[0], -1)
        if self.classes:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.classes, dtype=x.dtype)], axis=-1)
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        return jnp.split(nn.Dense(2 * self.latent, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)


class ConvDecoder(nn.Module):
    """Latent (and label) to the likelihood's parameters of `shape`: the mirror image of `ConvEncoder`."""

    shape: Sequence[int]
    width: int = 32
    hidden: int = 256
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None) -> Float[Array, "b h w p"]:
        height, width, channels = self.shape
        sizes = pyramid(height, width)
        base = (*sizes[-1], self.width * 2 ** (len(sizes) - 2))
        x = latent
        if self.classes:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.classes)], axis=-1)
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        x = nn.relu(nn.Dense(math.prod(base), dtype=self.dtype)(x)).reshape(-1, *base)
        for level in reversed(range(len(sizes) - 2)):
            x = ConvTranspose(self.width * 2**level, (4, 4), strides=2, padding=1, dtype=self.dtype)(x)
            x = nn.relu(x)
        x = ConvTranspose(channels, (4, 4), strides=2, padding=1, dtype=self.dtype)(x)
        return x.astype(jnp.float32)
