"""StarGAN (Choi et al. 2018, arXiv:1711.09020): one generator for all translations among many domains.

python -m experiments.stargan                       coloured sprites: colour, shape and scale, 32×32
python -m experiments.stargan joint                 two sets of them, one labelled by colour, one by shape
python -m experiments.stargan celeba                the paper's settings, 128×128
python -m experiments.stargan celeba --source "attributes:PATH@Black_Hair/Blond_Hair/Brown_Hair,Male,Young"
python -m experiments.stargan translate --run DIR --input FILE|FOLDER --to heart
"""

from dataclasses import dataclass, replace

import jax.numpy as jnp

from experiments.translation import TranslationConfig, adam
from jaxgen.data import Dataset
from jaxgen.evaluation import Evaluation, Evaluator, attribute_evaluator, attribute_readers
from jaxgen.models import StarGAN
from jaxgen.networks import StarGANDiscriminator, StarGANGenerator
from jaxgen.training.experiment import Experiment, main


@dataclass(frozen=True)
class StarGANConfig(TranslationConfig):
    learning_rate: float = 1e-4
    """Adam's, of both players."""
    blocks: int = 6
    """Residual blocks of the generator."""
    levels: int | None = None
    """Halvings of the discriminator; default: to 2 pixels, at most 6."""
    discriminator_steps: int = 5
    """Steps of the discriminator for each of the generator."""
    classification_weight: float = 1.0
    """λ of the attributes' classification."""
    reconstruction_weight: float = 10.0
    """λ of the reconstruction."""
    penalty_weight: float = 10.0
    """λ of the gradient penalty."""


small = StarGANConfig(
    "sprites-attributes",
    32,
    width=16,
    discriminator_width=32,
    blocks=3,
    batch_size=16,
    steps=2000,
    decay_from=1000,
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
        steps=40_000,  # of the generator: 200,000 of the discriminator
        decay_from=20_000,
        checkpoint_every=1000,
        eval_every=4000,
    ),
}


def build(config: StarGANConfig, data) -> StarGAN:
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
        config.discriminator_steps,
        config.classification_weight,
        config.reconstruction_weight,
        config.penalty_weight,
    )


def evaluator(config: StarGANConfig, model: StarGAN, train, test) -> Evaluator:
    """Returns the evaluator of what classifiers of the real images read in translations. Only data in memory have such
    figures."""
    if not isinstance(train, Dataset):
        return lambda state: Evaluation({})
    readers = attribute_readers(train)
    return attribute_evaluator(model.translate_to_all, readers, test, several_sets=bool(model.sets))


def translate(model: StarGAN, data, state, key, image) -> dict:
    names = [column for attribute in data.attributes for column in attribute.columns]
    made = model.translate_to_all(state, image)
    return {name: made[:, i] for i, name in enumerate(names)}


def row(model: StarGAN, data, state, key, batch) -> dict:
    return {"source": jnp.asarray(batch["image"])} | translate(model, data, state, key, batch["image"])


experiment = Experiment("stargan", presets, build, evaluator, doc=__doc__, translate=translate, row=row)

if __name__ == "__main__":
    main(experiment)
