"""DiscoGAN (Kim et al. 2017, arXiv:1703.05192): relations between two domains, learned without pairs, by reconstruction
and feature matching; of three minibatches the discriminators learn from one.

python -m experiments.discogan                      real digits, grey or in dark blue on yellow, 32×32
python -m experiments.discogan photos --source unpaired:PATH            the paper's settings, 64×64
python -m experiments.discogan translate --run DIR --input FILE|FOLDER --to b
"""

from dataclasses import dataclass

from experiments.translation import TranslationConfig, adam, check_domains, two_domains_experiment
from jaxgen.models import DiscoGAN
from jaxgen.networks import DiscoGANDiscriminator, DiscoGANGenerator
from jaxgen.training.experiment import main


@dataclass(frozen=True)
class DiscoGANConfig(TranslationConfig):
    generator_steps: int = 2
    """Steps of the generators for each of the discriminators."""
    first_rate: float = 0.01
    """Of reconstruction in the generators' loss, at first."""
    rate: float = 0.5
    """Of reconstruction in the generators' loss, later."""
    curriculum: int = 10_000
    """The minibatch from which the later rate holds; a step has one, and one for each step of the generators."""
    weight_decay: float = 1e-5
    """Adam's, of both players."""


presets = {
    "digits": DiscoGANConfig(
        "tint:digits", 32, width=32, discriminator_width=32, batch_size=32, steps=1500, curriculum=500
    ),
    "photos": DiscoGANConfig(
        source="unpaired:photos", image_size=64, batch_size=64, steps=20_000, checkpoint_every=2000, eval_every=2000
    ),
}


def build(config: DiscoGANConfig, data) -> DiscoGAN:
    generators = [
        DiscoGANGenerator(channels, config.width, config.upsampling, config.dtype)
        for channels in check_domains(config, data)
    ]
    judge = DiscoGANDiscriminator(config.discriminator_width, config.dtype)
    optimisers = adam(config, config.generator_steps, config.weight_decay), adam(config, 1, config.weight_decay)
    rates = config.first_rate, config.rate
    return DiscoGAN(
        *generators,
        judge,
        judge,
        *optimisers,
        generator_steps=config.generator_steps,
        rates=rates,
        curriculum=config.curriculum,
    )


experiment = two_domains_experiment(__file__, presets, build, __doc__)

if __name__ == "__main__":
    main(experiment)
