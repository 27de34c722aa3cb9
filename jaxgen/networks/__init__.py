"""Flax Linen modules, one file per published architecture."""

from jaxgen.networks.beta_vae import BetaVAEDecoder, BetaVAEEncoder, FactorVAEDiscriminator
from jaxgen.networks.biggan import BigGANDiscriminator, BigGANGenerator
from jaxgen.networks.biggan_deep import BigGANDeepDiscriminator, BigGANDeepGenerator
from jaxgen.networks.convolutional import ConvDecoder, ConvEncoder
from jaxgen.networks.cyclegan import CycleGANGenerator
from jaxgen.networks.dcgan import DCGANDiscriminator, DCGANGenerator, DeepConvDiscriminator, DeepConvGenerator
from jaxgen.networks.discogan import DiscoGANDiscriminator, DiscoGANGenerator
from jaxgen.networks.flow import Dequantiser, PointFlow
from jaxgen.networks.glow import Glow
from jaxgen.networks.infogan import InfoGANDiscriminator, InfoGANGenerator
from jaxgen.networks.mlp import MLPDecoder, MLPDiscriminator, MLPEncoder, MLPGenerator
from jaxgen.networks.nnx import from_nnx
from jaxgen.networks.pix2pix import PatchGANDiscriminator, UNetGenerator
from jaxgen.networks.points import PointDenoiser, PointDiscriminator, PointGenerator
from jaxgen.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from jaxgen.networks.realnvp import RealNVP
from jaxgen.networks.resnet import ResNetDiscriminator, ResNetGenerator
from jaxgen.networks.singan import SinGANDiscriminator, SinGANGenerator
from jaxgen.networks.stargan import StarGANDiscriminator, StarGANGenerator
from jaxgen.networks.unet import DiffusionUNet
from jaxgen.networks.wgan_gp import WGANGPDiscriminator, WGANGPGenerator

__all__ = [
    "BetaVAEDecoder",
    "BetaVAEEncoder",
    "BigGANDeepDiscriminator",
    "BigGANDeepGenerator",
    "BigGANDiscriminator",
    "BigGANGenerator",
    "ConvDecoder",
    "ConvEncoder",
    "CycleGANGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DeepConvDiscriminator",
    "DeepConvGenerator",
    "Dequantiser",
    "DiffusionUNet",
    "DiscoGANDiscriminator",
    "DiscoGANGenerator",
    "FactorVAEDiscriminator",
    "Glow",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "MLPDecoder",
    "MLPDiscriminator",
    "MLPEncoder",
    "MLPGenerator",
    "PatchGANDiscriminator",
    "PointDenoiser",
    "PointDiscriminator",
    "PointFlow",
    "PointGenerator",
    "ProgressiveDiscriminator",
    "ProgressiveGenerator",
    "RealNVP",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "SinGANDiscriminator",
    "SinGANGenerator",
    "StarGANDiscriminator",
    "StarGANGenerator",
    "UNetGenerator",
    "WGANGPDiscriminator",
    "WGANGPGenerator",
    "from_nnx",
]
