"""Layers that change the resolution of an image inside a network."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers.convolution import Conv, ConvTranspose

__all__ = ["Upsample", "Upsampling", "enlarge", "shrink"]

Upsampling = Literal["transposed", "resize"]
"""The two ways of `Upsample` to double the size."""


def enlarge(x: Float[Array, "b h w c"], by: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Repeats each pixel `by` times down and across."""
    return jnp.repeat(jnp.repeat(x, by, axis=1), by, axis=2)


def shrink(x: Float[Array, "b h w c"], by: int = 2) -> Float[Array, "b h2 w2 c"]:
    """Returns the means of squares of `by` × `by` pixels; `by` divides the sides."""
    b, h, w, c = x.shape
    return x.reshape(b, h // by, by, w // by, by, c).mean((2, 4))


class Upsample(nn.Module):
    """Doubles the size of an image: (b, h, w, c) to (b, 2h, 2w, features)."""

    features: int
    """The number of channels of the output."""
    kernel_size: Literal[3, 4] = 4
    """The side of the transposed convolution's kernel. A kernel of 3 ends one pixel further at the lower right, as
    PyTorch's with padding 1 and output padding 1; that of 4 has padding 1."""
    mode: Upsampling = "transposed"
    """'transposed' is a transposed convolution of stride 2. 'resize' repeats each pixel and convolves with a 3×3
    kernel, which leaves no checkerboards (Odena et al. 2016, distill.pub/2016/deconv-checkerboard)."""
    use_bias: bool = True
    """Whether a bias is added."""
    kernel_init: Callable = nn.initializers.normal(0.02)
    """The initialiser of the kernel."""
    dtype: Dtype | None = None
    """The type in which the layer computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 o"]:
        common = {"use_bias": self.use_bias, "kernel_init": self.kernel_init, "dtype": self.dtype}
        if self.mode == "resize":
            return Conv(self.features, (3, 3), **common)(enlarge(x))
        pads = (1, self.kernel_size - 3)
        kernel = (self.kernel_size, self.kernel_size)
        return ConvTranspose(self.features, kernel, strides=2, padding=(pads, pads), **common)(x)
