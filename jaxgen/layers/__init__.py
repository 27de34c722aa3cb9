"""Parts with no opinion on the model: convolution, normalisation."""

from jaxgen.layers.convolution import Conv, ConvTranspose, conv, conv_kernel, conv_transpose
from jaxgen.layers.normalisation import ConditionalBatchNorm, SpectralNorm

__all__ = ["ConditionalBatchNorm", "Conv", "ConvTranspose", "SpectralNorm", "conv", "conv_kernel", "conv_transpose"]
