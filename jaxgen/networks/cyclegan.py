"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): the residual generator of Johnson et al. 2016.

With nine blocks and 3 channels it has 11,378,179 parameters. Its discriminator is `PatchGANDiscriminator`.
"""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxgen.layers import Conv, Upsample, Upsampling, instance_norm
from jaxgen.networks.sizes import halve

__all__ = ["CycleGANGenerator"]

weights: Initializer = nn.initializers.normal(0.02)


class CycleGANGenerator(nn.Module):
    """Maps an image to one of the same size in (-1, 1), by two halvings, residual blocks and two doublings; with
    reflection padding, and with instance normalisation without scale and bias.

        made = generator(image, train=train)      # (b, h, w, c) -> (b, h, w, channels)

    Raises ValueError for sides that are no multiples of 4 or less than 8.
    """

    channels: int = 3
    """The number of channels of the output."""
    width: int = 64
    """The number of channels at full size; each halving doubles it."""
    blocks: int = 9
    """The number of residual blocks; in the paper 6 at 128×128 and 9 from 256×256 on."""
    upsampling: Upsampling = "transposed"
    """How the decoder doubles the size."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w o"]:
        halve(*image.shape[1:3], times=2, least=8)
        conv = partial(Conv, kernel_init=weights, dtype=self.dtype)
        reflected = partial(conv, padding_mode="reflect")
        norm = partial(instance_norm, use_bias=False, use_scale=False, dtype=self.dtype)

        x = nn.relu(norm()(reflected(self.width, (7, 7), padding=3)(image)))
        for level in (1, 2):
            x = nn.relu(norm()(conv(self.width * 2**level, (3, 3), strides=2, padding=1)(x)))
        for _ in range(self.blocks):
            y = nn.relu(norm()(reflected(x.shape[-1], (3, 3), padding=1)(x)))
            x = x + norm()(reflected(x.shape[-1], (3, 3), padding=1)(y))
        for level in (1, 0):
            up = Upsample(self.width * 2**level, 3, self.upsampling, kernel_init=weights, dtype=self.dtype)
            x = nn.relu(norm()(up(x)))
        return nn.tanh(reflected(self.channels, (7, 7), padding=3)(x).astype(jnp.float32))
