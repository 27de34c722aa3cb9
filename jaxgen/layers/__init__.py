"""Parts with no opinion on the model: convolution."""

from jaxgen.layers.convolution import Conv, ConvTranspose, conv, conv_kernel, conv_transpose

__all__ = ["Conv", "ConvTranspose", "conv", "conv_kernel", "conv_transpose"]
