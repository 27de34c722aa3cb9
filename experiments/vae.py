"""Variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114).

python -m experiments.vae                      real digits, 16×16, about a minute on a laptop
python -m experiments.vae mnist                784-500-z20-500-784, 30 epochs (goal: test ELBO ≥ -105 nats)
python -m experiments.vae nll                  dynamic binarisation, 500 epochs (goal: NLL ≤ 89.8)
python -m experiments.vae iwae                 the same by the importance-weighted bound (Burda et al. 2016), k = 50
                                               (goal: NLL ≤ 87.0)
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import optax

from experiments.latent import draw_latent_space, vae_evaluator
from jaxgen.cli.names import LIKELIHOODS
from jaxgen.models import VAE
from jaxgen.networks import BetaVAEDecoder, BetaVAEEncoder, ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from jaxgen.training.experiment import Config, Experiment, main


@dataclass(frozen=True)
class VAEConfig(Config):
    steps: int = 6000
    network: Literal["mlp", "conv", "beta_vae"] = "mlp"
    """Dense or convolutional encoder and decoder; `beta_vae`: the disentanglement literature's, for 64×64."""
    latent: int = 20
    """Latent units; with 2 the manifold is drawn."""
    hidden: int = 500
    """Units of the dense hidden layer."""
    likelihood: Literal["bernoulli", "gaussian", "discretised_logistic"] = "bernoulli"
    """Of a pixel given the latent."""
    beta: float = 1.0
    """Weight of the KL term."""
    annealing_steps: int = 0
    """Raise β from 0 over so many steps."""
    binarise: bool = False
    """Draw the pixels anew from Bernoulli(intensity) each time an image is seen."""
    conditional: bool = False
    """Give the label to encoder and decoder (CVAE)."""
    objective_samples: int = 1
    """Above 1, train by the importance-weighted bound with so many posterior samples (IWAE)."""
    learning_rate: float = 1e-3
    """Of Adam."""
    cosine_decay: bool = False
    """Let the learning rate fall to 0 along a cosine over `steps`."""
    importance_samples: int = 100
    """Samples of the importance-weighted log-likelihood in evaluations; 0: none."""
    factor_points: int = 0
    """Points by which evaluations measure the disentanglement of sources with factors, 10,000 in the literature; 0:
    they don't."""

    def __post_init__(self):
        super().__post_init__()
        if self.factor_points and self.factor_points < 100:
            raise ValueError(f"--factor-points {self.factor_points}: 0 or at least 100 is needed")

    @property
    def convolutional(self) -> bool:
        return self.network != "mlp"


presets = {
    "digits": VAEConfig(image_size=16),
    "mnist": VAEConfig(source="tfds:mnist", steps=30 * 469, batch_size=128, eval_every=5 * 469),
    "nll": VAEConfig(
        source="tfds:mnist",
        steps=500 * 600,
        batch_size=100,
        latent=40,
        hidden=400,
        binarise=True,
        learning_rate=2e-3,
        cosine_decay=True,
        annealing_steps=50 * 600,
        importance_samples=5000,
        log_every=600,
        checkpoint_every=6000,
        eval_every=0,
    ),
}
presets["iwae"] = replace(presets["nll"], objective_samples=50)


def build(config: VAEConfig, data) -> VAE:
    height, width, channels = data.example["image"].shape
    likelihood = LIKELIHOODS[config.likelihood]
    classes = data.classes if config.conditional else 0
    if config.conditional and not classes:
        raise ValueError(f"--conditional: {config.source} has no labels")
    shape = (height, width, channels * likelihood.outputs)
    common = {"classes": classes, "dtype": config.dtype}
    if config.network == "conv":
        networks = ConvEncoder(config.latent, **common), ConvDecoder(shape, **common)
    elif config.network == "beta_vae":
        networks = BetaVAEEncoder(config.latent, **common), BetaVAEDecoder(shape, **common)
    else:
        hidden = (config.hidden,)
        networks = MLPEncoder(config.latent, hidden, **common), MLPDecoder(shape, hidden, **common)
    beta = config.beta
    if config.annealing_steps:
        beta = optax.linear_schedule(0.0, config.beta, config.annealing_steps)
    rate = config.learning_rate
    if config.cosine_decay:
        rate = optax.cosine_decay_schedule(rate, config.steps)
    optimiser, k = optax.adam(rate), config.objective_samples
    return VAE(*networks, optimiser, likelihood, beta, config.binarise, classes, objective_samples=k)


experiment = Experiment(
    Path(__file__).stem,
    presets,
    build,
    vae_evaluator,
    draw_latent_space,
    __doc__,
    best="test_elbo",
    mode="max",
)

if __name__ == "__main__":
    main(experiment)
