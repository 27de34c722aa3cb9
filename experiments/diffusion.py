"""Denoising diffusion (Ho et al. 2020, arXiv:2006.11239), its fast samplers, and flow matching.

python -m experiments.diffusion                     real digits, 16×16
python -m experiments.diffusion mnist               28×28
python -m experiments.diffusion ddpm                the paper's settings on CIFAR-10
python -m experiments.diffusion moons               points in the plane, with their density; also swissroll, ring
python -m experiments.diffusion flow_matching       the digits by straight paths (Lipman et al. 2023)
python -m experiments.diffusion samplers --run DIR  quality against time, of all samplers
python -m experiments.diffusion guidance --run DIR  class accuracy and quality against the scale of guidance
python -m experiments.diffusion edit --run DIR --input FILE --strength 0.4
python -m experiments.diffusion inpaint --run DIR --input FILE --mask FILE
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from experiments.shared.adversarial import ConditionalOptions, classes_of, sample_evaluator
from experiments.shared.diffusion import DiffusionSampling, SamplerOptions, edit, guidance, inpaint, samplers
from experiments.shared.schedules import check_share, steps_to_share, warmup_steps
from jaxgen.cli import Config, Experiment, MirrorOptions, SampleOptions, at_least, main, positive
from jaxgen.cli.names import PREDICTIONS, SCHEDULES, VARIANCES, WEIGHTINGS
from jaxgen.data import toy_world
from jaxgen.diffusion import DDIM, DiscreteProcess
from jaxgen.evaluation import Evaluator, joined
from jaxgen.evaluation.density import density_evaluator
from jaxgen.evaluation.likelihood import bits_evaluator
from jaxgen.evaluation.pictures import draw_density, draw_inpainting, draw_neighbours, draw_trajectory, draw_walks
from jaxgen.models import Diffusion
from jaxgen.networks import DiffusionUNet, PointDenoiser
from jaxgen.types import State

EVALUATIONS = 20  # the timesteps of each at which the bound is estimated
ODE_STEPS = 200  # the steps of the ODE that gives the density of points
FRAMES = 10  # the frames of the picture of the way from noise to image


@dataclass(frozen=True)
class DiffusionConfig(ConditionalOptions, SamplerOptions, SampleOptions, MirrorOptions, Config):
    """The settings of a diffusion model."""

    network: Literal["unet", "points"] = "unet"
    """The U-Net, or for points a perceptron."""
    width: int = 32
    """The channels of the U-Net at full size, or for points the units of a layer."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """The channels at each resolution of the U-Net, from full size on, in units of the width."""
    blocks: int = 2
    """The residual blocks at each resolution."""
    attention: tuple[int, ...] = ()
    """The heights at which pixels attend to each other, besides the lowest."""
    dropout: float = 0.0
    """The dropout of the residual blocks."""
    timesteps: int = 1000
    """T."""
    schedule: Literal[tuple(SCHEDULES)] = "cosine"
    """The noise schedule; `rectified` with --prediction flow is flow matching."""
    prediction: Literal[tuple(PREDICTIONS)] = "velocity"
    """What the network predicts."""
    weighting: Literal[tuple(WEIGHTINGS)] = "simple"
    """How the loss is weighed over noise levels; `bound`: the loss is the variational bound."""
    variance: Literal[tuple(VARIANCES)] = "large"
    """The variance of a step back in the bound and in ancestral sampling."""
    label_dropout: float = 0.1
    """The share of labels that are hidden in training, for guidance."""
    ema: float = 0.999
    """The decay of the averaged parameters that are used for sampling; 0: none."""
    learning_rate: float = 1e-3
    """The learning rate of Adam, at its height."""
    warmup: float = 0.05
    """The share of the steps over which the learning rate rises from 0."""
    cosine_decay: bool = True
    """Let the learning rate fall to 0 over the run, by a cosine."""

    def __post_init__(self):
        at_least(1, self, "width", "blocks", "timesteps")
        positive(self, "learning_rate")
        check_share(self, "warmup")
        super().__post_init__()

    @property
    def convolutional(self) -> bool:
        """Whether the network is the U-Net."""
        return self.network == "unet"

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs in which the warm-up was a number of steps."""
        return super().upgraded(steps_to_share(stored, "warmup_steps", "warmup"))


digits = DiffusionConfig(
    image_size=16, multipliers=(1, 2), conditional=True, steps=3000, eval_every=1000, warmup=200 / 3000
)
points = DiffusionConfig(
    source="moons",
    network="points",
    width=128,
    steps=12_000,
    batch_size=512,
    learning_rate=4e-3,
    eval_every=0,
    sampling_steps=50,
    warmup=200 / 12_000,
)
presets = {
    "digits": digits,
    "mnist": replace(
        digits, source="tfds:mnist", image_size=None, multipliers=(1, 2, 2), steps=6000, warmup=200 / 6000
    ),
    "ddpm": DiffusionConfig(
        source="tfds:cifar10",
        width=128,
        multipliers=(1, 2, 2, 2),
        attention=(16,),
        dropout=0.1,
        schedule="linear",
        prediction="noise",
        ema=0.9999,
        sampler="ancestral",
        sampling_steps=1000,
        learning_rate=2e-4,
        warmup=0.00625,
        cosine_decay=False,
        flip=True,
        batch_size=128,
        steps=800_000,
        checkpoint_every=5000,
        eval_every=50_000,
    ),
    "flow_matching": replace(digits, schedule="rectified", prediction="flow", sampler="ddim"),
    "moons": points,
    "swissroll": replace(points, source="swissroll"),
    "ring": replace(points, source="ring", steps=20_000, warmup=0.01),
}


def build(config: DiffusionConfig, data: Any) -> Diffusion:
    """Returns the diffusion model of a config for examples like those of `data`."""
    shape = data.example["image"].shape
    if (len(shape) == 1) != (config.network == "points"):
        what, allowed = ("points", "points") if len(shape) == 1 else ("images", "unet")
        raise ValueError(f"--network {config.network}: for {what} of shape {shape} choose {allowed}")
    classes = classes_of(config, data)
    if config.guidance and not (classes and config.label_dropout):
        raise ValueError(f"--guidance {config.guidance}: --conditional and a --label-dropout above 0 are needed")
    if config.sampling_steps > config.timesteps:
        raise ValueError(f"--sampling-steps {config.sampling_steps}: 1 to the {config.timesteps} timesteps are allowed")
    variance = VARIANCES[config.variance]
    common: dict[str, Any] = {"outputs": variance.outputs, "classes": classes, "dtype": config.dtype}
    if config.network == "points":
        network = PointDenoiser((config.width,) * 3, **common)
    else:
        parts = config.multipliers, config.blocks, config.attention, config.dropout
        network = DiffusionUNet(config.width, *parts, **common)
    end = 0.0 if config.cosine_decay else config.learning_rate
    rate = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, warmup_steps(config), config.steps, end)
    return Diffusion(
        shape,
        network,
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
        DiscreteProcess(SCHEDULES[config.schedule], config.timesteps),
        PREDICTIONS[config.prediction],
        WEIGHTINGS[config.weighting],
        variance,
        classes=classes,
        label_dropout=config.label_dropout,
        ema=config.ema,
        clip=len(shape) == 3,
    )


def evaluator(config: DiffusionConfig, model: Diffusion, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of samples, and of the variational bound of test images or the density of points."""
    samples = sample_evaluator(config, partial(model.sample, **sampling(config)), (train, test), model.classes)
    if config.network == "points":
        density = density_evaluator(partial(log_density, model), toy_world(config.source), test.arrays["image"])
        return joined(samples, density)
    bits = partial(model.bits_per_dim, evaluations=EVALUATIONS)
    return joined(bits_evaluator(bits, test), samples)


def sampling(config: DiffusionConfig) -> dict[str, Any]:
    """Returns the sampler and the guidance of a config."""
    return DiffusionSampling.of(config).options()


def log_density(model: Diffusion, state: State, points: Array) -> Array:
    """Returns log p of points by the probability-flow ODE, for a conditional model without the label."""
    hidden = jnp.full(len(points), model.classes) if model.classes else None
    return model.log_prob(state, jax.random.key(0), points, hidden, ODE_STEPS)


def pictures(config: DiffusionConfig, model: Diffusion, state: State, train: Any, test: Any, run: Path) -> None:
    """Draws the way from noise; for points the density beside the truth; for images walks between latents, test images
    whose right half is made anew, and the training images nearest to samples."""
    points = config.network == "points"
    rows, frames = (1000, 6) if points else (model.classes or 8, FRAMES)
    label = jnp.arange(rows, dtype=jnp.int32) if model.classes and not points else None
    way_key, walk_key = jax.random.split(jax.random.key(1))
    path = jax.jit(partial(model.trajectory, n=rows, frames=frames, **sampling(config)))
    draw_trajectory(path(state, way_key, label=label), run)
    if points:
        draw_density(partial(log_density, model), toy_world(config.source), state, run)
        return

    def generate(state: State, latent: Array, label: Any) -> Array:
        sampler = DDIM(config.sampling_steps)
        return model.decode(state, latent, label, sampler=sampler, guidance=config.guidance)

    draw_walks(generate, state, tuple(model.shape), run, key=walk_key, classes=model.classes)
    batch = test.batch(np.linspace(0, len(test) - 1, min(len(test), 10)).astype(int))
    fill = partial(model.inpaint, sampler=DDIM(min(100, config.timesteps), 1.0), guidance=config.guidance)
    label = jnp.asarray(batch["label"]) if model.classes else None
    draw_inpainting(fill, state, batch["image"], label, run)
    draw_neighbours(partial(model.sample, **sampling(config)), state, train, run, classes=model.classes)


experiment = Experiment(
    __file__,
    presets,
    build,
    evaluator,
    pictures,
    sampling=DiffusionSampling,
    doc=__doc__,
    commands={"samplers": samplers, "guidance": guidance, "edit": edit, "inpaint": inpaint},
)

if __name__ == "__main__":
    main(experiment)
