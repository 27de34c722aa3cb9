"""SinGAN (Shaham et al. 2019, arXiv:1905.01164): the small players of one scale, which see no further than 11 pixels.

With 32 channels, for RGB images, the generator has 29,763 parameters and the discriminator 29,185.
"""

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, around_one

__all__ = ["SinGANDiscriminator", "SinGANGenerator"]


class Blocks(nn.Module):
    """Applies 3×3 convolutions without padding, each but the last followed by batch normalisation and leaky ReLU.

    Maps images (b, h, w, c) to (b, h - 2 · layers, w - 2 · layers, features).
    """

    features: int
    """The number of channels of the output."""
    width: int
    """The number of channels of the hidden layers."""
    layers: int
    """The number of convolutions."""
    dtype: Dtype | None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b p q f"]:
        conv = {"kernel_init": nn.initializers.normal(0.02), "padding": "VALID", "dtype": self.dtype}
        for _ in range(self.layers - 1):
            x = Conv(self.width, (3, 3), **conv)(x)
            norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, scale_init=around_one)
            x = nn.leaky_relu(norm(x), 0.2)
        return Conv(self.features, (3, 3), **conv)(x).astype(jnp.float32)


class SinGANGenerator(nn.Module):
    """Maps noise and the enlarged image of the coarser scale to this scale's image: image + network(noise + image).

        made = generator(noise, image, train=train)      # (b, h, w, c or 1), (b, h, w, c) -> (b, h, w, c)

    Zeros around the input make up for what the convolutions cut off.
    """

    width: int = 32
    """The number of channels of the hidden layers."""
    layers: int = 5
    """The number of convolutions."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, noise: Float[Array, "b h w _"], image: Float[Array, "b h w c"], *, train: bool = False
    ) -> Float[Array, "b h w c"]:
        around = (self.layers, self.layers)
        x = jnp.pad(noise + image, ((0, 0), around, around, (0, 0)))
        return image + nn.tanh(Blocks(image.shape[-1], self.width, self.layers, self.dtype)(x, train=train))


class SinGANDiscriminator(nn.Module):
    """Maps an image to the logits of its patches, whose sides are 2 · layers + 1 pixels.

        logits = discriminator(image, train=train)      # (b, h, w, c) -> (b, h - 2 · layers, w - 2 · layers)

    Raises ValueError for images that are smaller than a patch.
    """

    width: int = 32
    """The number of channels of the hidden layers."""
    layers: int = 5
    """The number of convolutions."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b p q"]:
        field = 2 * self.layers + 1
        if min(image.shape[1:3]) < field:
            raise ValueError(f"image size {image.shape[1]}×{image.shape[2]}: the patches have {field} pixels a side")
        return Blocks(1, self.width, self.layers, self.dtype)(image, train=train)[..., 0]
