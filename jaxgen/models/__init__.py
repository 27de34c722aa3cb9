"""The systems, one file each: state, losses wired together, `init`, `step`, `sample` or `translate`."""

from jaxgen.models.cyclegan import CycleGAN
from jaxgen.models.diffusion import Diffusion
from jaxgen.models.discogan import DiscoGAN
from jaxgen.models.factor_vae import FactorVAE
from jaxgen.models.flow import NormalizingFlow
from jaxgen.models.gan import GAN
from jaxgen.models.infogan import InfoGAN
from jaxgen.models.pix2pix import Pix2Pix
from jaxgen.models.progressive_gan import ProgressiveGAN
from jaxgen.models.singan import SinGAN
from jaxgen.models.stargan import StarGAN
from jaxgen.models.vae import VAE

__all__ = [
    "GAN",
    "VAE",
    "CycleGAN",
    "Diffusion",
    "DiscoGAN",
    "FactorVAE",
    "InfoGAN",
    "NormalizingFlow",
    "Pix2Pix",
    "ProgressiveGAN",
    "SinGAN",
    "StarGAN",
]
