"""StarGAN (Choi et al. 2018, arXiv:1711.09020): one generator for all translations among many domains.

python -m experiments.stargan                       coloured sprites: colour, shape and scale, 32×32
python -m experiments.stargan joint                 two sets of them, one labelled by colour, one by shape
python -m experiments.stargan celeba                the paper's settings, 128×128
python -m experiments.stargan celeba --source "attributes:PATH@Black_Hair/Blond_Hair/Brown_Hair,Male,Young"
python -m experiments.stargan translate --run DIR --input FILE|FOLDER --to heart
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from experiments.translation import TranslationConfig, adam
from jaxgen.data import Dataset
from jaxgen.losses import Penalty, gradient_penalty
from jaxgen.metrics import train_classifier
from jaxgen.models import StarGAN
from jaxgen.networks import StarGANDiscriminator, StarGANGenerator
from jaxgen.training import fit
from jaxgen.training.experiment import Experiment, main

TEST = 200  # test images that are translated to every domain for the figures


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
        (Penalty(gradient_penalty, config.penalty_weight),),
    )


def evaluator(config: StarGANConfig, model: StarGAN, train, test) -> Callable:
    """What classifiers of the real images read in test images that are translated to every domain: how often the
    attribute that was asked for, where the image did not have it, and how often each other attribute as before.

    A group of attributes has a classifier, trained on the images that have it. Of several data sets `transferred` is
    the first figure for the images of the other sets alone. Only data in memory have such figures.
    """
    if not isinstance(train, Dataset):
        return lambda state: {}
    readers = [reader(train, attribute, columns) for attribute, columns in groups_of(train)]
    batch = test.batch(np.linspace(0, len(test) - 1, min(len(test), TEST)).astype(int))
    image, which = batch["image"], batch.get("set", np.zeros(len(batch["image"]), int))
    before = np.stack([read(image) for read in readers], axis=1)
    translate_to_all = jax.jit(model.translate_to_all)

    def evaluate(state) -> dict[str, float]:
        made = np.concatenate([translate_to_all(state, part) for part in np.array_split(image, 10)])
        asked, kept, transferred = [], [], []
        for own, (attribute, columns) in enumerate(groups_of(train)):
            for value, column in enumerate(range(columns.start, columns.stop)):
                after = np.stack([read(made[:, column]) for read in readers], axis=1)
                wanted = value if attribute.values else 1 - before[:, own]
                other = before[:, own] != wanted
                right = after[:, own] == wanted
                asked.append(right[other])
                transferred.append(right[other & (which != attribute.set)])
                kept.append(np.delete(after == before, own, axis=1).ravel())
        figures = {"asked": asked, "kept": kept, "transferred": transferred if model.sets else []}
        return {f"{name}_accuracy": float(np.concatenate(x).mean()) for name, x in figures.items() if x}

    return evaluate


def groups_of(data) -> list:
    """The attributes of the data, each with its columns."""
    ends = np.cumsum([len(attribute.columns) for attribute in data.attributes])
    return [(one, slice(end - len(one.columns), end)) for one, end in zip(data.attributes, ends, strict=True)]


def reader(train: Dataset, attribute, columns: slice) -> Callable[[np.ndarray], np.ndarray]:
    """From images to the value of an attribute, by a classifier that is trained on the images that have it."""
    values = train.arrays["attributes"][:, columns]
    known = train.arrays["set"] == attribute.set if "set" in train.arrays else np.ones(len(train), bool)
    label = values.argmax(1) if attribute.values else values[:, 0]
    names = attribute.values or ("no", "yes")
    arrays = {"image": train.arrays["image"][known], "label": label[known].astype(np.int32)}
    classify = train_classifier(Dataset(arrays, names, name=f"{train.name}, {attribute.name}"), fit)
    return lambda image: np.asarray(classify(image)).argmax(1)


def translate(model: StarGAN, data, state, key, image) -> dict:
    names = [column for attribute in data.attributes for column in attribute.columns]
    made = model.translate_to_all(state, image)
    return {name: made[:, i] for i, name in enumerate(names)}


def row(model: StarGAN, data, state, key, batch) -> dict:
    return {"source": jnp.asarray(batch["image"])} | translate(model, data, state, key, batch["image"])


experiment = Experiment("stargan", presets, build, evaluator, doc=__doc__, translate=translate, row=row)

if __name__ == "__main__":
    main(experiment)
