"""StarGAN (Choi et al. 2018, arXiv:1711.09020): one generator for all domains, and a critic that also classifies.

At 128×128×3 with 5 attributes the generator has 8,430,528 parameters and the critic 44,762,048.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, Upsample, Upsampling, instance_norm

__all__ = ["StarGANDiscriminator", "StarGANGenerator"]


def torch_uniform(key, shape, dtype=jnp.float32):
    """U(±1 / √fan-in), PyTorch's default, which StarGAN keeps."""
    bound = (shape[0] * shape[1] * shape[2]) ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class StarGANGenerator(nn.Module):
    """Image and target attributes to an image of the same size in (-1, 1). The attributes are further channels, each
    constant over the image.

    ValueError for sides that are not multiples of 4.
    """

    channels: int = 3
    width: int = 64
    blocks: int = 6
    upsampling: Upsampling = "transposed"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], attributes: Float[Array, "b k"], *, train: bool = False
    ) -> Float[Array, "b h w o"]:
        if any(side % 4 or side < 8 for side in image.shape[1:3]):
            raise ValueError(f"image size {image.shape[1]}×{image.shape[2]}: multiples of 4, at least 8, are needed")
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
    """Image to a map of critic values and to logits of `attributes`: 4×4 convolutions of stride 2, no normalisation.

    attributes: how many logits
    levels:     halvings; by default as many as leave the shorter side 2 pixels or more, at most 6

    ValueError for sides that are not multiples of 2^levels.
    """

    attributes: int
    width: int = 64
    levels: int | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool = False
    ) -> tuple[Float[Array, "b p q"], Float[Array, "b k"]]:
        conv = partial(Conv, kernel_init=torch_uniform, dtype=self.dtype)
        height, width = image.shape[1:3]
        levels = self.levels or max(1, min(6, min(height, width).bit_length() - 2))
        if height % 2**levels or width % 2**levels:
            raise ValueError(f"image size {height}×{width}: the sides must be multiples of 2^levels = {2**levels}")
        x = image
        for level in range(levels):
            x = nn.leaky_relu(conv(self.width * 2**level, (4, 4), strides=2, padding=1)(x), 0.01)
        values = conv(1, (3, 3), padding=1, use_bias=False)(x)
        logits = conv(self.attributes, x.shape[1:3], padding=0, use_bias=False)(x)
        return values.astype(jnp.float32)[..., 0], logits.astype(jnp.float32)[:, 0, 0]
