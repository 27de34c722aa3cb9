"""Convolution layers as Flax modules."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgen.layers.convolution.maps import conv, conv_transpose
from jaxgen.layers.convolution.padding import Padding, Pair, as_pads, as_pair

__all__ = ["Conv", "ConvTranspose"]


class Conv(nn.Module):
    """A convolution layer: `conv(x, kernel) + bias`, with a kernel (height, width, in, features).

    Maps images (b, h, w, c) to (b, p, q, features). Raises ValueError as `conv` does, and for an unknown
    `padding_mode`.
    """

    features: int
    """The number of channels of the output."""
    kernel_size: int | Pair
    """The kernel's height and width, or one number for both."""
    strides: int | Pair = 1
    """The rows and columns between neighbouring windows."""
    padding: Padding = "SAME"
    """The padding, in one of the forms that `conv` takes."""
    padding_mode: str = "zeros"
    """'zeros', or 'reflect', which continues the image by its mirror image without repeating the edge."""
    use_bias: bool = True
    """Whether a bias is added."""
    dtype: DTypeLike | None = None
    """The type in which the layer computes; by default the common type of input and parameters."""
    param_dtype: DTypeLike = jnp.float32
    """The type of the parameters."""
    kernel_init: Callable = nn.initializers.lecun_normal()
    """The initialiser of the kernel."""
    bias_init: Callable = nn.initializers.zeros
    """The initialiser of the bias."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q o"]:
        kernel_size, strides = as_pair("kernel_size", self.kernel_size), as_pair("strides", self.strides)
        shape = (*kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, shape[-1:], self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        padding = self.padding
        if self.padding_mode == "reflect":
            pads = as_pads(padding, x.shape[1:3], kernel_size, strides)
            pads = tuple((max(lo, 0), max(hi, 0)) for lo, hi in pads)
            x, padding = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect"), "VALID"
        elif self.padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' or 'reflect': got {self.padding_mode!r}")
        y = conv(x, kernel, strides, padding)
        return y if bias is None else y + bias


class ConvTranspose(nn.Module):
    """A transposed convolution layer: `conv_transpose(x, kernel) + bias`, with a kernel (height, width, features, in).

    The kernel is that of the convolution whose adjoint this is (Flax's `transpose_kernel=True`), so its fan-in is
    height × width × the last axis, as the default initialiser counts. The padding is that of the convolution too, as
    in PyTorch: kernel 4, stride 2 and padding 1 double the size, and 'SAME' multiplies it by the stride. Raises
    ValueError as `conv_transpose` does.
    """

    features: int
    """The number of channels of the output."""
    kernel_size: int | Pair
    """The kernel's height and width, or one number for both."""
    strides: int | Pair = 1
    """The strides of the convolution whose adjoint this is."""
    padding: Padding = "SAME"
    """The padding of that convolution, in one of the forms that `conv` takes."""
    use_bias: bool = True
    """Whether a bias is added."""
    dtype: DTypeLike | None = None
    """The type in which the layer computes; by default the common type of input and parameters."""
    param_dtype: DTypeLike = jnp.float32
    """The type of the parameters."""
    kernel_init: Callable = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    """The initialiser of the kernel."""
    bias_init: Callable = nn.initializers.zeros
    """The initialiser of the bias."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q o"]:
        shape = (*as_pair("kernel_size", self.kernel_size), self.features, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv_transpose(x, kernel, as_pair("strides", self.strides), self.padding)
        return y if bias is None else y + bias
