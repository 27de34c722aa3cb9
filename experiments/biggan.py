"""BigGAN (Brock et al. 2019, arXiv:1809.11096), class-conditional.

python -m experiments.biggan                   real digits, 16×16, one row a class
python -m experiments.biggan --deep --width 64 BigGAN-deep's players, which are narrower inside
python -m experiments.biggan mnist             28×28 (goal: a classifier reads ≥ 90% of the samples as asked for)
python -m experiments.biggan cifar10           the authors' setting for CIFAR-10
python -m experiments.biggan imagenet128 --source folder:PATH           the paper's, batches of 2048 in 8 parts
python -m experiments.biggan truncation --run DIR        quality against variety, by the truncation of the latents

Figures and pictures are by the averaged generator with standing statistics.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.shared.adversarial import (
    DecayOptions,
    GameConfig,
    TruncationOptions,
    draw,
    gan_experiment,
    optimisers,
    options,
    sample_evaluator,
)
from experiments.shared.adversarial import evaluator as evaluator_of_gan
from jaxgen.cli import Experiment, OnRun, at_least, main, parse
from jaxgen.evaluation import Evaluator
from jaxgen.models import GAN
from jaxgen.networks import BigGANDeepDiscriminator, BigGANDeepGenerator, BigGANDiscriminator, BigGANGenerator
from jaxgen.networks.biggan import FACTORS, widths
from jaxgen.networks.sizes import pyramid
from jaxgen.optimisers import add_orthogonal_regularisation
from jaxgen.report import image_grid, plot_trade_off, save_image
from jaxgen.types import State

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class BigGANConfig(TruncationOptions, DecayOptions, GameConfig):
    """The settings of BigGAN, which is always conditional."""

    embedding: int | None = 128
    """The units of the classes' embedding, which all norms of the generator share, each beside a part of the latent;
    None: every norm has a table of the classes."""
    attention: int | None = 64
    """The height of the images at which there is self-attention."""
    orthogonal: float = 1e-4
    """The weight of the orthogonal regularisation of the generator."""
    deep: bool = False
    """BigGAN-deep's players, in which every norm sees the whole latent; 128 pixels: --width 128 --latent 128."""

    retired: ClassVar[frozenset[str]] = frozenset({"network", "spectral_norm", "packing", "conditional"})

    def __post_init__(self):
        at_least(0, self, "orthogonal")
        if self.deep and not self.embedding:
            raise ValueError("--embedding None: BigGAN-deep needs one")
        super().__post_init__()


cifar10 = BigGANConfig(
    source="tfds:cifar10",
    flip=True,
    width=256,
    latent=128,
    embedding=None,
    attention=None,
    orthogonal=0.0,
    loss="hinge",
    b1=0.0,
    ema=0.9999,
    batch_size=50,
    discriminator_steps=4,
    steps=125_000,  # 500 epochs, of four steps of D each batch
    checkpoint_every=1000,
    eval_every=5000,
)
mnist = replace(
    cifar10,
    source="tfds:mnist",
    flip=False,
    width=32,
    latent=60,
    embedding=32,
    attention=14,
    orthogonal=1e-4,
    batch_size=64,
    steps=10_000,
    discriminator_steps=2,
    ema=0.999,
    checkpoint_every=1000,
    eval_every=5000,
)
presets = {
    "digits": replace(
        mnist,
        source="digits",
        image_size=16,
        width=16,
        attention=8,
        steps=2000,
        eval_every=1000,
        generator_learning_rate=5e-4,
        discriminator_learning_rate=5e-4,
    ),
    "mnist": mnist,
    "cifar10": cifar10,
    "imagenet128": replace(
        cifar10,
        source="folder:imagenet",
        image_size=128,
        width=96,
        latent=120,
        embedding=128,
        attention=64,
        orthogonal=1e-4,
        batch_size=2048,
        accumulation=8,
        discriminator_steps=2,
        generator_learning_rate=5e-5,
        steps=140_000,
        checkpoint_every=1000,
        eval_every=5000,
    ),
}


def build(config: BigGANConfig, data: Any) -> GAN:
    """Returns the BigGAN of a config for images like those of `data`."""
    if not data.classes:
        raise ValueError(f"{config.source}: BigGAN is conditional, so labels are needed")
    shape = data.example["image"].shape
    side, width = shape[0], config.width or 96
    if shape[0] == shape[1] and side in FACTORS:
        make, judge = widths(side, width)
        judge = tuple(f * (config.discriminator_width or width) // width for f in judge)
        halvings = len(judge) - 1
    else:  # small images as CIFAR-10's: equal widths, and two halvings
        make = (width,) * len(pyramid(*shape[:2]))
        judge, halvings = (config.discriminator_width or width,) * (3 if config.deep else 4), 2
    generator, discriminator = optimisers(config)
    if config.orthogonal:
        generator = optax.chain(add_orthogonal_regularisation(config.orthogonal), generator)
    common = {"attention": config.attention, "dtype": config.dtype}
    if config.deep:
        maker, referee = BigGANDeepGenerator, BigGANDeepDiscriminator(judge, data.classes, **common)
    else:
        maker, referee = BigGANGenerator, BigGANDiscriminator(judge, halvings, data.classes, **common)
    return GAN(
        maker(shape, make, data.classes, config.embedding, **common),
        referee,
        generator,
        discriminator,
        classes=data.classes,
        **options(config),
    )


def standing(model: GAN) -> Callable[[State], State]:
    """Returns a function that gives a state its standing statistics."""
    compute = jax.jit(model.standing_statistics)
    return lambda state: compute(state, jax.random.key(2))


def evaluator(config: BigGANConfig, model: GAN, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of samples with standing statistics."""
    figures, prepared = evaluator_of_gan(config, model, train, test), standing(model)
    return lambda state: figures(prepared(state))


def pictures(config: BigGANConfig, model: GAN, state: State, train: Any, test: Any, run: Path) -> None:
    """Draws what every GAN draws, with standing statistics."""
    draw(config, model, standing(model)(state), train, test, run)


@dataclass(frozen=True)
class Truncation(OnRun):
    """The flags of `truncation`."""

    thresholds: tuple[float, ...] = THRESHOLDS
    """The distances from 0 that no unit of the latents exceeds; samples without truncation come last."""


def truncation(experiment: Experiment, args: list[str]) -> None:
    """Computes figures of samples and draws a row of them, at one truncation after another: truncation.json and
    pictures."""
    flags = parse(Truncation, args, f"{experiment.program} truncation", truncation.__doc__ or "")
    run = flags.open(experiment)
    model, data = run.model, run.load_data()
    found, rows = {}, []
    label = jnp.arange(10, dtype=jnp.int32) % model.classes
    for threshold in (*flags.thresholds, None):
        compute = jax.jit(partial(model.standing_statistics, truncation=threshold))
        state = compute(run.state, jax.random.key(2))
        sample = partial(model.sample, truncation=threshold)
        evaluation = sample_evaluator(run.config, sample, data, model.classes)(state)
        figures = evaluation.figures
        found[str(threshold)] = {**figures, **evaluation.counts}
        rows.append(jax.jit(sample, static_argnums=2)(state, jax.random.key(0), len(label), label))
        shown = ("fid", "inception_score", "diversity", "label_accuracy")
        print(threshold or "none", *(f"{name} {figures[name]:.4g}" for name in shown), flush=True)
    (run.path / "truncation.json").write_text(json.dumps({"step": run.step, "figures": found}, indent=2) + "\n")
    save_image(run.path / "truncation_samples.png", image_grid(np.concatenate(rows), len(label)))
    plot_trade_off(run.path / "truncation.png", found, "diversity", "fid")
    print(f"pictures  {run.path}/ truncation.png truncation_samples.png")


experiment = gan_experiment(
    __file__,
    presets,
    __doc__,
    build=build,
    evaluator=evaluator,
    pictures=pictures,
    best="label_accuracy",
    mode="max",
    commands={"truncation": truncation},
)

if __name__ == "__main__":
    main(experiment)
