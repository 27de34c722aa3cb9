"""Parts with no opinion on the model: convolution, normalisation, resampling, attention."""

from jaxgen.layers.attention import SelfAttention
from jaxgen.layers.convolution import Conv, ConvTranspose, conv, conv_kernel, conv_transpose
from jaxgen.layers.normalisation import (
    ConditionalBatchNorm,
    EqualisedLearningRate,
    SpectralNorm,
    instance_norm,
    minibatch_deviation,
    pixel_norm,
)
from jaxgen.layers.resampling import Upsample, Upsampling, enlarge, shrink

__all__ = [
    "ConditionalBatchNorm",
    "Conv",
    "ConvTranspose",
    "EqualisedLearningRate",
    "SelfAttention",
    "SpectralNorm",
    "Upsample",
    "Upsampling",
    "conv",
    "conv_kernel",
    "conv_transpose",
    "enlarge",
    "instance_norm",
    "minibatch_deviation",
    "pixel_norm",
    "shrink",
]
