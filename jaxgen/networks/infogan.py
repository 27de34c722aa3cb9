"""InfoGAN's players for MNIST (Chen et al. 2016, arXiv:1606.03657, appendix C.1), for any size that is a multiple of 4.

At 28×28×1 with 74 latent units (62 of noise, a category of 10, 2 continuous) the generator has 6,652,481 parameters,
the discriminator 6,559,169 and its head Q 133,262.
"""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose
from jaxgen.networks.dcgan import scales, weights
from jaxgen.types import Label

__all__ = ["InfoGANDiscriminator", "InfoGANGenerator"]


def quarter(height: int, width: int) -> tuple[int, int]:
    """The size after two halvings. ValueError where they are not exact."""
    if height % 4 or width % 4:
        raise ValueError(f"image size {height}×{width}: InfoGAN's networks need sides that are multiples of 4")
    return height // 4, width // 4


class InfoGANGenerator(nn.Module):
    """Latent, noise and code together, to an image of `shape` in (-1, 1)."""

    shape: Sequence[int]
    width: int = 64
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        height, width, channels = self.shape
        h, w = quarter(height, width)
        dense = partial(nn.Dense, kernel_init=weights, dtype=self.dtype)
        deconv = partial(ConvTranspose, kernel_size=(4, 4), strides=2, padding=1, kernel_init=weights, dtype=self.dtype)

        def activate(x):
            norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=scales)
            return nn.relu(norm(x))

        x = activate(dense(16 * self.width)(latent))
        x = activate(dense(h * w * 2 * self.width)(x)).reshape(-1, h, w, 2 * self.width)
        x = activate(deconv(self.width)(x))
        return nn.tanh(deconv(channels)(x).astype(jnp.float32))


class CodeHead(nn.Module):
    """Q(c|x): the parameters of the code's distribution, from the discriminator's features."""

    outputs: int
    width: int
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b f"], *, train: bool):
        x = nn.Dense(2 * self.width, kernel_init=weights, dtype=self.dtype)(x)
        x = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=scales)(x)
        x = nn.Dense(self.outputs, kernel_init=weights, dtype=self.dtype)(nn.leaky_relu(x, 0.01))
        return x.astype(jnp.float32)


class InfoGANDiscriminator(nn.Module):
    """Image to D's logit (b,) and Q's code, (b, sum(categorical) + 2 · continuous).

    The code is, in this order, the logits of each categorical variable, the means of the continuous ones and the
    logarithms of their standard deviations. Q's own parameters are those named `q`.
    """

    categorical: Sequence[int] = (10,)
    continuous: int = 2
    width: int = 64
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> tuple[Float[Array, "b"], Float[Array, "b code"]]:
        quarter(*image.shape[1:3])
        dense = partial(nn.Dense, kernel_init=weights, dtype=self.dtype)
        conv = partial(Conv, kernel_size=(4, 4), strides=2, padding=1, kernel_init=weights, dtype=self.dtype)
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=scales)
        x = nn.leaky_relu(conv(self.width)(image), 0.01)
        x = nn.leaky_relu(norm()(conv(2 * self.width)(x)), 0.01)
        x = x.reshape(x.shape[0], -1)
        x = nn.leaky_relu(norm()(dense(16 * self.width)(x)), 0.01)
        logit = dense(1)(x).astype(jnp.float32)[:, 0]
        outputs = sum(self.categorical) + 2 * self.continuous
        return logit, CodeHead(outputs, self.width, self.dtype, name="q")(x, train=train)
