"""SinGAN (Shaham et al. 2019, arXiv:1905.01164): the small players of one scale, blind beyond 11 pixels.

At 32 channels, of RGB images, the generator has 29,763 parameters and the discriminator 29,185.
"""

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv

__all__ = ["SinGANDiscriminator", "SinGANGenerator"]


def around_one(key, shape, dtype=jnp.float32):
    """N(1, 0.02²), as DCGAN's."""
    return 1 + nn.initializers.normal(0.02)(key, shape, dtype)


class Blocks(nn.Module):
    """3×3 convolutions without padding, batch norm and leaky ReLU; the last one is bare."""

    features: int
    width: int
    layers: int
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b p q f"]:
        conv = {"kernel_init": nn.initializers.normal(0.02), "padding": "VALID", "dtype": self.dtype}
        for _ in range(self.layers - 1):
            x = Conv(self.width, (3, 3), **conv)(x)
            norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=around_one)
            x = nn.leaky_relu(norm(x), 0.2)
        return Conv(self.features, (3, 3), **conv)(x).astype(jnp.float32)


class SinGANGenerator(nn.Module):
    """Noise and the image of the coarser scale, enlarged, to the image: image + network(noise + image).

    Zeros around the input make up for what the convolutions cut off.
    """

    width: int = 32
    layers: int = 5
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, noise: Float[Array, "b h w _"], image: Float[Array, "b h w c"], *, train: bool = False
    ) -> Float[Array, "b h w c"]:
        around = (self.layers, self.layers)
        x = jnp.pad(noise + image, ((0, 0), around, around, (0, 0)))
        return image + nn.tanh(Blocks(image.shape[-1], self.width, self.layers, self.dtype)(x, train=train))


class SinGANDiscriminator(nn.Module):
    """Image to the logits of its patches of 2 × layers + 1 pixels a side. ValueError for smaller images."""

    width: int = 32
    layers: int = 5
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b p q"]:
        field = 2 * self.layers + 1
        if min(image.shape[1:3]) < field:
            raise ValueError(f"image of {image.shape[1]}×{image.shape[2]}: the patches have {field} pixels a side")
        return Blocks(1, self.width, self.layers, self.dtype)(image, train=train)[..., 0]
