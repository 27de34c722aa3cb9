"""Progressive growing (Karras et al. 2018, arXiv:1710.10196): players that work at every size from 4×4 on.

Their parameters are those of all sizes, and each size uses the blocks up to its own. At 1024×1024×3 the generator has
23,079,115 parameters and the discriminator 23,087,249.
"""

from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers import Conv, EqualisedLearningRate, enlarge, minibatch_deviation, pixel_norm, shrink

__all__ = ["ProgressiveDiscriminator", "ProgressiveGenerator", "growth"]

leaky_relu = partial(nn.leaky_relu, negative_slope=0.2)


def growth(height: int, width: int) -> tuple[int, ...]:
    """4, 8, ... up to the side of a square image. ValueError where that is no power of two from 8 on."""
    if height != width or height < 8 or height & (height - 1):
        raise ValueError(f"image size {height}×{width}: progressive growing needs a square of 8, 16, 32, ... pixels")
    return tuple(2**i for i in range(2, height.bit_length()))


def layer(x: Array, kind: type[nn.Module], *sizes, gain: float = 2**0.5, **options) -> Array:
    """A layer with equalised learning rate."""
    return EqualisedLearningRate(kind(*sizes, kernel_init=nn.initializers.normal(1.0), **options), gain)(x)


class ProgressiveGenerator(nn.Module):
    """Latent to an image, unbounded, by doublings that repeat pixels; pixel norm after every layer but the last.

    shape: of the image at full size; ValueError as `growth`
    width: channels at full size; twice as many at each smaller one, up to `widest`
    side:  of the image that is made, in pixels; default: the full size
    alpha: weight of the newest block's image, against that of the block before, enlarged
    """

    shape: tuple[int, int, int]
    width: int = 16
    widest: int = 512
    side: int | None = None
    alpha: float | Array = 1.0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: None = None, *, train: bool = False
    ) -> Float[Array, "b s s c"]:
        sizes = growth(*self.shape[:2])
        side = self.side or sizes[-1]

        def conv(x, width, name):
            return pixel_norm(leaky_relu(layer(x, Conv, width, (3, 3), dtype=self.dtype, name=name)))

        image = before = None
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
                name, channels = f"to_image_{size}", self.shape[2]
                made = layer(x, Conv, channels, (1, 1), gain=1.0, dtype=self.dtype, name=name)
                before, image = image, made.astype(jnp.float32)
        return image if before is None else self.alpha * image + (1 - self.alpha) * enlarge(before)


class ProgressiveDiscriminator(nn.Module):
    """Image of any of the sizes to one logit: the generator's mirror image, with the minibatch's deviation at 4×4.

    full:  side of the image at full size
    alpha: weight of the block at the image's size, against the halved image
    group: the deviation is of so many images, or as many as divide the minibatch
    """

    full: int
    width: int = 16
    widest: int = 512
    alpha: float | Array = 1.0
    group: int = 4
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b s s c"], label: None = None, *, train: bool = False) -> Float[Array, "b"]:
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
