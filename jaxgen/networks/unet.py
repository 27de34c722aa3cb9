"""The U-Net of denoising diffusion models (Ho et al. 2020, appendix B).

With the defaults and CIFAR-10's 32×32×3 images it has the paper's 35,746,307 parameters.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxgen.layers import Conv, enlarge, time_embedding
from jaxgen.types import Label

__all__ = ["DiffusionUNet"]

kernel_init: Initializer = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def group_norm(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Normalises x over groups of at least 4 channels, at most 32 groups. The layer belongs to the calling module."""
    return nn.GroupNorm(math.gcd(32, x.shape[-1] // 4), epsilon=1e-6, dtype=x.dtype)(x)


class ResidualBlock(nn.Module):
    """Applies two 3×3 convolutions, each after normalisation and activation, beside a shortcut, and adds the embedding
    of the time between the two: (b, h, w, c) to (b, h, w, features)."""

    features: int
    """The number of channels of the output."""
    dropout: float
    """The rate of dropout before the second convolution."""
    dtype: Dtype | None
    """The type in which the block computes."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], embedding: Float[Array, "b e"], *, train: bool
    ) -> Float[Array, "b h w f"]:
        def conv(x, init=kernel_init):
            return Conv(self.features, (3, 3), kernel_init=init, dtype=self.dtype)(x)

        h = conv(nn.swish(group_norm(x)))
        h += nn.Dense(self.features, kernel_init=kernel_init, dtype=self.dtype)(nn.swish(embedding))[:, None, None]
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.swish(group_norm(h)))
        h = conv(h, nn.initializers.zeros)
        if x.shape[-1] != self.features:
            x = Conv(self.features, (1, 1), kernel_init=kernel_init, dtype=self.dtype)(x)
        return x + h


class AttentionBlock(nn.Module):
    """Adds to the pixels their self-attention, with one head: (b, h, w, c) to the same shape."""

    dtype: Dtype | None
    """The type in which the block computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        pixels = group_norm(x).reshape(b, h * w, c)
        query, key, value = (nn.Dense(c, kernel_init=kernel_init, dtype=self.dtype)(pixels) for _ in range(3))
        scores = jnp.einsum("bqc,bkc->bqk", query, key).astype(jnp.float32) * c**-0.5
        attended = nn.softmax(scores).astype(value.dtype) @ value
        attended = nn.Dense(c, kernel_init=nn.initializers.zeros, dtype=self.dtype)(attended)
        return x + attended.reshape(x.shape)


class DiffusionUNet(nn.Module):
    """Maps images, the time and the label to `outputs` values for each channel, by residual blocks at one resolution
    after another, each half of the one before, and back, with skips between equal resolutions.

        values = network(x, time, label, train=train)      # (b, h, w, c), (b,), (b,) -> (b, h, w, c · outputs)

    Half of an odd side is rounded up. Raises ValueError for a width that is no multiple of 4.
    """

    width: int = 128
    """The number of channels at full size."""
    multipliers: Sequence[int] = (1, 2, 2, 2)
    """The number of channels at each resolution, in units of `width`."""
    blocks: int = 2
    """The number of residual blocks at each resolution; there is one more on the way back."""
    attention: Sequence[int] = (16,)
    """The heights at which pixels attend to each other after each residual block; in the middle they always do."""
    dropout: float = 0.1
    """The rate of dropout."""
    outputs: int = 1
    """The number of values for each channel of the image; 2 for learned variances."""
    classes: int = 0
    """The number of classes. A label is from 0 to classes - 1, or `classes` for none. 0: the label is ignored."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], time: Float[Array, "b"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w o"]:
        if self.width < 4 or self.width % 4:
            raise ValueError(f"width {self.width}: a multiple of 4 is needed")

        def conv(x, features, init=kernel_init, strides=1):
            return Conv(features, (3, 3), strides=strides, kernel_init=init, dtype=self.dtype)(x)

        def block(x, features, attend):
            x = ResidualBlock(features, self.dropout, self.dtype)(x, embedding, train=train)
            return AttentionBlock(self.dtype)(x) if attend else x

        wide = 4 * self.width
        embedding = time_embedding(time, self.width)
        embedding = nn.Dense(wide, kernel_init=kernel_init, dtype=self.dtype)(embedding)
        embedding = nn.Dense(wide, kernel_init=kernel_init, dtype=self.dtype)(nn.swish(embedding))
        if self.classes:
            small = nn.initializers.normal(0.02)
            embedding += nn.Embed(self.classes + 1, wide, self.dtype, embedding_init=small)(label)

        channels, widths = x.shape[-1], [self.width * multiplier for multiplier in self.multipliers]
        x = conv(x, self.width)
        skips = [x]
        for level, features in enumerate(widths):
            if level:
                x = conv(x, x.shape[-1], strides=2)
                skips.append(x)
            for _ in range(self.blocks):
                x = block(x, features, x.shape[1] in self.attention)
                skips.append(x)
        x = block(block(x, widths[-1], True), widths[-1], False)
        for level, features in reversed(list(enumerate(widths))):
            for _ in range(self.blocks + 1):
                x = block(jnp.concatenate([x, skips.pop()], axis=-1), features, x.shape[1] in self.attention)
            if level:
                height, width = skips[-1].shape[1:3]
                x = conv(enlarge(x)[:, :height, :width], features)
        return conv(nn.swish(group_norm(x)), channels * self.outputs, nn.initializers.zeros).astype(jnp.float32)
