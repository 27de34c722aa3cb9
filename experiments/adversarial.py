"""What the GAN experiments share: config, networks, what they evaluate and draw."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxgen import networks
from jaxgen.augmentation import AUGMENTATIONS
from jaxgen.data import load, toy_world
from jaxgen.evaluation import Evaluator, diagnose, image_evaluator, point_evaluator, stacked_evaluator
from jaxgen.evaluation.pictures import draw_neighbours, draw_points, draw_walks
from jaxgen.losses import ADVERSARIAL_LOSSES, PENALTIES, clip_weights
from jaxgen.metrics import inception_extractor
from jaxgen.models import GAN
from jaxgen.networks.convolutional import pyramid
from jaxgen.training.command_line import flag_of
from jaxgen.training.experiment import Config, Experiment

TANH = {"activation": nn.tanh, "kernel_init": nn.initializers.orthogonal(1.4)}
POINT_NETWORKS = {  # units of the hidden layers, and how they differ from WGAN-GP's
    "points": ((128, 128), {}),
    "points_tanh": ((128, 128), TANH),  # Metz et al. 2017
    "points_wide": ((512,) * 3, {}),  # Gulrajani et al. 2017
}


@dataclass(frozen=True)
class GANConfig(Config):
    network: Literal["mlp", "dcgan", "deep_conv", "wgan_gp", "resnet", *POINT_NETWORKS] = "mlp"
    """The players; for points two layers of 128 with ReLU or tanh (Unrolled GAN), or three of 512 (WGAN-GP's)."""
    width: int | None = None
    """Channels of the convolutional players at full size, units of a layer for points; default: their paper's."""
    discriminator_width: int | None = None
    """Of the discriminator, where it is not `width`."""
    latent: int = 100
    """Latent units."""
    loss: Literal[tuple(ADVERSARIAL_LOSSES)] = "non_saturating"
    """The game; `minimax` is Algorithm 1 with the generator's log(1 - D(G(z)))."""
    discriminator_steps: int = 1
    """Steps of the discriminator for each of the generator: k of Algorithm 1."""
    penalty: Literal[("none", *PENALTIES)] = "none"
    """Added to the discriminator's loss."""
    penalty_weight: float = 10.0
    """Of the penalty: λ or γ."""
    clip: float | None = None
    """Clip the discriminator's weights to this after each step (WGAN)."""
    spectral_norm: bool = False
    """Normalise the weights of the `resnet` discriminator by their largest singular value."""
    unroll: int = 0
    """Steps of the discriminator that the generator sees ahead (Unrolled GAN)."""
    packing: int = 1
    """Examples that the discriminator judges together (PacGAN)."""
    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    """Of both players."""
    generator_learning_rate: float = 2e-4
    """Of the generator's optimiser."""
    discriminator_learning_rate: float = 2e-4
    """Of the discriminator's optimiser."""
    b1: float = 0.5
    """Adam's decay of the first moment; SGD's momentum."""
    b2: float = 0.999
    """Adam's decay of the second moment."""
    linear_decay: bool = False
    """Let both learning rates fall to 0 over the run."""
    generator_batch: int = 1
    """The generator's minibatch is so many times the discriminator's."""
    ema: float = 0.0
    """Decay of the averaged generator that is used for sampling; 0: none."""
    conditional: bool = False
    """Give the label to both players."""
    accumulation: int = 1
    """Take each batch in so many parts, whose gradients are averaged: the same step in less memory."""
    augmentation: Literal[("none", *AUGMENTATIONS)] = "none"
    """Of what the discriminator sees, for few data; `adaptive`: as much as it overfits."""
    truncation: float | None = None
    """Latents of samples with units further from 0 are drawn again: less varied, of higher quality."""
    inception: str | None = None
    """Weight file of Inception-v3, to compute FID and the like by it; default: by a classifier of the data."""

    @property
    def convolutional(self) -> bool:
        return self.network not in ("mlp", *POINT_NETWORKS)


def refuse(config: GANConfig, *names: str) -> None:
    """ValueError where a field that this experiment has no use for is not its default."""
    for field in dataclasses.fields(config):
        if field.name in names and getattr(config, field.name) != field.default:
            raise ValueError(f"{flag_of(field.name)}: this experiment has none")


def gan_experiment(script: str, presets: Mapping[str, GANConfig], doc: str, **replaced: Any) -> Experiment:
    """The experiment of the file `script`, with what GANs share; `replaced` are fields of `Experiment`."""
    shared = {"build": build, "evaluator": evaluator, "pictures": draw, "diagnose": diagnose}
    return Experiment(Path(script).stem, presets, doc=doc, **shared | replaced)


def players(config: GANConfig, shape: tuple[int, ...], classes: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator for examples of `shape`."""
    if (len(shape) == 1) != (config.network in POINT_NETWORKS):
        allowed = ", ".join(POINT_NETWORKS)
        what, allowed = ("points", allowed) if len(shape) == 1 else ("images", f"any but {allowed}")
        raise ValueError(f"--network {config.network}: for {what} of shape {shape} choose {allowed}")
    if config.spectral_norm and config.network != "resnet":
        raise ValueError(f"--spectral-norm: the discriminator of --network {config.network} has none; choose resnet")
    common = {"dtype": config.dtype}
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


def optimisers(config: GANConfig) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """The generator's and the discriminator's."""

    def one(rate: float, steps: int) -> optax.GradientTransformation:
        schedule = optax.linear_schedule(rate, 0.0, steps) if config.linear_decay else rate
        match config.optimiser:
            case "adam":  # a root with a slope everywhere, since unrolling differentiates the optimiser
                return optax.adam(schedule, config.b1, config.b2, eps_root=1e-16 if config.unroll else 0.0)
            case "rmsprop":
                return optax.rmsprop(schedule)
            case "sgd":
                return optax.sgd(schedule, config.b1)

    generator = one(config.generator_learning_rate, config.steps)
    discriminator = one(config.discriminator_learning_rate, config.steps * config.discriminator_steps)
    if config.clip is not None:
        discriminator = optax.chain(discriminator, clip_weights(config.clip))
    return generator, discriminator


def options(config: GANConfig) -> dict:
    """The fields of `GAN` that the config names alike."""
    names = {field.name for field in dataclasses.fields(GAN)} & {field.name for field in dataclasses.fields(config)}
    values = {name: getattr(config, name) for name in names - {"conditional"}}
    return {name: None if value == "none" else value for name, value in values.items()}


def build(config: GANConfig, data) -> GAN:
    classes = data.classes if config.conditional else 0
    if config.conditional and not classes:
        raise ValueError(f"{config.source} has no labels to condition on")
    shape = data.example["image"].shape
    return GAN(*players(config, shape, classes), *optimisers(config), classes=classes, **options(config))


def evaluator(config: GANConfig, model: GAN, train, test, samples: int | None = None) -> Evaluator:
    """Returns the evaluator of a model's samples: points by the modes that they cover, stacked digits by a classifier
    of single digits, images by Inception's features or by those of a classifier of the data."""
    if len(train.example["image"].shape) == 1:
        return point_evaluator(model.sample, toy_world(config.source), classes=model.classes)
    if config.source.startswith("stacked-digits"):
        digits = config.source.partition(":")[2] or "digits"
        return stacked_evaluator(model.sample, load(digits, "train", image_size=config.image_size))
    extractor = inception_extractor(config.inception) if config.inception else None
    return image_evaluator(model.sample, train, test, classes=model.classes, samples=samples, extractor=extractor)


def draw(config: GANConfig, model: GAN, state, train, test, run: Path) -> None:
    """Points beside the data; of images walks between latents, of one class a row for a conditional model, and samples
    each with the training image nearest to it."""
    if config.network in POINT_NETWORKS:
        draw_points(model.sample, state, test.arrays["image"], run)
        return
    draw_walks(model.generate, state, (model.latent,), run, key=jax.random.key(1), classes=model.classes)
    draw_neighbours(model.sample, state, train, run, classes=model.classes)
