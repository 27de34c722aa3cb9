"""StarGAN (Choi et al. 2018, arXiv:1711.09020): one generator for all translations among many domains.

python -m experiments.stargan                       coloured sprites: colour, shape and scale, 32×32
python -m experiments.stargan joint                 two sets of them, one labelled by colour, one by shape
python -m experiments.stargan celeba                the paper's settings, 128×128
python -m experiments.stargan celeba --source "attributes:PATH@Black_Hair/Blond_Hair/Brown_Hair,Male,Young"
python -m experiments.stargan translate --run DIR --input FILE|FOLDER --to heart
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from experiments.shared.translation import RowSampling, TranslationConfig, adam
from jaxgen.cli import Experiment, at_least, main
from jaxgen.data import Dataset
from jaxgen.evaluation import Evaluation, Evaluator
from jaxgen.evaluation.translation import attribute_evaluator, attribute_readers
from jaxgen.losses import Penalty, gradient_penalty
from jaxgen.models import StarGAN
from jaxgen.networks import StarGANDiscriminator, StarGANGenerator
from jaxgen.types import State


@dataclass(frozen=True)
class StarGANConfig(TranslationConfig):
    """The settings of StarGAN."""

    learning_rate: float = 1e-4
    blocks: int = 6
    """The number of residual blocks of the generator."""
    levels: int | None = None
    """The halvings of the discriminator; by default to 2 pixels, at most 6."""
    discriminator_steps: int = 5
    """Steps of the discriminator for each of the generator."""
    classification_weight: float = 1.0
    """λ, the weight of the attributes' classification."""
    reconstruction_weight: float = 10.0
    """λ, the weight of the reconstruction."""
    penalty_weight: float = 10.0
    """λ, the weight of the gradient penalty."""

    def __post_init__(self) -> None:
        at_least(1, self, "levels", "discriminator_steps")
        at_least(0, self, "blocks", "classification_weight", "reconstruction_weight", "penalty_weight")
        super().__post_init__()


small = StarGANConfig(
    source="sprites-attributes",
    image_size=32,
    width=16,
    discriminator_width=32,
    blocks=3,
    batch_size=16,
    steps=2000,
    decay_from=0.5,
    learning_rate=5e-4,
    discriminator_steps=2,
    reconstruction_weight=50.0,  # most pixels are black, whose error is 0
)
presets = {
    "sprites": small,
    "joint": replace(small, source="joint:sprites-attributes:colour+sprites-attributes:shape"),
    "celeba": StarGANConfig(
        source="tfds:celeb_a@Black_Hair/Blond_Hair/Brown_Hair,Male,Young",
        image_size=128,
        flip=True,
        batch_size=16,
        steps=40_000,  # steps of the generator; the discriminator takes 200,000
        decay_from=0.5,
        checkpoint_every=1000,
        eval_every=4000,
    ),
}


def build(config: StarGANConfig, data: Any) -> StarGAN:
    """Returns the StarGAN of a config for images with attributes like those of `data`."""
    if not data.attributes:
        raise ValueError(f"{config.source}: attributes are needed, of a source such as sprites-attributes")
    groups = tuple(len(attribute.columns) for attribute in data.attributes)
    sets = tuple(attribute.set for attribute in data.attributes)
    channels = data.example["image"].shape[-1]
    return StarGAN(
        StarGANGenerator(channels, config.width, config.blocks, config.upsampling, config.dtype),
        StarGANDiscriminator(sum(groups), config.discriminator_width, config.levels, config.dtype),
        adam(config),
        adam(config, config.discriminator_steps),
        groups,
        sets if any(sets) else (),
        discriminator_steps=config.discriminator_steps,
        classification_weight=config.classification_weight,
        reconstruction_weight=config.reconstruction_weight,
        penalties=(Penalty(gradient_penalty, config.penalty_weight),),
    )


def evaluator(config: StarGANConfig, model: StarGAN, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of what classifiers read in translations of test images; streamed data have none."""
    if not isinstance(train, Dataset):
        return lambda state: Evaluation({})
    readers = attribute_readers(train)
    return attribute_evaluator(model.translate_to_all, readers, test, several_sets=bool(model.sets))


def translate(model: StarGAN, data: Any, state: State, key: Key[Array, ""], image: Array) -> dict[str, Array]:
    """Translates images to every domain."""
    names = [column for attribute in data.attributes for column in attribute.columns]
    made = model.translate_to_all(state, image)
    return {name: made[:, i] for i, name in enumerate(names)}


@dataclass(frozen=True)
class AttributeSampling(RowSampling):
    """An image and its translations to every domain in each row."""

    def row(self, model: StarGAN, data: Any, state: State, key: Key[Array, ""], batch: Mapping[str, Any]) -> dict:
        """Returns the images of the rows."""
        image = jnp.asarray(batch["image"])
        return {"source": image} | translate(model, data, state, key, image)


experiment = Experiment(
    __file__, presets, build, evaluator, sampling=AttributeSampling, doc=__doc__, translate=translate
)

if __name__ == "__main__":
    main(experiment)
