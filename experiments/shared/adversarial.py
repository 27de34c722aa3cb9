"""What the GAN experiments share: settings, networks, optimisers, figures and pictures."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Key

from jaxgen import networks
from jaxgen.cli import (
    ByLabel,
    Config,
    Drawn,
    EvaluationOptions,
    Experiment,
    MirrorOptions,
    SampleOptions,
    at_least,
    positive,
)
from jaxgen.cli.config import Checked
from jaxgen.cli.names import ADVERSARIAL_LOSSES, AUGMENTATIONS, PENALTIES
from jaxgen.cli.sampling import Load
from jaxgen.data import load, toy_world
from jaxgen.evaluation import Evaluator
from jaxgen.evaluation.pictures import draw_neighbours, draw_points, draw_walks
from jaxgen.evaluation.points import point_evaluator
from jaxgen.evaluation.samples import Sample, image_evaluator
from jaxgen.evaluation.stacked import stacked_evaluator
from jaxgen.losses import Penalty
from jaxgen.metrics import inception_extractor
from jaxgen.models import GAN
from jaxgen.networks.sizes import pyramid
from jaxgen.optimisers import clip_weights
from jaxgen.types import State

TANH = {"activation": nn.tanh, "kernel_init": nn.initializers.orthogonal(1.4)}
POINT_NETWORKS = {  # the units of the hidden layers, and how they differ from WGAN-GP's
    "points": ((128, 128), {}),
    "points_tanh": ((128, 128), TANH),  # Metz et al. 2017
    "points_wide": ((512,) * 3, {}),  # Gulrajani et al. 2017
}


@dataclass(frozen=True)
class GameConfig(SampleOptions, MirrorOptions, Config):
    """The settings of every GAN."""

    width: int | None = None
    """The channels of the convolutional players at full size, or for points the units of a layer; by default those of
    the paper."""
    discriminator_width: int | None = None
    """The same for the discriminator; by default `width`."""
    latent: int = 100
    """The number of latent units."""
    loss: Literal[tuple(ADVERSARIAL_LOSSES)] = "non_saturating"
    """The game; `minimax` is Algorithm 1 with the generator's log(1 - D(G(z)))."""
    discriminator_steps: int = 1
    """The number of steps of the discriminator for each of the generator: k of Algorithm 1."""
    penalty: tuple[Literal[tuple(PENALTIES)], ...] = ()
    """Penalties that are added to the discriminator's loss."""
    penalty_weight: float = 10.0
    """The weight of each penalty: λ or γ."""
    penalty_every: int = 1
    """The steps between computations of the penalties, by which they are then weighed (lazy regularisation)."""
    clip: float | None = None
    """The largest absolute value of the discriminator's weights, to which each step clips them (WGAN)."""
    unroll: int = 0
    """The number of steps of the discriminator that the generator sees ahead (Unrolled GAN)."""
    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    """The optimiser of both players."""
    generator_learning_rate: float = 2e-4
    """The learning rate of the generator."""
    discriminator_learning_rate: float = 2e-4
    """The learning rate of the discriminator."""
    b1: float = 0.5
    """The decay of Adam's first moment, or the momentum of SGD."""
    b2: float = 0.999
    """The decay of Adam's second moment."""
    generator_batch: int = 1
    """The size of the generator's minibatch, in units of the discriminator's."""
    ema: float = 0.0
    """The decay of the averaged generator that is used for sampling; 0: none."""
    accumulation: int = 1
    """Take each batch in this number of parts, whose gradients are averaged: the same step in less memory."""
    augmentation: Literal[("none", *AUGMENTATIONS)] = "none"
    """How the images that the discriminator sees are augmented, for small data sets; `adaptive` augments the more, the
    more it overfits."""

    def __post_init__(self) -> None:
        at_least(1, self, "width", "discriminator_width", "latent", "penalty_every")
        positive(self, "generator_learning_rate", "discriminator_learning_rate")
        super().__post_init__()

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs that could have one penalty only."""
        penalty = stored.get("penalty", ())
        if isinstance(penalty, str):
            stored = stored | {"penalty": () if penalty == "none" else (penalty,)}
        return super().upgraded(stored)


@dataclass(frozen=True)
class DecayOptions(Checked):
    """How the learning rates fall."""

    linear_decay: bool = False
    """Let both learning rates fall to 0 over the run."""


@dataclass(frozen=True)
class PackingOptions(Checked):
    """What the discriminator judges."""

    packing: int = 1
    """The number of examples that the discriminator judges together (PacGAN)."""


@dataclass(frozen=True)
class ConditionalOptions(Checked):
    """Whether labels condition the model."""

    conditional: bool = False
    """Condition the model on the labels."""


@dataclass(frozen=True)
class TruncationOptions(EvaluationOptions):
    """How latents are drawn for samples."""

    truncation: float | None = None
    """Draw latents again until none of their units is further from 0: less varied samples of higher quality."""

    def __post_init__(self) -> None:
        if self.truncation is not None:
            positive(self, "truncation")
        super().__post_init__()


@dataclass(frozen=True)
class GANConfig(ConditionalOptions, PackingOptions, TruncationOptions, DecayOptions, GameConfig):
    """The settings of a GAN whose networks can be chosen."""

    network: Literal["mlp", "dcgan", "deep_conv", "wgan_gp", "resnet", *POINT_NETWORKS] = "mlp"
    """The players; for points two layers of 128 with ReLU or tanh (Unrolled GAN), or three of 512 (WGAN-GP's)."""
    spectral_norm: bool = False
    """Normalise the weights of the `resnet` discriminator by their largest singular value."""

    @property
    def convolutional(self) -> bool:
        """Whether the players are convolutional."""
        return self.network not in ("mlp", *POINT_NETWORKS)


@dataclass(frozen=True)
class GANSampling(TruncationOptions, ByLabel):
    """How a GAN samples; by default truncated as the run is."""

    standing_statistics: int = 0
    """The number of minibatches of samples over which the generator's batch statistics are computed anew; 0: they are
    those of training."""

    def __post_init__(self) -> None:
        at_least(0, self, "standing_statistics")
        super().__post_init__()

    def options(self) -> dict[str, Any]:
        """Returns the truncation, where there is one."""
        return {} if self.truncation is None else {"truncation": self.truncation}

    def draw(self, model: Any, state: State, key: Key[Array, ""], n: int, load: Load) -> Drawn:
        """Draws n samples, as `ByLabel` does."""
        if self.standing_statistics:
            statistics_key = jax.random.fold_in(key, 1)
            compute = jax.jit(model.standing_statistics, static_argnames=("minibatches", "truncation"))
            state = compute(state, statistics_key, minibatches=self.standing_statistics, **self.options())
        return super().draw(model, state, key, n, load)


def gan_experiment(file: str, presets: Mapping[str, Any], doc: str, **replaced: Any) -> Experiment:
    """Returns the experiment of the script `file` with what GANs share; `replaced` are fields of `Experiment`."""
    shared: dict[str, Any] = {"build": build, "evaluator": evaluator, "pictures": draw, "sampling": GANSampling}
    return Experiment(file, presets, doc=doc, diagnosed=True, **shared | replaced)


def players(config: GANConfig, shape: tuple[int, ...], classes: int) -> tuple[nn.Module, nn.Module]:
    """Returns the generator and the discriminator for examples of `shape`."""
    if (len(shape) == 1) != (config.network in POINT_NETWORKS):
        allowed = ", ".join(POINT_NETWORKS)
        what, allowed = ("points", allowed) if len(shape) == 1 else ("images", f"any but {allowed}")
        raise ValueError(f"--network {config.network}: for {what} of shape {shape} choose {allowed}")
    if config.spectral_norm and config.network != "resnet":
        raise ValueError(f"--spectral-norm: the discriminator of --network {config.network} has none; choose resnet")
    common: dict[str, Any] = {"dtype": config.dtype}
    judge_width = config.discriminator_width or config.width
    if config.network in POINT_NETWORKS:
        if classes:
            raise ValueError("--conditional: not for points")
        hidden, style = POINT_NETWORKS[config.network]
        make, judge = ((width or hidden[0],) * len(hidden) for width in (config.width, judge_width))
        return (
            networks.PointGenerator(*shape, make, **style, **common),
            networks.PointDiscriminator(judge, **style, **common),
        )
    common["classes"] = classes
    if config.network == "mlp":
        return networks.MLPGenerator(shape, **common), networks.MLPDiscriminator(**common)
    if config.network == "resnet":
        wide = (config.width or 128) * (2 if config.spectral_norm else 1)
        judge = {} if config.spectral_norm else {"spectral_norm": False, "pooling": jnp.mean}
        return (
            networks.ResNetGenerator(shape, (wide,) * len(pyramid(*shape[:2])), **common),
            networks.ResNetDiscriminator((judge_width or 128,) * 4, **judge, **common),
        )
    make, judge = {
        "dcgan": (networks.DCGANGenerator, networks.DCGANDiscriminator),
        "deep_conv": (networks.DeepConvGenerator, networks.DeepConvDiscriminator),
        "wgan_gp": (networks.WGANGPGenerator, networks.WGANGPDiscriminator),
    }[config.network]
    widths = ({} if width is None else {"width": width} for width in (config.width, judge_width))
    return make(shape, **next(widths), **common), judge(**next(widths), **common)


def optimisers(config: GameConfig) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Returns the generator's and the discriminator's optimiser."""
    falls = isinstance(config, DecayOptions) and config.linear_decay

    def one(rate: float, steps: int) -> optax.GradientTransformation:
        schedule = optax.linear_schedule(rate, 0.0, steps) if falls else rate
        match config.optimiser:
            case "adam":  # a root with a slope everywhere, since unrolling differentiates the optimiser
                return optax.adam(schedule, config.b1, config.b2, eps_root=1e-16 if config.unroll else 0.0)
            case "rmsprop":
                return optax.rmsprop(schedule)
            case _:
                return optax.sgd(schedule, config.b1)

    generator = one(config.generator_learning_rate, config.steps)
    discriminator = one(config.discriminator_learning_rate, config.steps * config.discriminator_steps)
    if config.clip is not None:
        discriminator = optax.chain(discriminator, clip_weights(config.clip))
    return generator, discriminator


def options(config: GameConfig) -> dict[str, Any]:
    """Returns the fields of `GAN` that the config decides: the objects that its names stand for, and its numbers."""
    fields = {field.name for field in dataclasses.fields(GAN)} & {field.name for field in dataclasses.fields(config)}
    penalties = (Penalty(PENALTIES[name], config.penalty_weight, config.penalty_every) for name in config.penalty)
    return {name: getattr(config, name) for name in fields} | {
        "loss": ADVERSARIAL_LOSSES[config.loss],
        "penalties": tuple(penalties),
        "augmentation": AUGMENTATIONS.get(config.augmentation),
    }


def classes_of(config: Any, data: Any) -> int:
    """Returns the number of classes that condition a model. ValueError for a conditional one on data without labels."""
    if config.conditional and not data.classes:
        raise ValueError(f"--conditional: {config.source} has no labels to condition on")
    return data.classes if config.conditional else 0


def build(config: GANConfig, data: Any) -> GAN:
    """Returns the GAN of a config for examples like those of `data`."""
    classes = classes_of(config, data)
    return GAN(
        *players(config, data.example["image"].shape, classes), *optimisers(config), classes=classes, **options(config)
    )


def sample_evaluator(
    config: Any, sample: Sample, data: tuple[Any, Any], classes: int = 0, samples: int | None = None
) -> Evaluator:
    """Returns the evaluator of samples that suits the data: the modes that points or stacked digits cover, or FID and
    the like and the classes of images.

    `sample` draws the samples, `data` is the training and the test set, and `classes` the number of classes of a
    conditional model. By default the number of samples is the config's.
    """
    train, test = data
    options: dict[str, Any] = {"classes": classes}
    count = config.eval_samples if samples is None else samples
    source = config.source
    if len(train.example["image"].shape) == 1:
        return point_evaluator(sample, toy_world(source), **options | ({"samples": count} if count else {}))
    if source.startswith("stacked-digits"):
        digits = load(source.partition(":")[2] or "digits", image_size=config.image_size)
        return stacked_evaluator(sample, digits, **options | ({"samples": count} if count else {}))
    extractor = inception_extractor(config.inception) if config.inception else None
    return image_evaluator(sample, train, test, samples=count, extractor=extractor, **options)


def sample_of(config: Any, model: Any) -> Sample:
    """Returns the model's `sample` with the truncation of the config, where it has one."""
    truncation = config.truncation if isinstance(config, TruncationOptions) else None
    return model.sample if truncation is None else partial(model.sample, truncation=truncation)


def evaluator(config: GameConfig, model: Any, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of a GAN's samples."""
    return sample_evaluator(config, sample_of(config, model), (train, test), model.classes)


def draw(config: GameConfig, model: Any, state: State, train: Any, test: Any, run: Path) -> None:
    """Draws points beside the data; or walks between latents, and samples each with the nearest training image."""
    sample = sample_of(config, model)
    if len(train.example["image"].shape) == 1:
        draw_points(sample, state, test.arrays["image"], run, classes=model.classes)
        return
    draw_walks(model.generate, state, (model.latent,), run, key=jax.random.key(1), classes=model.classes)
    draw_neighbours(sample, state, train, run, classes=model.classes)
