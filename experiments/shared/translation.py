"""What the experiments from images to images share: settings, optimisers, pictures, figures."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key

from jaxgen.cli import Config, Drawn, Experiment, MirrorOptions, Sampling, at_least, positive
from jaxgen.cli.sampling import Load
from jaxgen.data import Dataset
from jaxgen.evaluation import Evaluator
from jaxgen.evaluation.translation import two_domains_evaluator
from jaxgen.layers import Upsampling
from jaxgen.models.two_domains import OTHER, TwoDomains
from jaxgen.pixels import normalise
from jaxgen.types import State

ROWS = 8  # rows in the picture of a training run

Row = Callable[..., Mapping[str, Array]]
"""(model, data set, state, key, a batch of the test set) -> what a row of the picture shows, from left to right."""


@dataclass(frozen=True)
class TranslationConfig(MirrorOptions, Config):
    """The settings of every model from images to images."""

    jitter: bool = False
    """In training, enlarge each image by 286/256 and crop a random part of its size."""
    width: int = 64
    """The channels of the generator at full size."""
    discriminator_width: int = 64
    """The channels of the discriminator's first layer."""
    upsampling: Upsampling = "transposed"
    """How the generator enlarges; `resize`, a convolution of repeated pixels, makes no checkerboards."""
    learning_rate: float = 2e-4
    """The learning rate of Adam, for both players."""
    b1: float = 0.5
    """The decay of Adam's first moment."""
    b2: float = 0.999
    """The decay of Adam's second moment."""
    decay_from: float = 1.0
    """The share of the steps after which the learning rates begin to fall, to 0 at the last; 1: they stay."""

    def __post_init__(self) -> None:
        at_least(1, self, "width", "discriminator_width")
        positive(self, "learning_rate")
        if not 0 <= self.decay_from <= 1:
            raise ValueError(f"--decay-from {self.decay_from}: a share of the steps, 0 to 1, is needed")
        super().__post_init__()

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs in which `decay_from` was a step, or None."""
        if isinstance(stored.get("decay_from", 1.0), int | None):
            first = stored["decay_from"]
            stored = stored | {"decay_from": 1.0 if first is None else min(1.0, first / stored["steps"])}
        return super().upgraded(stored)


def adam(config: TranslationConfig, updates: int = 1, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """Returns the optimiser of a player that is updated `updates` times a step. Weight decay is added to the
    gradient, as an L2 penalty is."""
    rate: Any = config.learning_rate
    if config.decay_from < 1:
        first = round(config.decay_from * config.steps)
        fall = optax.linear_schedule(rate, 0.0, (config.steps - first) * updates)
        rate = optax.join_schedules([optax.constant_schedule(rate), fall], [first * updates])
    optimiser = optax.adam(rate, config.b1, config.b2)
    return optax.chain(optax.add_decayed_weights(weight_decay), optimiser) if weight_decay else optimiser


@dataclass(frozen=True)
class RowSampling(Sampling):
    """Images of the test set, translated, a row for each; a subclass says what a row shows."""

    def row(self, model: Any, data: Any, state: State, key: Key[Array, ""], batch: Mapping[str, Any]) -> dict:
        """Returns what the rows of a batch of the test set show, by name, from left to right."""
        raise NotImplementedError

    def draw(self, model: Any, state: State, key: Key[Array, ""], n: int, load: Load) -> Drawn:
        """Translates n random images of the test set, or all where they are fewer."""
        train, test = load()
        chosen_key, key = jax.random.split(key)
        chosen = jax.random.permutation(chosen_key, len(test))[:n]
        return self._rows(model, train)(state, key, test.batch(np.asarray(chosen)))

    def picture(self, model: Any, load: Load) -> Callable[[State], Drawn]:
        """Returns the function that translates the same test images each time."""
        train, test = load()
        batch = test.batch(np.linspace(0, len(test) - 1, min(len(test), ROWS)).astype(int))
        rows = self._rows(model, train)
        return lambda state: rows(state, jax.random.key(0), batch)

    def _rows(self, model: Any, data: Any) -> Callable[..., Drawn]:
        # Compiled; an OrderedDict keeps the order of the names, which a dict loses.
        row = jax.jit(lambda state, key, batch: OrderedDict(self.row(model, data, state, key, batch)))

        def rows(state: State, key: Key[Array, ""], batch: Mapping[str, Any]) -> Drawn:
            shown = row(state, key, dict(batch))
            channels = max(x.shape[-1] for x in shown.values())
            images = [jnp.broadcast_to(normalise(x), (*x.shape[:-1], channels)) for x in shown.values()]
            return Drawn(jnp.stack(images, axis=1).reshape(-1, *images[0].shape[1:]), len(shown), tuple(shown))

        return rows


def two_domains_experiment(
    file: str, presets: Mapping[str, TranslationConfig], build: Callable[..., TwoDomains], doc: str
) -> Experiment:
    """Returns the experiment of the script `file`, with what translation between two domains without pairs shares."""
    return Experiment(file, presets, build, domain_evaluator, sampling=DomainSampling, doc=doc, translate=to_either)


def check_domains(config: TranslationConfig, data: Any) -> tuple[int, int]:
    """Returns the channels of domains a and b. ValueError for a source that has no domains."""
    if {"a", "b"} - data.example.keys():
        raise ValueError(f"{config.source}: two domains are needed, of a source such as tint:digits or unpaired:PATH")
    return data.example["a"].shape[-1], data.example["b"].shape[-1]


def domain_evaluator(config: TranslationConfig, model: TwoDomains, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of cycles, and of translations where the counterparts of test images are known."""
    paired = not (isinstance(test, Dataset) and test.unpaired)
    return two_domains_evaluator(model.translate, model.cycle, test, paired=paired)


@dataclass(frozen=True)
class DomainSampling(RowSampling):
    """An image of each domain, its translation, and its way back in each row."""

    def row(self, model: TwoDomains, data: Any, state: State, key: Key[Array, ""], batch: Mapping[str, Any]) -> dict:
        """Returns the images of the rows."""
        shown = {}
        for to, of in reversed(OTHER.items()):
            image = jnp.asarray(batch[of])
            shown |= {
                of: image,
                f"{of} to {to}": model.translate(state, image, to),
                f"{of} again": model.cycle(state, image, to),
            }
        return shown


def to_either(model: TwoDomains, data: Any, state: State, key: Key[Array, ""], image: Array) -> dict[str, Array]:
    """Translates an image to both domains, since only the user knows which is its own."""
    channels = {name: data.example[name].shape[-1] for name in OTHER}
    return {to: model.translate(state, image, to) for to, of in OTHER.items() if image.shape[-1] == channels[of]}
