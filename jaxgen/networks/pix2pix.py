"""Pix2Pix (Isola et al. 2017, arXiv:1611.07004): the U-Net generator and the PatchGAN discriminator.

At 256×256×3 the U-Net has 54,413,955 parameters and the 70×70 PatchGAN of six channels 2,768,705. With instance norm
and three channels, as CycleGAN has it, the PatchGAN has 2,764,737.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, Upsample, Upsampling, instance_norm

__all__ = ["FIELDS", "PatchGANDiscriminator", "UNetGenerator"]

FIELDS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""By receptive field of the PatchGAN, in pixels: how many of its convolutions halve the image."""

weights = nn.initializers.normal(0.02)


def scales(key, shape, dtype=jnp.float32):
    """N(1, 0.02): how the gains of batch normalisation start."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


Norm = Literal["batch", "instance"]


def _norm(kind: Norm, train: bool, dtype: Dtype | None):
    if kind == "instance":
        return partial(instance_norm, use_bias=False, use_scale=False, dtype=dtype)
    return partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, scale_init=scales, dtype=dtype)


class UNetGenerator(nn.Module):
    """Image to an image of the same size in (-1, 1): an encoder of 4×4 convolutions of stride 2, a decoder that mirrors
    it, and skips between equal sizes. Dropout in the three blocks of the decoder after the innermost is the noise.

    channels: of the output
    levels:   halvings; by default as many as the sides allow, at most 8, which takes 256×256 to 1×1
    dropout:  its rate
    norm:     of the batch, or of each image by itself, which a batch of one image makes the same

    ValueError for sides that are not multiples of 2^levels, or by default of 32.
    """

    channels: int = 3
    width: int = 64
    levels: int | None = None
    dropout: float = 0.5
    norm: Norm = "batch"
    upsampling: Upsampling = "transposed"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w o"]:
        levels = self._levels(*image.shape[1:3])
        widths = [self.width * 2 ** min(level, 3) for level in range(levels)]
        common = {"kernel_init": weights, "dtype": self.dtype}
        down = partial(Conv, kernel_size=(4, 4), strides=2, padding=1, **common)
        up = partial(Upsample, mode=self.upsampling, **common)
        norm, use_bias = _norm(self.norm, train, self.dtype), self.norm == "instance"

        skips, x = [], image
        for level, features in enumerate(widths):
            x = down(features, use_bias=use_bias)(nn.leaky_relu(x, 0.2) if level else x)
            if 0 < level < levels - 1:
                x = norm()(x)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(1, levels)):
            x = norm()(up(widths[level - 1], use_bias=use_bias)(nn.relu(x)))
            if levels - 5 < level < levels - 1:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
        return nn.tanh(up(self.channels)(nn.relu(x)).astype(jnp.float32))

    def _levels(self, height: int, width: int) -> int:
        most = next(n for n in range(8, -1, -1) if height % 2**n == width % 2**n == 0)
        least = 5 if self.levels is None else self.levels
        if not 1 <= least <= 8:
            raise ValueError(f"levels={least}: 1 to 8 are allowed")
        if most < least:
            raise ValueError(f"image size {height}×{width}: the sides must be multiples of 2^levels = {2**least}")
        return most if self.levels is None else self.levels


class PatchGANDiscriminator(nn.Module):
    """Image to a map of logits, each of which judges a patch of `field` × `field` pixels, 286, 142, 70, 34, 16 or 1.

    ValueError for another field, and for images that are too small for it.
    """

    width: int = 64
    field: int = 70
    norm: Norm = "batch"
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b p q"]:
        if self.field not in FIELDS:
            raise ValueError(f"field={self.field}: choose from {', '.join(map(str, FIELDS))}")
        halvings = FIELDS[self.field]
        if min(image.shape[1:3]) >> halvings < (3 if halvings else 1):
            raise ValueError(
                f"image size {image.shape[1]}×{image.shape[2]}: too small for patches of {self.field} pixels"
            )
        size, padding = ((4, 4), 1) if halvings else ((1, 1), 0)
        conv = partial(Conv, kernel_size=size, padding=padding, kernel_init=weights, dtype=self.dtype)
        norm, use_bias = _norm(self.norm, train, self.dtype), self.norm == "instance"

        x = nn.leaky_relu(conv(self.width, strides=2 if halvings else 1)(image), 0.2)
        for level in range(1, max(halvings, 1) + 1):
            x = conv(self.width * 2 ** min(level, 3), strides=2 if level < halvings else 1, use_bias=use_bias)(x)
            x = nn.leaky_relu(norm()(x), 0.2)
        x = conv(1, use_bias=use_bias or halvings > 0)(x)
        return x.astype(jnp.float32)[..., 0]
