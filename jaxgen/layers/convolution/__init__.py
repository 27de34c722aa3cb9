"""Two-dimensional convolution that is fast on every platform and can be differentiated any number of times.

`maps` holds the three linear maps, `lowering` their programs for CPUs and for accelerators, `layers` the Flax modules,
and `padding` the arithmetic of sizes, strides and padding that the others share.
"""

from jaxgen.layers.convolution.layers import Conv, ConvTranspose
from jaxgen.layers.convolution.maps import conv, conv_kernel, conv_transpose

__all__ = ["Conv", "ConvTranspose", "conv", "conv_kernel", "conv_transpose"]
