"""What the experiments from images to images share: config, figures, pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import optax

from jaxgen.data import Dataset
from jaxgen.evaluation import Evaluator, two_domains_evaluator
from jaxgen.layers import Upsampling
from jaxgen.models.two_domains import OTHER, TwoDomains
from jaxgen.training.experiment import Config, Experiment


@dataclass(frozen=True)
class TranslationConfig(Config):
    jitter: bool = False
    """In training, enlarge each image by 286/256 and crop a random part of its size."""
    width: int = 64
    """Channels of the generator at full size."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    upsampling: Upsampling = "transposed"
    """Of the generator; `resize`, a convolution of repeated pixels, makes no checkerboards."""
    learning_rate: float = 2e-4
    """Adam's, of both players."""
    b1: float = 0.5
    """Adam's decay of the first moment."""
    b2: float = 0.999
    """Adam's decay of the second moment."""
    decay_from: int | None = None
    """The step from which the learning rates fall to 0 at the last; default: they stay."""

    def __post_init__(self):
        super().__post_init__()
        if self.decay_from is not None and not 0 <= self.decay_from < self.steps:
            raise ValueError(f"--decay-from {self.decay_from}: 0 to --steps - 1 is allowed")


def adam(config: TranslationConfig, updates: int = 1, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """The optimiser of a player that is updated so many times a step; weight decay is Adam's first, as L2."""
    rate = config.learning_rate
    if config.decay_from is not None:
        fall = optax.linear_schedule(rate, 0.0, (config.steps - config.decay_from) * updates)
        rate = optax.join_schedules([optax.constant_schedule(rate), fall], [config.decay_from * updates])
    optimiser = optax.adam(rate, config.b1, config.b2)
    return optax.chain(optax.add_decayed_weights(weight_decay), optimiser) if weight_decay else optimiser


def two_domains_experiment(
    script: str, presets: Mapping[str, TranslationConfig], build: Callable, doc: str
) -> Experiment:
    """The experiment of the file `script`, with what translation between two domains without pairs shares."""
    shared = {"evaluator": evaluator, "translate": to_either, "row": both_ways}
    return Experiment(Path(script).stem, presets, build, doc=doc, **shared)


def check_domains(config: TranslationConfig, data) -> tuple[int, int]:
    """The channels of domains a and b. ValueError for a source that has no domains."""
    if {"a", "b"} - data.example.keys():
        raise ValueError(f"{config.source}: two domains are needed, of a source such as tint:digits or unpaired:PATH")
    return data.example["a"].shape[-1], data.example["b"].shape[-1]


def evaluator(config: TranslationConfig, model: TwoDomains, train, test) -> Evaluator:
    """Returns the evaluator of both translations."""
    paired = not (isinstance(test, Dataset) and test.unpaired)
    return two_domains_evaluator(model.translate, model.cycle, test, paired=paired)


def to_either(model: TwoDomains, data, state, key, image) -> dict:
    """An image in both domains: which is its own the user knows."""
    channels = {name: data.example[name].shape[-1] for name in OTHER}
    return {to: model.translate(state, image, to) for to, of in OTHER.items() if image.shape[-1] == channels[of]}


def both_ways(model: TwoDomains, data, state, key, batch) -> dict:
    """An image of each domain, its translation, and back again."""
    shown = {}
    for to, of in reversed(OTHER.items()):
        image = jnp.asarray(batch[of])
        shown |= {
            of: image,
            f"{of} to {to}": model.translate(state, image, to),
            f"{of} again": model.cycle(state, image, to),
        }
    return shown
