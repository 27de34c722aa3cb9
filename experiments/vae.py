"""Variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114).

python -m experiments.vae                      real digits, 16×16, about a minute on a laptop
python -m experiments.vae mnist                784-500-z20-500-784, 30 epochs (goal: test ELBO ≥ -105 nats)
python -m experiments.vae nll                  dynamic binarisation, 500 epochs (goal: NLL ≤ 89.8)
python -m experiments.vae iwae                 the same by the importance-weighted bound (Burda et al. 2016), k = 50
                                               (goal: NLL ≤ 87.0)
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import optax

from experiments.shared.adversarial import ConditionalOptions, classes_of
from experiments.shared.latent import LikelihoodOptions, draw, evaluator
from experiments.shared.schedules import check_share, share_of, steps_to_share
from jaxgen.cli import ByLabel, Config, Experiment, MirrorOptions, at_least, main, positive
from jaxgen.cli.names import LIKELIHOODS
from jaxgen.models import VAE
from jaxgen.networks import BetaVAEDecoder, BetaVAEEncoder, ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder


@dataclass(frozen=True)
class VAEConfig(ConditionalOptions, LikelihoodOptions, MirrorOptions, Config):
    """The settings of a VAE."""

    steps: int = 6000
    network: Literal["mlp", "conv", "beta_vae"] = "mlp"
    """Dense or convolutional encoder and decoder; `beta_vae`: the disentanglement literature's, for 64×64."""
    latent: int = 20
    """The number of latent units; with 2 the manifold is drawn."""
    hidden: int = 500
    """The units of the dense hidden layer."""
    likelihood: Literal[tuple(LIKELIHOODS)] = "bernoulli"
    """The distribution of a pixel given the latent."""
    beta: float = 1.0
    """The weight of the KL term."""
    annealing: float = 0.0
    """The share of the steps over which β rises from 0."""
    binarise: bool = False
    """Draw the pixels anew from Bernoulli(intensity) each time an image is seen."""
    objective_samples: int = 1
    """The number of posterior samples; above 1 the importance-weighted bound is the objective (IWAE)."""
    learning_rate: float = 1e-3
    """The learning rate of Adam."""
    cosine_decay: bool = False
    """Let the learning rate fall to 0 along a cosine over the run."""

    def __post_init__(self) -> None:
        at_least(1, self, "latent", "hidden")
        positive(self, "learning_rate")
        check_share(self, "annealing")
        super().__post_init__()

    @property
    def convolutional(self) -> bool:
        """Whether the networks are convolutional."""
        return self.network != "mlp"

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs in which the annealing was a number of steps."""
        return super().upgraded(steps_to_share(stored, "annealing_steps", "annealing"))


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
        annealing=0.1,
        importance_samples=5000,
        log_every=600,
        checkpoint_every=6000,
        eval_every=0,
    ),
}
presets["iwae"] = replace(presets["nll"], objective_samples=50)


def build(config: VAEConfig, data: Any) -> VAE:
    """Returns the VAE of a config for images like those of `data`."""
    height, width, channels = data.example["image"].shape
    likelihood = LIKELIHOODS[config.likelihood]
    classes = classes_of(config, data)
    shape = (height, width, channels * likelihood.outputs)
    common = {"classes": classes, "dtype": config.dtype}
    if config.network == "conv":
        networks = ConvEncoder(config.latent, **common), ConvDecoder(shape, **common)
    elif config.network == "beta_vae":
        networks = BetaVAEEncoder(config.latent, **common), BetaVAEDecoder(shape, **common)
    else:
        hidden = (config.hidden,)
        networks = MLPEncoder(config.latent, hidden, **common), MLPDecoder(shape, hidden, **common)
    beta: Any = config.beta
    if config.annealing:
        beta = optax.linear_schedule(0.0, config.beta, share_of(config, "annealing"))
    rate: Any = config.learning_rate
    if config.cosine_decay:
        rate = optax.cosine_decay_schedule(rate, config.steps)
    return VAE(
        *networks,
        optax.adam(rate),
        likelihood,
        beta,
        config.binarise,
        classes,
        objective_samples=config.objective_samples,
    )


experiment = Experiment(
    __file__, presets, build, evaluator, draw, sampling=ByLabel, doc=__doc__, best="test_elbo", mode="max"
)

if __name__ == "__main__":
    main(experiment)
