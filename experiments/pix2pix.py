"""Pix2Pix (Isola et al. 2017, arXiv:1611.07004): from images to images, learned from pairs, by a U-Net and a PatchGAN.

python -m experiments.pix2pix                       outlines of real digits, to be filled, 32×32
python -m experiments.pix2pix colour                grey patches of a photograph, to be coloured, 64×64
python -m experiments.pix2pix edges                 edges of the patches, to be painted
python -m experiments.pix2pix facades --source paired-reverse:PATH      the paper's settings, 256×256
python -m experiments.pix2pix translate --run DIR --input FILE|FOLDER
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxtyping import Array, Key

from experiments.shared.translation import RowSampling, TranslationConfig, adam
from jaxgen.cli import Experiment, at_least, main
from jaxgen.cli.names import ADVERSARIAL_LOSSES
from jaxgen.evaluation import Evaluator
from jaxgen.evaluation.translation import paired_evaluator
from jaxgen.models import Pix2Pix
from jaxgen.networks import PatchGANDiscriminator, UNetGenerator
from jaxgen.networks.pix2pix import FIELDS
from jaxgen.types import State


@dataclass(frozen=True)
class Pix2PixConfig(TranslationConfig):
    """The settings of Pix2Pix."""

    levels: int | None = None
    """The halvings of the U-Net; by default the largest number that the sides allow, at most 8."""
    field: Literal[tuple(FIELDS)] = 70
    """The side of the patches that the discriminator judges, in pixels."""
    norm: Literal["batch", "instance"] = "instance"
    """The normalisation of the networks; the paper's is the batch's, of one image."""
    loss: Literal[tuple(ADVERSARIAL_LOSSES)] = "non_saturating"
    """The game."""
    l1_weight: float = 100.0
    """λ, the weight of the L1 loss."""

    def __post_init__(self) -> None:
        at_least(1, self, "levels")
        at_least(0, self, "l1_weight")
        super().__post_init__()


digits = Pix2PixConfig(
    source="outline:digits", image_size=32, width=16, discriminator_width=16, field=16, batch_size=16, steps=3000
)
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
        decay_from=0.5,
        checkpoint_every=4000,
        eval_every=8000,
    ),
}


def build(config: Pix2PixConfig, data: Any) -> Pix2Pix:
    """Returns the Pix2Pix of a config for pairs like those of `data`."""
    if {"source", "target"} - data.example.keys():
        raise ValueError(f"{config.source}: pairs are needed, of a source such as outline:digits or paired:PATH")
    channels = data.example["target"].shape[-1]
    generator = UNetGenerator(
        channels, config.width, config.levels, norm=config.norm, upsampling=config.upsampling, dtype=config.dtype
    )
    judge = PatchGANDiscriminator(config.discriminator_width, config.field, config.norm, dtype=config.dtype)
    loss = ADVERSARIAL_LOSSES[config.loss]
    return Pix2Pix(generator, judge, adam(config), adam(config), loss=loss, l1_weight=config.l1_weight)


def evaluator(config: Pix2PixConfig, model: Pix2Pix, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of translations of test images."""
    return paired_evaluator(model.translate, train, test)


@dataclass(frozen=True)
class PairSampling(RowSampling):
    """A source, its translation and its target in each row."""

    def row(self, model: Pix2Pix, data: Any, state: State, key: Key[Array, ""], batch: Mapping[str, Any]) -> dict:
        """Returns the images of the rows."""
        made = model.translate(state, key, batch["source"])
        return {"source": batch["source"], "translated": made, "target": batch["target"]}


def translate(model: Pix2Pix, data: Any, state: State, key: Key[Array, ""], image: Array) -> dict[str, Array]:
    """Translates images."""
    return {"target": model.translate(state, key, image)}


experiment = Experiment(
    __file__, presets, build, evaluator, sampling=PairSampling, doc=__doc__, best="l1", translate=translate
)

if __name__ == "__main__":
    main(experiment)
