"""Parts of networks with no opinion on the model: convolution, normalisation, resampling, attention, embeddings.

The layers of normalising flows are in `bijectors` and `glow`.
"""

from jaxgen.layers.attention import SelfAttention
from jaxgen.layers.convolution import Conv, ConvTranspose, conv, conv_kernel, conv_transpose
from jaxgen.layers.embeddings import time_embedding, with_label
from jaxgen.layers.normalisation import (
    ConditionalBatchNorm,
    EqualisedLearningRate,
    SpectralNorm,
    around_one,
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
    "around_one",
    "conv",
    "conv_kernel",
    "conv_transpose",
    "enlarge",
    "instance_norm",
    "minibatch_deviation",
    "pixel_norm",
    "shrink",
    "time_embedding",
    "with_label",
]
