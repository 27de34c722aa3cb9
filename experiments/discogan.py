"""DiscoGAN (Kim et al. 2017, arXiv:1703.05192): relations between two domains, learned without pairs, by reconstruction
and feature matching. The discriminators learn from one minibatch in three.

python -m experiments.discogan                      real digits, grey or in dark blue on yellow, 32×32
python -m experiments.discogan photos --source unpaired:PATH            the paper's settings, 64×64
python -m experiments.discogan translate --run DIR --input FILE|FOLDER --to b
"""

from dataclasses import dataclass
from typing import Any

from experiments.shared.schedules import check_share
from experiments.shared.translation import TranslationConfig, adam, check_domains, two_domains_experiment
from jaxgen.cli import at_least, main
from jaxgen.models import DiscoGAN
from jaxgen.networks import DiscoGANDiscriminator, DiscoGANGenerator


@dataclass(frozen=True)
class DiscoGANConfig(TranslationConfig):
    """The settings of DiscoGAN."""

    generator_steps: int = 2
    """Steps of the generators for each of the discriminators."""
    first_rate: float = 0.01
    """The weight of reconstruction in the generators' loss, at first."""
    rate: float = 0.5
    """The weight of reconstruction in the generators' loss, later."""
    curriculum: float = 1 / 6
    """The share of the steps after which the later weight holds."""
    weight_decay: float = 1e-5
    """The weight decay of Adam, for both players."""

    def __post_init__(self) -> None:
        at_least(1, self, "generator_steps")
        at_least(0, self, "first_rate", "rate", "weight_decay")
        check_share(self, "curriculum")
        super().__post_init__()

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs in which the curriculum was a number of minibatches."""
        if isinstance(first := stored.get("curriculum"), int):
            minibatches = stored["steps"] * (1 + stored["generator_steps"])
            stored = stored | {"curriculum": min(1.0, first / minibatches)}
        return super().upgraded(stored)


presets = {
    "digits": DiscoGANConfig(
        source="tint:digits",
        image_size=32,
        width=32,
        discriminator_width=32,
        batch_size=32,
        steps=1500,
        curriculum=1 / 9,
    ),
    "photos": DiscoGANConfig(
        source="unpaired:photos", image_size=64, batch_size=64, steps=20_000, checkpoint_every=2000, eval_every=2000
    ),
}


def build(config: DiscoGANConfig, data: Any) -> DiscoGAN:
    """Returns the DiscoGAN of a config for domains like those of `data`."""
    generators = [
        DiscoGANGenerator(channels, config.width, config.upsampling, config.dtype)
        for channels in check_domains(config, data)
    ]
    judge = DiscoGANDiscriminator(config.discriminator_width, config.dtype)
    optimisers = adam(config, config.generator_steps, config.weight_decay), adam(config, 1, config.weight_decay)
    return DiscoGAN(
        *generators,
        judge,
        judge,
        *optimisers,
        generator_steps=config.generator_steps,
        rates=(config.first_rate, config.rate),
        curriculum=round(config.curriculum * config.steps * (1 + config.generator_steps)),
    )


experiment = two_domains_experiment(__file__, presets, build, __doc__)

if __name__ == "__main__":
    main(experiment)
