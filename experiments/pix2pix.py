"""Pix2Pix (Isola et al. 2017, arXiv:1611.07004): from images to images, learned from pairs, by a U-Net and a PatchGAN.

python -m experiments.pix2pix                       outlines of real digits, to be filled, 32×32
python -m experiments.pix2pix colour                grey patches of a photograph, to be coloured, 64×64
python -m experiments.pix2pix edges                 edges of them, to be painted
python -m experiments.pix2pix facades --source paired-reverse:PATH      the paper's settings, 256×256
python -m experiments.pix2pix translate --run DIR --input FILE|FOLDER
"""

from dataclasses import dataclass, replace
from typing import Literal

from experiments.translation import TranslationConfig, adam
from jaxgen.evaluation import Evaluator, paired_evaluator
from jaxgen.losses import ADVERSARIAL_LOSSES
from jaxgen.models import Pix2Pix
from jaxgen.networks import PatchGANDiscriminator, UNetGenerator
from jaxgen.networks.pix2pix import FIELDS
from jaxgen.training.experiment import Experiment, main


@dataclass(frozen=True)
class Pix2PixConfig(TranslationConfig):
    levels: int | None = None
    """Halvings of the U-Net; default: as many as the sides allow, at most 8."""
    field: Literal[tuple(FIELDS)] = 70
    """Side of the patches that the discriminator judges, in pixels."""
    norm: Literal["batch", "instance"] = "instance"
    """Of the networks; the paper's is the batch's, of one image."""
    loss: Literal[tuple(ADVERSARIAL_LOSSES)] = "non_saturating"
    """The game."""
    l1_weight: float = 100.0
    """λ of the L1 loss."""


digits = Pix2PixConfig("outline:digits", 32, width=16, discriminator_width=16, field=16, batch_size=16, steps=3000)
colour = replace(digits, source="grey:patches:photo:china", image_size=64, width=16, steps=1500, flip=True)
presets = {
    "digits": digits,
    "colour": colour,
    "edges": replace(colour, source="edges:patches:photo:china"),
    "facades": Pix2PixConfig(
        source="paired-reverse:facades",
        image_size=256,
        jitter=True,
        flip=True,
        norm="batch",
        batch_size=1,
        steps=80_000,  # 200 epochs of 400 images
        decay_from=40_000,
        checkpoint_every=4000,
        eval_every=8000,
    ),
}


def build(config: Pix2PixConfig, data) -> Pix2Pix:
    if {"source", "target"} - data.example.keys():
        raise ValueError(f"{config.source}: pairs are needed, of a source such as outline:digits or paired:PATH")
    channels = data.example["target"].shape[-1]
    generator = UNetGenerator(
        channels, config.width, config.levels, norm=config.norm, upsampling=config.upsampling, dtype=config.dtype
    )
    judge = PatchGANDiscriminator(config.discriminator_width, config.field, config.norm, dtype=config.dtype)
    return Pix2Pix(generator, judge, adam(config), adam(config), config.loss, config.l1_weight)


def evaluator(config: Pix2PixConfig, model: Pix2Pix, train, test) -> Evaluator:
    """Returns the evaluator of translations of the test set."""
    return paired_evaluator(model.translate, train, test)


def translate(model: Pix2Pix, data, state, key, image) -> dict:
    return {"target": model.translate(state, key, image)}


def row(model: Pix2Pix, data, state, key, batch) -> dict:
    made = model.translate(state, key, batch["source"])
    return {"source": batch["source"], "translated": made, "target": batch["target"]}


experiment = Experiment("pix2pix", presets, build, evaluator, doc=__doc__, best="l1", translate=translate, row=row)

if __name__ == "__main__":
    main(experiment)
