"""The convolutional players of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): 5×5 kernels of stride 2.

                    generator                                              discriminator
    MNIST 28×28×1   WGANGPGenerator((28, 28, 1))                1,554,177  WGANGPDiscriminator()     1,030,145
    CIFAR 32×32×3   WGANGPGenerator((32, 32, 3), 128, True)     5,179,907  WGANGPDiscriminator(128)  4,114,689

with 128 latent units. The discriminator has no batch normalisation: the gradient penalty is each example's own.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose
from jaxgen.networks.dcgan import with_label
from jaxgen.types import Label

__all__ = ["WGANGPDiscriminator", "WGANGPGenerator"]


def halvings(height: int, width: int) -> list[tuple[int, int]]:
    """The sizes met by halving, rounded up, until a side is 4 pixels or less: 28 gives 28, 14, 7, 4.

    ValueError where not even one halving is needed.
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > 4:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    if len(sizes) == 1:
        raise ValueError(f"image size {height}×{width}: WGAN-GP's networks need sides of at least 5 pixels")
    return sizes


def weights(key, shape, dtype=jnp.float32):
    """Uniform with the variance 4 / (fan-in + fan-out); the stride of 2 leaves a quarter of one of the fans."""
    bound = math.sqrt(3 * 4 / (shape[0] * shape[1] * (shape[2] + shape[3] / 4)))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class WGANGPGenerator(nn.Module):
    """Latent (with a one-hot label appended, when conditional) to an image of `shape` in (-1, 1)."""

    shape: Sequence[int]
    width: int = 64
    batch_norm: bool = False
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        height, width, channels = self.shape
        sizes = halvings(height, width)

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
    """Image (with the label as one-hot channels, when conditional) to one logit, the critic's unbounded value."""

    width: int = 64
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False):
        x = with_label(image, label, self.classes)
        for level in range(len(halvings(*image.shape[1:3])) - 1):
            x = Conv(self.width * 2**level, (5, 5), strides=2, kernel_init=weights, dtype=self.dtype)(x)
            x = nn.leaky_relu(x, 0.2)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(1, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype)(x)
        return x.astype(jnp.float32)[:, 0]
