"""Pix2Pix (Isola et al. 2017, arXiv:1611.07004): the U-Net generator and the PatchGAN discriminator.

At 256×256×3 the U-Net has 54,413,955 parameters and the 70×70 PatchGAN of six channels 2,768,705. With instance
normalisation and three channels, as in CycleGAN, the PatchGAN has 2,764,737.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxgen.layers import Conv, Upsample, Upsampling, around_one, instance_norm
from jaxgen.networks.sizes import exact_halvings, halve

__all__ = ["FIELDS", "PatchGANDiscriminator", "UNetGenerator"]

FIELDS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""The number of the PatchGAN's convolutions that halve the image, by its receptive field in pixels."""

Norm = Literal["batch", "instance"]
"""Normalisation over the batch, or of each image by itself."""

weights: Initializer = nn.initializers.normal(0.02)


def normalisation(kind: Norm, train: bool, dtype: Dtype | None) -> Callable[[], nn.Module]:
    """Returns a function that makes a normalisation layer of this kind."""
    if kind == "instance":
        return partial(instance_norm, use_bias=False, use_scale=False, dtype=dtype)
    return partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, scale_init=around_one, dtype=dtype)


def unet_levels(height: int, width: int, levels: int | None) -> int:
    """Returns the number of halvings of the U-Net: `levels`, or by default the largest that the sides allow, up to 8.

    Raises ValueError unless the sides allow `levels`, or by default 5, halvings.
    """
    least = 5 if levels is None else levels
    if not 1 <= least <= 8:
        raise ValueError(f"levels={least}: 1 to 8 are allowed")
    halve(height, width, times=least)
    return min(8, exact_halvings(height, width)) if levels is None else levels


class UNetGenerator(nn.Module):
    """Maps an image to one of the same size in (-1, 1), by an encoder of 4×4 convolutions of stride 2, a decoder that
    mirrors it, and skips between equal sizes.

        made = generator(image, train=train)      # (b, h, w, c) -> (b, h, w, channels)

    Dropout in the three blocks of the decoder after the innermost is the noise. Raises ValueError for sides that are no
    multiples of 2^levels, or by default of 32.
    """

    channels: int = 3
    """The number of channels of the output."""
    width: int = 64
    """The number of channels after the first convolution; each further one doubles it, up to eight times `width`."""
    levels: int | None = None
    """The number of halvings; by default the largest that the sides allow, up to 8, which takes 256×256 to 1×1."""
    dropout: float = 0.5
    """The rate of dropout."""
    norm: Norm = "batch"
    """Normalisation over the batch, or of each image by itself; they are the same for a batch of one image."""
    upsampling: Upsampling = "transposed"
    """How the decoder doubles the size."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w o"]:
        levels = unet_levels(*image.shape[1:3], levels=self.levels)
        widths = [self.width * 2 ** min(level, 3) for level in range(levels)]
        common = {"kernel_init": weights, "dtype": self.dtype}
        down = partial(Conv, kernel_size=(4, 4), strides=2, padding=1, **common)
        up = partial(Upsample, mode=self.upsampling, **common)
        norm, use_bias = normalisation(self.norm, train, self.dtype), self.norm == "instance"

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


class PatchGANDiscriminator(nn.Module):
    """Maps an image to a map of logits, each of which judges a patch of `field` × `field` pixels.

        logits = discriminator(image, train=train)      # (b, h, w, c) -> (b, p, q)

    Raises ValueError for a field that is not in `FIELDS`, and for images that are too small for it.
    """

    width: int = 64
    """The number of channels after the first convolution; each further one doubles it, up to eight times `width`."""
    field: int = 70
    """The side of the receptive field in pixels: 286, 142, 70, 34, 16 or 1."""
    norm: Norm = "batch"
    """Normalisation over the batch, or of each image by itself."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b p q"]:
        if self.field not in FIELDS:
            raise ValueError(f"field={self.field}: choose from {', '.join(map(str, FIELDS))}")
        halvings = FIELDS[self.field]
        height, width = image.shape[1:3]
        if min(height, width) >> halvings < (3 if halvings else 1):
            raise ValueError(f"image size {height}×{width}: too small for patches of {self.field} pixels")
        size, padding = ((4, 4), 1) if halvings else ((1, 1), 0)
        conv = partial(Conv, kernel_size=size, padding=padding, kernel_init=weights, dtype=self.dtype)
        norm, use_bias = normalisation(self.norm, train, self.dtype), self.norm == "instance"

        x = nn.leaky_relu(conv(self.width, strides=2 if halvings else 1)(image), 0.2)
        for level in range(1, max(halvings, 1) + 1):
            x = conv(self.width * 2 ** min(level, 3), strides=2 if level < halvings else 1, use_bias=use_bias)(x)
            x = nn.leaky_relu(norm()(x), 0.2)
        x = conv(1, use_bias=use_bias or halvings > 0)(x)
        return x.astype(jnp.float32)[..., 0]
