"""A small convolutional encoder and decoder for VAEs on images from 8×8 upwards, with any number of channels."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose, with_label
from jaxgen.networks.sizes import pyramid
from jaxgen.types import Label

__all__ = ["ConvDecoder", "ConvEncoder"]


class ConvEncoder(nn.Module):
    """Maps an image to the mean and the log variance of its posterior, by 4×4 convolutions of stride 2 along `pyramid`
    and two dense layers.

        mean, log_variance = encoder(image, label, train=train)      # (b, h, w, c), (b,) -> (b, latent), (b, latent)

    Raises ValueError for sides that `pyramid` cannot halve.
    """

    latent: int = 20
    """The number of latent units."""
    width: int = 32
    """The number of channels after the first convolution; each further one doubles it."""
    hidden: int = 256
    """The width of the first dense layer."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        x = image
        for level in range(len(pyramid(*image.shape[1:3])) - 1):
            x = nn.relu(Conv(self.width * 2**level, (4, 4), strides=2, padding=1, dtype=self.dtype)(x))
        x = with_label(x.reshape(x.shape[0], -1), label, self.classes)
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        mean, log_variance = jnp.split(nn.Dense(2 * self.latent, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)
        return mean, log_variance


class ConvDecoder(nn.Module):
    """Maps a latent to the parameters of the likelihood; it is the mirror image of `ConvEncoder`.

        parameters = decoder(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    Raises ValueError for sides that `pyramid` cannot halve.
    """

    shape: Sequence[int]
    """The shape (h, w, p) of the output, with p = channels × parameters for each value."""
    width: int = 32
    """The number of channels before the last convolution; it doubles with each halving of the size."""
    hidden: int = 256
    """The width of the first dense layer."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w p"]:
        height, width, channels = self.shape
        sizes = pyramid(height, width)
        base = (*sizes[-1], self.width * 2 ** (len(sizes) - 2))
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(with_label(latent, label, self.classes)))
        x = nn.relu(nn.Dense(math.prod(base), dtype=self.dtype)(x)).reshape(-1, *base)
        for level in reversed(range(len(sizes) - 2)):
            x = nn.relu(ConvTranspose(self.width * 2**level, (4, 4), strides=2, padding=1, dtype=self.dtype)(x))
        x = ConvTranspose(channels, (4, 4), strides=2, padding=1, dtype=self.dtype)(x)
        return x.astype(jnp.float32)
