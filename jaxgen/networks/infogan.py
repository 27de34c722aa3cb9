"""InfoGAN's players for MNIST (Chen et al. 2016, arXiv:1606.03657, appendix C.1), for sides that are multiples of 4.

At 28×28×1 with 74 latent units (62 of noise, a category of 10, 2 continuous) the generator has 6,652,481 parameters,
the discriminator 6,559,169 and its head Q 133,262.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxgen.layers import Conv, ConvTranspose, around_one
from jaxgen.networks.sizes import halve
from jaxgen.types import Label

__all__ = ["InfoGANDiscriminator", "InfoGANGenerator"]

weights: Initializer = nn.initializers.normal(0.02)


class InfoGANGenerator(nn.Module):
    """Maps a latent, which holds noise and code, to an image in (-1, 1). It ignores the label.

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    Raises ValueError for sides that are no multiples of 4.
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    width: int = 64
    """The number of channels before the last layer."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w c"]:
        height, width, channels = self.shape
        base = (*halve(height, width, times=2), 2 * self.width)
        dense = partial(nn.Dense, kernel_init=weights, dtype=self.dtype)
        deconv = partial(ConvTranspose, kernel_size=(4, 4), strides=2, padding=1, kernel_init=weights, dtype=self.dtype)

        def activate(x):
            norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=around_one)
            return nn.relu(norm(x))

        x = activate(dense(16 * self.width)(latent))
        x = activate(dense(math.prod(base))(x)).reshape(-1, *base)
        x = activate(deconv(self.width)(x))
        return nn.tanh(deconv(channels)(x).astype(jnp.float32))


class CodeHead(nn.Module):
    """Computes Q(c|x): maps the discriminator's features (b, f) to the parameters of the code's distribution,
    (b, outputs)."""

    outputs: int
    """The number of parameters of the distribution."""
    width: int
    """Half the width of the hidden layer."""
    dtype: Dtype | None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b f"], *, train: bool) -> Float[Array, "b o"]:
        x = nn.Dense(2 * self.width, kernel_init=weights, dtype=self.dtype)(x)
        x = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=around_one)(x)
        x = nn.Dense(self.outputs, kernel_init=weights, dtype=self.dtype)(nn.leaky_relu(x, 0.01))
        return x.astype(jnp.float32)


class InfoGANDiscriminator(nn.Module):
    """Maps an image to D's logit and to Q's code. It ignores the label.

        logit, code = discriminator(image, label, train=train)      # (b, h, w, c), (b,) -> (b,), (b, outputs)

    The code is, in this order, the logits of each categorical variable, the means of the continuous ones and the
    logarithms of their standard deviations: sum(categorical) + 2 · continuous numbers. Q's own parameters are those
    named `q`. Raises ValueError for sides that are no multiples of 4.
    """

    categorical: Sequence[int] = (10,)
    """The number of values of each categorical variable."""
    continuous: int = 2
    """The number of continuous variables."""
    width: int = 64
    """The number of channels after the first convolution."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], label: Label = None, *, train: bool = False
    ) -> tuple[Float[Array, "b"], Float[Array, "b code"]]:
        halve(*image.shape[1:3], times=2)
        dense = partial(nn.Dense, kernel_init=weights, dtype=self.dtype)
        conv = partial(Conv, kernel_size=(4, 4), strides=2, padding=1, kernel_init=weights, dtype=self.dtype)
        norm = partial(nn.BatchNorm, not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=around_one)
        x = nn.leaky_relu(conv(self.width)(image), 0.01)
        x = nn.leaky_relu(norm()(conv(2 * self.width)(x)), 0.01)
        x = x.reshape(x.shape[0], -1)
        x = nn.leaky_relu(norm()(dense(16 * self.width)(x)), 0.01)
        logit = dense(1)(x).astype(jnp.float32)[:, 0]
        outputs = sum(self.categorical) + 2 * self.continuous
        return logit, CodeHead(outputs, self.width, self.dtype, name="q")(x, train=train)
