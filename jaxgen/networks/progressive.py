"""Progressive growing (Karras et al. 2018, arXiv:1710.10196): players that work at every size from 4×4 on.

Their parameters are those of all sizes, and each size uses the blocks up to its own. At 1024×1024×3 the generator has
23,079,115 parameters and the discriminator 23,087,249.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, EqualisedLearningRate, enlarge, minibatch_deviation, pixel_norm, shrink
from jaxgen.networks.sizes import growth
from jaxgen.types import Label

__all__ = ["ProgressiveDiscriminator", "ProgressiveGenerator"]

leaky_relu: Callable[[Array], Array] = partial(nn.leaky_relu, negative_slope=0.2)


def layer(x: Array, kind: type[nn.Module], *sizes: Any, gain: float = 2**0.5, **options: Any) -> Array:
    """Applies a layer of this kind with equalised learning rate, which belongs to the calling module."""
    return EqualisedLearningRate(kind(*sizes, kernel_init=nn.initializers.normal(1.0), **options), gain)(x)


class ProgressiveGenerator(nn.Module):
    """Maps a latent to an image, whose values are not bounded, by doublings that repeat pixels, with pixel norm after
    every layer but the last. It ignores the label.

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, side, side, c)

    Raises ValueError for a shape that `growth` refuses.
    """

    shape: tuple[int, int, int]
    """The shape (h, w, c) of the image at full size."""
    width: int = 16
    """The number of channels at full size; it doubles with each halving of the size, up to `widest`."""
    widest: int = 512
    """The largest number of channels."""
    side: int | None = None
    """The side in pixels of the image that is made; by default the full size."""
    alpha: float | Array = 1.0
    """The weight of the newest block's image, against that of the block before, enlarged."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b s s c"]:
        sizes = growth(*self.shape[:2])
        side = self.side or sizes[-1]

        def conv(x, width, name):
            return pixel_norm(leaky_relu(layer(x, Conv, width, (3, 3), dtype=self.dtype, name=name)))

        def to_image(x, size):
            made = layer(x, Conv, self.shape[2], (1, 1), gain=1.0, dtype=self.dtype, name=f"to_image_{size}")
            return made.astype(jnp.float32)

        images = []
        x = pixel_norm(latent)
        for size in sizes[: sizes.index(side) + 1]:
            width = min(self.width * sizes[-1] // size, self.widest)
            if size == 4:
                x = layer(x, nn.Dense, 16 * width, False, gain=2**0.5 / 4, dtype=self.dtype, name="dense")
                bias = self.param("bias", nn.initializers.zeros, (width,))
                x = pixel_norm(leaky_relu(x.reshape(-1, 4, 4, width) + bias.astype(x.dtype)))
            else:
                x = conv(enlarge(x), width, f"enlarge_{size}")
            x = conv(x, width, f"conv_{size}")
            if 2 * size >= side or self.is_initializing():
                images.append(to_image(x, size))
        image, *before = reversed(images)
        return self.alpha * image + (1 - self.alpha) * enlarge(before[0]) if before else image


class ProgressiveDiscriminator(nn.Module):
    """Maps an image of any of the sizes to one logit; it is the generator's mirror image, with the deviation within the
    minibatch at 4×4. It ignores the label.

        logit = discriminator(image, label, train=train)      # (b, side, side, c), (b,) -> (b,)
    """

    full: int
    """The side of the image at full size."""
    width: int = 16
    """The number of channels at full size; it doubles with each halving of the size, up to `widest`."""
    widest: int = 512
    """The largest number of channels."""
    alpha: float | Array = 1.0
    """The weight of the block at the image's size, against the halved image."""
    group: int = 4
    """The number of images over which the deviation is taken (see `minibatch_deviation`)."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b s s c"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b"]:
        def width(size):
            return min(self.width * self.full // size, self.widest)

        def conv(x, width, side, name):
            return leaky_relu(layer(x, Conv, width, (side, side), dtype=self.dtype, name=name))

        def from_image(image):
            size = image.shape[1]
            return conv(image, width(size), 1, f"from_image_{size}")

        side = size = image.shape[1]
        x = from_image(image)
        while size > 4:
            x = conv(x, width(size), 3, f"conv_{size}")
            size //= 2
            x = shrink(conv(x, width(size), 3, f"shrink_{2 * size}"))
            if 2 * size == side or self.is_initializing():
                image = shrink(image)
                skipped = from_image(image)
                x = self.alpha * x + (1 - self.alpha) * skipped if 2 * size == side else x
        x = conv(minibatch_deviation(x, self.group), width(4), 3, "conv_4").reshape(len(x), -1)
        x = leaky_relu(layer(x, nn.Dense, width(2), dtype=self.dtype, name="dense"))
        return layer(x, nn.Dense, 1, gain=1.0, dtype=self.dtype, name="logit").astype(jnp.float32)[:, 0]
