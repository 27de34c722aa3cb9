"""DiscoGAN (Kim et al. 2017, arXiv:1703.05192): an encoder and decoder without skips, and DCGAN's discriminator, which
also returns its features.

At 64×64×3 the generator has 5,513,856 parameters and the discriminator 2,765,568.
"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxgen.layers import Conv, Upsample, Upsampling
from jaxgen.networks.sizes import pyramid

__all__ = ["DiscoGANDiscriminator", "DiscoGANGenerator"]

weights: Initializer = nn.initializers.normal(0.02)
batch_norm: Callable[..., nn.Module] = partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


class DiscoGANGenerator(nn.Module):
    """Maps an image to one of the same size in (-1, 1), by 4×4 convolutions of stride 2 along `pyramid`, with channels
    doubling inwards, and their mirror image; with batch normalisation and no biases.

        made = generator(image, train=train)      # (b, h, w, c) -> (b, h, w, channels)

    Raises ValueError for sides that `pyramid` cannot halve.
    """

    channels: int = 3
    """The number of channels of the output."""
    width: int = 64
    """The number of channels after the first convolution; each further one doubles it."""
    upsampling: Upsampling = "transposed"
    """How the decoder doubles the size."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w o"]:
        common = {"use_bias": False, "kernel_init": weights, "dtype": self.dtype}
        norm = partial(batch_norm, not train, dtype=self.dtype)
        levels = len(pyramid(*image.shape[1:3])) - 1
        x = image
        for level in range(levels):
            x = Conv(self.width * 2**level, (4, 4), strides=2, padding=1, **common)(x)
            x = nn.leaky_relu(norm()(x) if level else x, 0.2)
        for level in reversed(range(levels - 1)):
            x = nn.relu(norm()(Upsample(self.width * 2**level, mode=self.upsampling, **common)(x)))
        return nn.tanh(Upsample(self.channels, mode=self.upsampling, **common)(x).astype(jnp.float32))


class DiscoGANDiscriminator(nn.Module):
    """Maps an image to one logit and to the features that generators match, which are the activations of every layer
    but the first.

        logit, features = discriminator(image, train=train)      # (b, h, w, c) -> (b,), [(b, p, q, f), ...]

    Raises ValueError for sides that `pyramid` cannot halve.
    """

    width: int = 64
    """The number of channels after the first convolution; each further one doubles it."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w c"], *, train: bool = False
    ) -> tuple[Float[Array, "b"], list[Float[Array, "b _ _ _"]]]:
        common = {"use_bias": False, "kernel_init": weights, "dtype": self.dtype}
        x, features = image, []
        for level in range(len(pyramid(*image.shape[1:3])) - 1):
            x = Conv(self.width * 2**level, (4, 4), strides=2, padding=1, **common)(x)
            x = nn.leaky_relu(batch_norm(not train, dtype=self.dtype)(x) if level else x, 0.2)
            features.append(x)
        logits = nn.Dense(1, **common)(x.reshape(len(x), -1))
        return logits.astype(jnp.float32)[:, 0], features[1:]
