"""DCGAN (Radford et al. 2016): strided convolutions, batch normalisation, no biases, N(0, 0.02) weights.

At 64×64×3 with width 64 the generator has 3,576,704 parameters and the discriminator 2,765,568. Other sizes keep the
pattern: 4×4 kernels of stride 2 between the image and the smallest size of `pyramid`, channels doubling inwards.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from jaxgen.layers import Conv, ConvTranspose
from jaxgen.networks.convolutional import pyramid

__all__ = ["DCGANDiscriminator", "DCGANGenerator"]

Label = Int[Array, "b"] | None

weights = nn.initializers.normal(0.02)


def scales(key, shape, dtype=jnp.float32):
    """N(1, 0.02): how DCGAN starts the gains of its batch normalisation."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class DCGANGenerator(nn.Module):
    """Latent (with a one-hot label appended, when conditional) to an image of `shape` in (-1, 1)."""

    shape: Sequence[int]
    width: int = 64
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        height, width, channels = self.shape
        sizes = pyramid(height, width)
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=scales)
        deconv = partial(
            ConvTranspose,
            kernel_size=(4, 4),
            strides=2,
            padding=1,
            use_bias=False,
            kernel_init=weights,
            dtype=self.dtype,
        )
        x = latent
        if self.classes:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.classes)], axis=-1)
        base = (*sizes[-1], self.width * 2 ** (len(sizes) - 2))
        x = nn.Dense(math.prod(base), use_bias=False, kernel_init=weights, dtype=self.dtype)(x)
        x = nn.relu(norm()(x.reshape(-1, *base)))
        for level in reversed(range(len(sizes) - 2)):
            x = nn.relu(norm()(deconv(self.width * 2**level)(x)))
        return nn.tanh(deconv(channels)(x).astype(jnp.float32))


class DCGANDiscriminator(nn.Module):
    """Image (with the label as one-hot channels, when conditional) to one logit."""

    width: int = 64
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False):
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=scales)
        x = image
        if self.classes:
            code = jax.nn.one_hot(label, self.classes, dtype=x.dtype)[:, None, None]
            x = jnp.concatenate([x, jnp.broadcast_to(code, (*x.shape[:3], self.classes))], axis=-1)
        for level in range(len(pyramid(*image.shape[1:3])) - 1):
            x = Conv(
                self.width * 2**level,
                (4, 4),
                strides=2,
                padding=1,
                use_bias=False,
                kernel_init=weights,
                dtype=self.dtype,
            )(x)
            x = nn.leaky_relu(norm()(x) if level else x, 0.2)
        x = x.reshape(x.shape[0], -1)
        x = nn.Dense(1, use_bias=False, kernel_init=weights, dtype=self.dtype)(x)
        return x.astype(jnp.float32)[:, 0]
