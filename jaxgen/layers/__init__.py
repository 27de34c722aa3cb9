"""Parts with no opinion on the model: convolution, normalisation, resampling."""

from jaxgen.layers.convolution import Conv, ConvTranspose, conv, conv_kernel, conv_transpose
from jaxgen.layers.normalisation import ConditionalBatchNorm, SpectralNorm, instance_norm
from jaxgen.layers.resampling import Upsample, Upsampling

__all__ = [
    "ConditionalBatchNorm",
    "Conv",
    "ConvTranspose",
    "SpectralNorm",
    "Upsample",
    "Upsampling",
    "conv",
    "conv_kernel",
    "conv_transpose",
    "instance_norm",
]
