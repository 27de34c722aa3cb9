"""The systems, one file each: state, losses wired together, `init`, `step`, `sample`."""

from jaxgen.models.factor_vae import FactorVAE
from jaxgen.models.gan import GAN
from jaxgen.models.infogan import InfoGAN
from jaxgen.models.vae import VAE

__all__ = ["GAN", "VAE", "FactorVAE", "InfoGAN"]
