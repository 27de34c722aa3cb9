"""Flax Linen modules, one file per published architecture."""

from jaxgen.networks.beta_vae import BetaVAEDecoder, BetaVAEEncoder, FactorVAEDiscriminator
from jaxgen.networks.convolutional import ConvDecoder, ConvEncoder
from jaxgen.networks.dcgan import DCGANDiscriminator, DCGANGenerator, DeepConvDiscriminator, DeepConvGenerator
from jaxgen.networks.infogan import InfoGANDiscriminator, InfoGANGenerator
from jaxgen.networks.mlp import MLPDecoder, MLPDiscriminator, MLPEncoder, MLPGenerator
from jaxgen.networks.points import PointDiscriminator, PointGenerator
from jaxgen.networks.resnet import ResNetDiscriminator, ResNetGenerator
from jaxgen.networks.wgan_gp import WGANGPDiscriminator, WGANGPGenerator

__all__ = [
    "BetaVAEDecoder",
    "BetaVAEEncoder",
    "ConvDecoder",
    "ConvEncoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DeepConvDiscriminator",
    "DeepConvGenerator",
    "FactorVAEDiscriminator",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "MLPDecoder",
    "MLPDiscriminator",
    "MLPEncoder",
    "MLPGenerator",
    "PointDiscriminator",
    "PointGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "WGANGPDiscriminator",
    "WGANGPGenerator",
]
