"""Flax Linen modules, one file per published architecture."""

from jaxgen.networks.convolutional import ConvDecoder, ConvEncoder
from jaxgen.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from jaxgen.networks.mlp import MLPDecoder, MLPDiscriminator, MLPEncoder, MLPGenerator

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "MLPDecoder",
    "MLPDiscriminator",
    "MLPEncoder",
    "MLPGenerator",
]
