"""StarGAN (Choi et al. 2018, arXiv:1711.09020): one generator for all domains, and a critic that also classifies.

At 128×128×3 with 5 attributes the generator has 8,430,528 parameters and the critic 44,762,048.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jaxgen.layers import Conv, Upsample, Upsampling, instance_norm
from jaxgen.networks.sizes import halve

__all__ = ["StarGANDiscriminator", "StarGANGenerator"]


def torch_uniform(key: Key[Array, ""], shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Float[Array, "..."]:
    """Draws from U(±1 / √fan-in), PyTorch's default, which StarGAN keeps."""
    bound = (shape[0] * shape[1] * shape[2]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class StarGANGenerator(nn.Module):
    """Maps an image and its target attributes to an image of the same size in (-1, 1).

        made = generator(image, attributes, train=train)      # (b, h, w, c), (b, k) -> (b, h, w, channels)

    The attributes, numbers from 0 to 1, are further channels, each constant over the image. Raises ValueError for sides
    that are no multiples of 4 or less than 8.
    """

    channels: int = 3
    """The number of channels of the output."""
    width: int = 64
    """The number of channels at full size; each halving doubles it."""
    blocks: int = 6
    """The number of residual blocks."""
    upsampling: Upsampling = "transposed"
    """How the decoder doubles the size."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], attributes: Float[Array, "b k"], *, train: bool = False
    ) -> Float[Array, "b h w o"]:
        halve(*image.shape[1:3], times=2, least=8)
        common = {"use_bias": False, "dtype": self.dtype}
        conv = partial(Conv, kernel_init=torch_uniform, **common)
        norm = partial(instance_norm, dtype=self.dtype)

        maps = jnp.broadcast_to(attributes[:, None, None], (*image.shape[:3], attributes.shape[-1]))
        x = jnp.concatenate([image, maps.astype(image.dtype)], axis=-1)
        x = nn.relu(norm()(conv(self.width, (7, 7), padding=3)(x)))
        for level in (1, 2):
            x = nn.relu(norm()(conv(self.width * 2**level, (4, 4), strides=2, padding=1)(x)))
        for _ in range(self.blocks):
            y = nn.relu(norm()(conv(x.shape[-1], (3, 3), padding=1)(x)))
            x = x + norm()(conv(x.shape[-1], (3, 3), padding=1)(y))
        for level in (1, 0):
            up = Upsample(self.width * 2**level, mode=self.upsampling, kernel_init=torch_uniform, **common)
            x = nn.relu(norm()(up(x)))
        return nn.tanh(conv(self.channels, (7, 7), padding=3)(x).astype(jnp.float32))


class StarGANDiscriminator(nn.Module):
    """Maps an image to a map of critic values and to the logits of its attributes, by 4×4 convolutions of stride 2
    without normalisation.

        values, logits = discriminator(image, train=train)      # (b, h, w, c) -> (b, p, q), (b, attributes)

    Raises ValueError for sides that are no multiples of 2^levels.
    """

    attributes: int
    """The number of attributes."""
    width: int = 64
    """The number of channels after the first convolution; each further one doubles it."""
    levels: int | None = None
    """The number of halvings; by default the largest, up to 6, that leaves the shorter side 2 pixels or more."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool = False
    ) -> tuple[Float[Array, "b p q"], Float[Array, "b k"]]:
        conv = partial(Conv, kernel_init=torch_uniform, dtype=self.dtype)
        height, width = image.shape[1:3]
        levels = self.levels or max(1, min(6, min(height, width).bit_length() - 2))
        smallest = halve(height, width, times=levels)
        x = image
        for level in range(levels):
            x = nn.leaky_relu(conv(self.width * 2**level, (4, 4), strides=2, padding=1)(x), 0.01)
        values = conv(1, (3, 3), padding=1, use_bias=False)(x)
        logits = conv(self.attributes, smallest, padding=0, use_bias=False)(x)
        return values.astype(jnp.float32)[..., 0], logits.astype(jnp.float32)[:, 0, 0]
