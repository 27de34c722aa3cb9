"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): between two domains, learned without pairs, by cycle consistency.

python -m experiments.cyclegan                      real digits, grey or in dark blue on yellow, 32×32
python -m experiments.cyclegan photos --source unpaired:PATH            the paper's settings, 256×256
python -m experiments.cyclegan photos --source tfds:cycle_gan/horse2zebra
python -m experiments.cyclegan translate --run DIR --input FILE|FOLDER --to b
"""

from dataclasses import dataclass
from typing import Any, Literal

from experiments.shared.translation import TranslationConfig, adam, check_domains, two_domains_experiment
from jaxgen.cli import at_least, main
from jaxgen.models import CycleGAN
from jaxgen.networks import CycleGANGenerator, PatchGANDiscriminator
from jaxgen.networks.pix2pix import FIELDS


@dataclass(frozen=True)
class CycleGANConfig(TranslationConfig):
    """The settings of CycleGAN."""

    blocks: int = 9
    """The number of residual blocks of the generators."""
    field: Literal[tuple(FIELDS)] = 70
    """The side of the patches that the discriminators judge, in pixels."""
    cycle_weight: float = 10.0
    """λ, the weight of the cycle consistency loss."""
    identity_weight: float = 0.5
    """The weight of the identity loss, in units of λ."""
    pool_size: int = 50
    """The number of images of earlier steps that a discriminator may see again."""

    def __post_init__(self) -> None:
        at_least(0, self, "blocks", "cycle_weight", "identity_weight", "pool_size")
        super().__post_init__()


presets = {
    "digits": CycleGANConfig(  # bright and dark change places, which an identity loss would hinder
        source="tint:digits",
        image_size=32,
        width=16,
        discriminator_width=16,
        blocks=3,
        field=16,
        identity_weight=0.0,
        batch_size=8,
        steps=1500,
    ),
    "photos": CycleGANConfig(
        source="tfds:cycle_gan/horse2zebra",
        image_size=256,
        jitter=True,
        flip=True,
        batch_size=1,
        steps=266_800,  # 200 epochs of 1,334 images
        decay_from=0.5,
        checkpoint_every=4000,
        eval_every=13_340,
    ),
}


def build(config: CycleGANConfig, data: Any) -> CycleGAN:
    """Returns the CycleGAN of a config for domains like those of `data`."""
    generators = [
        CycleGANGenerator(channels, config.width, config.blocks, config.upsampling, config.dtype)
        for channels in check_domains(config, data)
    ]
    judge = PatchGANDiscriminator(config.discriminator_width, config.field, "instance", config.dtype)
    return CycleGAN(
        *generators,
        judge,
        judge,
        adam(config),
        adam(config),
        cycle_weight=config.cycle_weight,
        identity_weight=config.identity_weight,
        pool_size=config.pool_size,
    )


experiment = two_domains_experiment(__file__, presets, build, __doc__)

if __name__ == "__main__":
    main(experiment)
