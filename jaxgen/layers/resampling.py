"""Changing the resolution inside a network."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers.convolution import Conv, ConvTranspose

__all__ = ["Upsample", "Upsampling", "enlarge", "shrink"]

Upsampling = Literal["transposed", "resize"]


def enlarge(x: Float[Array, "b h w c"], by: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Each pixel repeated `by` times down and across."""
    return jnp.repeat(jnp.repeat(x, by, axis=1), by, axis=2)


def shrink(x: Float[Array, "b h w c"], by: int = 2) -> Float[Array, "b h2 w2 c"]:
    """The means of squares of `by` pixels a side; `by` divides the sides."""
    b, h, w, c = x.shape
    return x.reshape(b, h // by, by, w // by, by, c).mean((2, 4))


class Upsample(nn.Module):
    """Doubles the size of an image, with a transposed convolution or, free of checkerboards, by repeating each pixel
    and a 3×3 convolution (Odena et al. 2016, distill.pub/2016/deconv-checkerboard).

    The transposed convolution has stride 2 and a kernel of 4 (padding 1), or of 3, which ends one pixel lower right, as
    PyTorch's with padding 1 and output padding 1.
    """

    features: int
    kernel_size: Literal[3, 4] = 4
    mode: Upsampling = "transposed"
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.normal(0.02)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 o"]:
        common = {"use_bias": self.use_bias, "kernel_init": self.kernel_init, "dtype": self.dtype}
        if self.mode == "resize":
            return Conv(self.features, (3, 3), **common)(enlarge(x))
        padding = ((1, self.kernel_size - 3),) * 2
        kernel = (self.kernel_size, self.kernel_size)
        return ConvTranspose(self.features, kernel, strides=2, padding=padding, **common)(x)
