"""Progressive growing of GANs (Karras et al. 2018, arXiv:1710.10196): from 4×4 up, a size at a time.

python -m experiments.progressive_gan                  real digits, to 32×32
python -m experiments.progressive_gan mnist            to 32×32
python -m experiments.progressive_gan cifar10          to 32×32, width 128
python -m experiments.progressive_gan r1               real digits, the non-saturating game with R1 in place of WGAN-GP
python -m experiments.progressive_gan paper --source folder:PATH        1024×1024, the paper's schedule
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import optax

from experiments.adversarial import draw_neighbours, image_evaluator
from jaxgen.diagnose import diagnose
from jaxgen.losses import ADVERSARIAL_LOSSES, PENALTIES
from jaxgen.models import ProgressiveGAN
from jaxgen.models.progressive_gan import Stage
from jaxgen.networks import ProgressiveDiscriminator, ProgressiveGenerator
from jaxgen.networks.progressive import growth
from jaxgen.training.experiment import Config, Experiment, main


@dataclass(frozen=True)
class ProgressiveGANConfig(Config):
    width: int = 16
    """Channels of both players at full size; twice as many at each smaller one."""
    widest: int = 512
    """The most channels."""
    latent: int = 512
    """Latent units."""
    stage_images: int = 600_000
    """A stage fades in while so many images are seen, and goes on for as many; the last goes on to the end."""
    factors: tuple[int, ...] = ()
    """The minibatch of each stage, from 4×4 on, in units of the batch size; default: 1."""
    loss: Literal[tuple(ADVERSARIAL_LOSSES)] = "wasserstein_drift"
    """The game."""
    penalty: Literal[("none", *PENALTIES)] = "gradient_penalty"
    """Added to the discriminator's loss."""
    penalty_weight: float = 10.0
    """Of the penalty: λ or γ."""
    learning_rate: float = 1e-3
    """Adam's, of both players, which begin anew with each stage."""
    b1: float = 0.0
    """Adam's decay of the first moment."""
    b2: float = 0.99
    """Adam's decay of the second moment."""
    ema: float = 0.999
    """Decay of the averaged generator that is used for sampling; 0: none."""
    inception: str | None = None
    """Weight file of Inception-v3, to compute FID and the like by it; default: by a classifier of the data."""
