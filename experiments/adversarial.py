"""What the GAN experiments share: config, networks, what they evaluate and draw."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxgen.augmentation import AUGMENTATIONS

from jaxgen import networks
from jaxgen.data import Dataset, Mixture, load, toy_world
from jaxgen.diagnose import diagnose
from jaxgen.latent import slerp
from jaxgen.losses import ADVERSARIAL_LOSSES, PENALTIES, clip_weights
from jaxgen.metrics import (
    accuracy,
    class_coverage,
    classifier_extractor,
    features_of,
    inception_extractor,
    mode_coverage,
    ms_ssim_diversity,
    nearest_neighbours,
    read_stacked,
    real_features,
    sample_figures,
    train_classifier,
)
from jaxgen.metrics.ssim import WINDOW
from jaxgen.models import GAN
from jaxgen.networks.sizes import pyramid
from jaxgen.pixels import normalise
from jaxgen.report import image_grid, plot_scatter, save_image
from jaxgen.sharding import replicated
from jaxgen.training import data_mesh, fit
from jaxgen.training.command_line import flag_of
from jaxgen.training.experiment import Config, Experiment

SAMPLES = 10_000  # that figures of images are computed from
POINTS = 2_500  # and those of points (Srivastava et al. 2017)
BATCH = 500
SHARES = 25  # up to so many modes or classes the share of each is logged
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


def evaluator(
    config: GANConfig, model: GAN, train, test, samples: int | None = None, sampling: Mapping[str, Any] | None = None
) -> Callable:
    """Figures of a state: of points the modes that they cover; of so many images (default: SAMPLES) the classes
    that a classifier trained on the same data reads in them, and FID and the like by its features, or by Inception's.

    Unlabelled images have such figures only by Inception. `sampling` are further arguments of the model's `sample`.
    """
    if len(train.example["image"].shape) == 1:
        return point_evaluator(config.source, model, sampling)
    if config.source.startswith("stacked-digits"):
        return stacked_evaluator(config, model, sampling)
    if not train.classes and config.inception is None:
        return lambda state: {}
    extractor = inception_extractor(config.inception) if config.inception else None
    reader = classifier_extractor(train, fit) if train.classes else None
    extractor = extractor or reader
    real = real_features(extractor, train, SAMPLES)
    classify = reader and (lambda image: reader.logits(reader.features(image)))
    on_test = {"classifier_accuracy_on_test_images": accuracy(classify, test)} if reader else {}
    spread = mean_distance(normalise(train.batch(np.arange(min(len(train), BATCH)))["image"]))

    def evaluate(state) -> dict[str, float]:
        images = list(sampled(model, state, samples or SAMPLES, sampling))
        features = features_of(extractor, images)
        figures = {"diversity": mean_distance(images[0]) / spread} | sample_figures(extractor, real, features)
        if min(images[0].shape[1:3]) >= WINDOW:
            figures["ms_ssim"] = ms_ssim_diversity(np.concatenate(images))
        if not reader:
            return figures
        found = np.asarray(reader.logits(features if reader is extractor else features_of(reader, images))).argmax(-1)
        share = np.bincount(found, minlength=train.classes) / len(found)
        figures["classes_found"] = float((share > 0.1 / train.classes).sum())
        figures["class_entropy"] = float(-(share * np.log(np.maximum(share, 1e-12))).sum())
        if model.classes:
            asked = np.tile(np.arange(BATCH) % model.classes, len(images))
            figures["label_accuracy"] = float((found == asked).mean())
        return figures | shares(share) | on_test

    return ByFeatures(evaluate, extractor.name)


@dataclass(frozen=True)
class ByFeatures:
    """Figures of a state, and the name of the feature extractor by which they are."""

    figures: Callable[[Any], dict[str, float]]
    extractor: str

    def __call__(self, state) -> dict[str, float]:
        return self.figures(state)


def point_evaluator(source: str, model: GAN, sampling: Mapping[str, Any] | None = None) -> Callable:
    """Modes covered, high-quality samples and reverse KL of 2,500 points; of a world without modes their spread."""
    world = toy_world(source)
    spread = mean_distance(world.sample(2, POINTS)[0])

    def evaluate(state) -> dict[str, float]:
        points = np.concatenate(list(sampled(model, state, POINTS, sampling)))
        figures = {"diversity": mean_distance(points) / spread}
        if isinstance(world, Mixture):
            found = mode_coverage(points, world.modes, world.scale)
            figures |= {name: float(getattr(found, name)) for name in ("modes_covered", "high_quality", "reverse_kl")}
            figures |= shares(np.asarray(found.counts) / POINTS)
        return figures

    return evaluate


def stacked_evaluator(config: GANConfig, model: GAN, sampling: Mapping[str, Any] | None = None) -> Callable:
    """Modes of 1,000 and reverse KL in 26,000 samples (Metz et al. 2017), by a classifier of single digits."""
    digits = config.source.partition(":")[2] or "digits"
    classify = train_classifier(load(digits, "train", image_size=config.image_size), fit)

    def evaluate(state) -> dict[str, float]:
        images = sampled(model, state, 52 * BATCH, sampling)
        labels = [np.asarray(read_stacked(classify, image)) for image in images]
        found = class_coverage(np.concatenate(labels), 1000)
        return {"modes_covered": float(found.modes_covered), "reverse_kl": float(found.reverse_kl)}

    return evaluate


def sampled(model: GAN, state, n: int, sampling: Mapping[str, Any] | None = None) -> Iterator[np.ndarray]:
    """n samples, in batches that the devices share, from the same latents each time; of a conditional model the classes
    in turn. `sampling` are further arguments of the model's `sample`, hashable ones."""
    mesh = data_mesh(math.gcd(BATCH, len(jax.devices())))
    state = jax.device_put(state, replicated(mesh))
    label = {"label": jnp.arange(BATCH, dtype=jnp.int32) % model.classes} if model.classes else {}
    for key in jax.random.split(jax.random.key(0), n // BATCH):
        with jax.set_mesh(mesh):
            images = _sample(model, tuple((sampling or {}).items()), state, key, **label)
        yield np.asarray(images)


@partial(jax.jit, static_argnums=(0, 1))  # compiled once a model, not at every evaluation
def _sample(model: GAN, sampling: tuple[tuple[str, Any], ...], state, key, **label):
    return model.sample(state, key, BATCH, **label, **dict(sampling))


def mean_distance(examples: np.ndarray) -> float:
    """Of each example to the next: an estimate of the mean distance of two random ones."""
    flat = np.asarray(examples, np.float64).reshape(len(examples), -1)
    return float(np.linalg.norm(flat - np.roll(flat, 1, axis=0), axis=1).mean())


def shares(share: np.ndarray) -> dict[str, float]:
    return {f"share_{i}": float(x) for i, x in enumerate(share)} if len(share) <= SHARES else {}


def draw(config: GANConfig, model: GAN, state, train, test, run: Path) -> None:
    """Points beside the data; of images walks between latents, of one class a row for a conditional model, and samples
    each with the training image nearest to it."""
    if config.network in POINT_NETWORKS:
        real, made = test.arrays["image"][:POINTS], np.concatenate(list(sampled(model, state, POINTS)))
        whose = np.repeat(np.arange(2), [len(real), len(made)])
        plot_scatter(run / "points.png", np.concatenate([real, made]), whose, ("data", "samples"))
        return
    rows, columns = model.classes or 8, 10
    ends = jax.random.normal(jax.random.key(1), (2, rows, 1, model.latent))
    latent = jax.jit(slerp)(*ends, jnp.linspace(0, 1, columns)[:, None])  # keeps the norm that the prior has
    label = jnp.repeat(jnp.arange(rows, dtype=jnp.int32), columns) if model.classes else None
    images = jax.jit(model.generate)(state, latent.reshape(-1, model.latent), label)
    save_image(run / "interpolations.png", image_grid(images, columns))
    draw_neighbours(model, state, train, run)


def draw_neighbours(model: GAN, state, train, run: Path, sampling: Mapping[str, Any] | None = None) -> None:
    """32 samples, and right of each the training image nearest to it (Euclidean, of pixels): a copy shows memorising.

    Streamed data are not searched.
    """
    if not isinstance(train, Dataset):
        return
    samples = next(sampled(model, state, BATCH, sampling))[:32]
    nearest, least = np.zeros_like(samples), np.full((len(samples), 1), np.inf)
    for batch in train.batches(5000):
        images = normalise(batch["image"])
        distance, index = nearest_neighbours(samples, images)
        closer = (distance < least)[:, 0]
        nearest[closer], least[closer] = images[index[closer, 0]], distance[closer]
    pairs = np.stack([samples, nearest], axis=1)
    save_image(run / "neighbours.png", image_grid(pairs.reshape(-1, *samples.shape[1:]), 8))
