"""What the experiments from images to images share: config, figures, pictures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.layers import Upsampling
from jaxgen.metrics import nearest_neighbours, psnr, ssim
from jaxgen.models.two_domains import OTHER, TwoDomains
from jaxgen.pixels import normalise
from jaxgen.training.experiment import Config, Experiment

TEST = 1000  # at most so many test images are translated for the figures
BATCH = 50


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


def examples(test, n: int = TEST) -> Iterator[dict[str, np.ndarray]]:
    """The first n examples of the test set, in batches."""
    for start in range(0, min(n, len(test)), BATCH):
        yield test.batch(np.arange(start, min(start + BATCH, n, len(test))))


def similarity(made: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """L1 distance (of intensities in [0, 1]), PSNR and SSIM, means over the images; a grey image stands for its
    colours."""
    made = np.broadcast_to(normalise(made), wanted.shape)
    figures = {"l1": float(np.abs(made - normalise(wanted)).mean() / 2), "psnr": float(psnr(made, wanted).mean())}
    return figures | ({"ssim": float(ssim(made, wanted).mean())} if min(wanted.shape[1:3]) >= 11 else {})


def two_domains_experiment(
    script: str, presets: Mapping[str, TranslationConfig], build: Callable, doc: str
) -> Experiment:
    """The experiment of the file `script`, with what translation between two domains without pairs shares."""
    shared = {"evaluator": two_domains_evaluator, "translate": to_either, "row": both_ways}
    return Experiment(Path(script).stem, presets, build, doc=doc, **shared)


def check_domains(config: TranslationConfig, data) -> tuple[int, int]:
    """The channels of domains a and b. ValueError for a source that has no domains."""
    if {"a", "b"} - data.example.keys():
        raise ValueError(f"{config.source}: two domains are needed, of a source such as tint:digits or unpaired:PATH")
    return data.example["a"].shape[-1], data.example["b"].shape[-1]


def two_domains_evaluator(config: TranslationConfig, model: TwoDomains, train, test) -> Callable:
    """How near test images come back to themselves; and where it is known what they should become, how near they are to
    that, and the share of them that are nearer to it than to what others should become. For comparison how near the
    images are to it untranslated."""
    batches = list(examples(test))
    real = {name: np.concatenate([batch[name] for batch in batches]) for name in OTHER}
    translate, cycle = (jax.jit(f, static_argnums=2) for f in (model.translate, model.cycle))

    def evaluate(state) -> dict[str, float]:
        figures = {}
        for to, of in OTHER.items():
            again = np.concatenate([cycle(state, batch[of], to) for batch in batches])
            figures[f"cycle_l1_{of}"] = similarity(again, real[of])["l1"]
            if not getattr(test, "unpaired", False):
                made = np.concatenate([translate(state, batch[of], to) for batch in batches])
                figures[f"right_{to}"] = right_counterpart(made, real[to])
                figures |= {f"{name}_{to}": value for name, value in similarity(made, real[to]).items()}
                figures[f"l1_of_{of}_to_{to}"] = similarity(real[of], real[to])["l1"]
        return figures

    return evaluate


def right_counterpart(made: np.ndarray, counterparts: np.ndarray) -> float:
    """The share of images that are nearer (Euclidean, of pixels) to their own counterpart than to those of all other
    test images."""
    _, index = nearest_neighbours(normalise(made), normalise(counterparts))
    return float((index[:, 0] == np.arange(len(made))).mean())


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
