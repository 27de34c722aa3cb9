"""The convolutional players of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): 5×5 kernels of stride 2.

                    generator                                              discriminator
    MNIST 28×28×1   WGANGPGenerator((28, 28, 1))                1,554,177  WGANGPDiscriminator()     1,030,145
    CIFAR 32×32×3   WGANGPGenerator((32, 32, 3), 128, True)     5,179,907  WGANGPDiscriminator(128)  4,114,689

with 128 latent units. The discriminator has no batch normalisation, because the gradient penalty is computed for each
example by itself.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jaxgen.layers import Conv, ConvTranspose, with_label
from jaxgen.networks.sizes import rounded_pyramid
from jaxgen.types import Label

__all__ = ["WGANGPDiscriminator", "WGANGPGenerator"]


def weights(key: Key[Array, ""], shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Float[Array, "..."]:
    """Draws from a uniform distribution of variance 4 / (fan-in + fan-out); the stride of 2 leaves a quarter of one of
    the fans."""
    bound = math.sqrt(3 * 4 / (shape[0] * shape[1] * (shape[2] + shape[3] / 4)))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class WGANGPGenerator(nn.Module):
    """Maps a latent, and with `classes` a label, to an image in (-1, 1).

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    The one-hot label is appended to the latent. Raises ValueError for sides of less than 5 pixels.
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    width: int = 64
    """The number of channels before the last layer; it doubles with each halving of the size."""
    batch_norm: bool = False
    """Whether all layers but the last are followed by batch normalisation."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w c"]:
        height, width, channels = self.shape
        sizes = rounded_pyramid(height, width)

        def activate(x):
            if self.batch_norm:
                x = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype)(x)
            return nn.relu(x)

        base = (*sizes[-1], self.width * 2 ** (len(sizes) - 2))
        x = with_label(latent, label, self.classes)
        x = nn.Dense(math.prod(base), kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype)(x)
        x = activate(x).reshape(-1, *base)  # every unit of the dense layer has a batch norm of its own
        for level in reversed(range(len(sizes) - 1)):
            features = self.width * 2 ** (level - 1) if level else channels
            x = ConvTranspose(features, (5, 5), strides=2, kernel_init=weights, dtype=self.dtype)(x)
            x = x[:, : sizes[level][0], : sizes[level][1]]
            x = activate(x) if level else x
        return nn.tanh(x.astype(jnp.float32))


class WGANGPDiscriminator(nn.Module):
    """Maps an image, and with `classes` its label, to one logit, the critic's unbounded value.

        logit = discriminator(image, label, train=train)      # (b, h, w, c), (b,) -> (b,)

    The one-hot label is appended to the image as channels. Raises ValueError for sides of less than 5 pixels.
    """

    width: int = 64
    """The number of channels after the first convolution; each further one doubles it."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b"]:
        x = with_label(image, label, self.classes)
        for level in range(len(rounded_pyramid(*image.shape[1:3])) - 1):
            x = Conv(self.width * 2**level, (5, 5), strides=2, kernel_init=weights, dtype=self.dtype)(x)
            x = nn.leaky_relu(x, 0.2)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(1, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype)(x)
        return x.astype(jnp.float32)[:, 0]
