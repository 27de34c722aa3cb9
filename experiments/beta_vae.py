"""β-VAE (Higgins et al. 2017) and its kin: VAEs whose loss asks for a simple code with one factor of variation a unit.

python -m experiments.beta_vae                 real digits, 16×16, β = 4, about a minute on a laptop
python -m experiments.beta_vae --beta 1        the plain VAE, to compare: more latent units in use
python -m experiments.beta_vae mnist           convolutional, 30 epochs

python -m experiments.beta_vae higgins         sprites, β = 4
python -m experiments.beta_vae burgess         sprites, the KL term held at a capacity that grows to 25 nats
python -m experiments.beta_vae tcvae           sprites, β-TCVAE (Chen et al. 2018), β = 6 on the total correlation
python -m experiments.beta_vae factor          sprites, FactorVAE (Kim & Mnih 2018), γ = 35
python -m experiments.beta_vae dip1            sprites, DIP-VAE-I (Kumar et al. 2018), λ_od = 10, λ_d = 100
python -m experiments.beta_vae dip2            sprites, DIP-VAE-II, λ_od = λ_d = 10

On sprites all have the setting of Locatello et al. (2019): networks of 690,517 parameters, 10 latent units, Bernoulli,
Adam 1e-4, batch 64, 300,000 steps.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import optax

from experiments import vae
from experiments.shared.latent import draw, evaluator
from experiments.shared.schedules import check_share, share_of, steps_to_share
from experiments.vae import VAEConfig
from jaxgen.cli import ByLabel, Experiment, at_least, main
from jaxgen.losses import DIP, BetaTC
from jaxgen.models import VAE, FactorVAE
from jaxgen.networks import FactorVAEDiscriminator

WEIGHTS = {"tc": 6.0, "factor": 35.0, "dip1": 10.0, "dip2": 10.0}


@dataclass(frozen=True)
class BetaVAEConfig(VAEConfig):
    """The settings of a VAE whose code is regularised."""

    capacity: float = 0.0
    """Hold the KL term at a capacity, in nats, by β |KL - capacity|; 0: β KL."""
    capacity_growth: float = 1 / 3
    """The share of the steps over which the capacity grows from 0."""
    regulariser: Literal["none", *WEIGHTS] = "none"
    """What is added to the loss: that of β-TCVAE, of FactorVAE (which takes two minibatches a step), or of DIP-VAE-I or
    -II."""
    regulariser_weight: float | None = None
    """β of `tc` (6), γ of `factor` (35), λ_od of `dip1` and `dip2` (10), where λ_d is 10 times and once that."""

    def __post_init__(self) -> None:
        kind, weight = self.regulariser, self.regulariser_weight
        at_least(0, self, "capacity", "regulariser_weight")
        check_share(self, "capacity_growth")
        if kind == "none" and weight is not None:
            raise ValueError(f"--regulariser-weight {weight}: choose a --regulariser of {', '.join(WEIGHTS)}")
        if kind != "none" and (self.beta != 1 or self.capacity):
            raise ValueError(f"--regulariser {kind}: its KL term weighs 1; choose --beta 1 --capacity 0")
        super().__post_init__()

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs in which the capacity grew over a number of steps."""
        if not stored.get("capacity"):
            stored = {name: value for name, value in stored.items() if name != "capacity_steps"}
        return super().upgraded(steps_to_share(stored, "capacity_steps", "capacity_growth"))


sprites = BetaVAEConfig(
    source="sprites",
    network="beta_vae",
    steps=300_000,
    latent=10,
    learning_rate=1e-4,
    importance_samples=0,
    factor_points=10_000,
    log_every=1000,
    checkpoint_every=10_000,
    eval_every=100_000,
)
presets = {
    "digits": BetaVAEConfig(image_size=16, latent=10, beta=4.0),
    "mnist": BetaVAEConfig(
        source="tfds:mnist",
        network="conv",
        latent=10,
        beta=4.0,
        steps=30 * 938,
        learning_rate=5e-4,
        eval_every=5 * 938,
    ),
    "higgins": replace(sprites, beta=4.0),
    "burgess": replace(sprites, beta=1000.0, capacity=25.0),
    "tcvae": replace(sprites, regulariser="tc"),
    "factor": replace(sprites, regulariser="factor"),
    "dip1": replace(sprites, regulariser="dip1"),
    "dip2": replace(sprites, regulariser="dip2"),
}


def build(config: BetaVAEConfig, data: Any) -> VAE:
    """Returns the VAE of a config for images like those of `data`."""
    model = vae.build(config, data)
    if config.capacity:
        model = replace(
            model, capacity=optax.linear_schedule(0.0, config.capacity, share_of(config, "capacity_growth"))
        )
    weight = config.regulariser_weight
    if weight is None:
        weight = WEIGHTS.get(config.regulariser)
    match config.regulariser:
        case "tc":  # a stored run, read back to be looked at, counts 0 examples: only training asks for them
            return replace(model, regulariser=BetaTC(len(data), weight))
        case "factor":
            return FactorVAE(**vars(model), discriminator=FactorVAEDiscriminator(dtype=config.dtype), gamma=weight)
        case "dip1":
            return replace(model, regulariser=DIP(weight, 10 * weight))
        case "dip2":
            return replace(model, regulariser=DIP(weight, weight, aggregate=True))
    return model


experiment = Experiment(
    __file__, presets, build, evaluator, draw, sampling=ByLabel, doc=__doc__, best="test_elbo", mode="max"
)

if __name__ == "__main__":
    main(experiment)
