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

import dataclasses
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.adversarial import evaluator as evaluator_of_samples
from jaxgen.data import read_image, toy_world
from jaxgen.evaluation import Evaluator, bits_evaluator, density_evaluator, joined
from jaxgen.evaluation.pictures import (
    draw_density,
    draw_inpainting,
    draw_neighbours,
    draw_trajectory,
    draw_walks,
)
from jaxgen.evaluation.samples import BATCH, SAMPLES, sampled
from jaxgen.losses.diffusion import PREDICTIONS, SCHEDULES, WEIGHTINGS
from jaxgen.models import Diffusion
from jaxgen.models.diffusion import VARIANCES
from jaxgen.networks import DiffusionUNet, PointDenoiser
from jaxgen.pixels import to_uint8
from jaxgen.report import image_grid, plot_trade_off, save_image
from jaxgen.samplers import SAMPLERS
from jaxgen.training.command_line import parse
from jaxgen.training.commands import load_data, use_devices
from jaxgen.training.experiment import Config, Experiment, main
from jaxgen.training.runs import read_run, restore_run

EVALUATIONS = 20  # timesteps of each at which the bound is estimated
ODE_STEPS = 200  # of the density of points
FRAMES = 10  # of the picture of the way from noise to image


@dataclass(frozen=True)
class DiffusionConfig(Config):
    network: Literal["unet", "points"] = "unet"
    """The U-Net, or for points a perceptron."""
    width: int = 32
    """Channels of the U-Net at full size; units of a layer for points."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Of the width, at each resolution of the U-Net, from full size on."""
    blocks: int = 2
    """Residual blocks at each resolution."""
    attention: tuple[int, ...] = ()
    """Heights at which pixels attend to each other, besides the lowest."""
    dropout: float = 0.0
    """Of the residual blocks."""
    timesteps: int = 1000
    """T."""
    schedule: Literal[tuple(SCHEDULES)] = "cosine"
    """Of the noise; `rectified` with --prediction flow is flow matching."""
    prediction: Literal[tuple(PREDICTIONS)] = "velocity"
    """What the network predicts."""
    weighting: Literal[tuple(WEIGHTINGS)] = "simple"
    """Of the loss over noise levels; `bound`: the variational bound."""
    variance: Literal[VARIANCES] = "large"
    """Of a step back in the bound and in ancestral sampling."""
    conditional: bool = False
    """Give the label to the network."""
    label_dropout: float = 0.1
    """The share of labels hidden in training, for guidance."""
    guidance: float = 0.0
    """Scale of classifier-free guidance when sampling; 0: none."""
    ema: float = 0.999
    """Decay of the averaged parameters that are used for sampling; 0: none."""
    sampler: Literal[SAMPLERS] = "dpm_solver"
    """Of pictures and figures."""
    sampling_steps: int = 20
    """Timesteps that it visits."""
    eta: float = 0.0
    """Noise of DDIM: 0 is deterministic."""
    learning_rate: float = 1e-3
    """Adam's, at its height."""
    warmup_steps: int = 200
    """Steps until then."""
    cosine_decay: bool = True
    """Let the learning rate fall to 0 over the run, by a cosine."""
    inception: str | None = None
    """Weight file of Inception-v3, to compute FID and the like by it; default: by a classifier of the data."""

    @property
    def convolutional(self) -> bool:
        return self.network == "unet"


digits = DiffusionConfig("digits", 16, multipliers=(1, 2), conditional=True, steps=3000, eval_every=1000)
points = DiffusionConfig(
    "moons",
    network="points",
    width=128,
    steps=12_000,
    batch_size=512,
    learning_rate=4e-3,
    eval_every=0,
    sampling_steps=50,
)
presets = {
    "digits": digits,
    "mnist": replace(digits, source="tfds:mnist", image_size=None, multipliers=(1, 2, 2), steps=6000),
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
        warmup_steps=5000,
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
    "ring": replace(points, source="ring", steps=20_000),
}


def build(config: DiffusionConfig, data) -> Diffusion:
    shape = data.example["image"].shape
    if (len(shape) == 1) != (config.network == "points"):
        what, allowed = ("points", "points") if len(shape) == 1 else ("images", "unet")
        raise ValueError(f"--network {config.network}: for {what} of shape {shape} choose {allowed}")
    classes = data.classes if config.conditional else 0
    if config.conditional and not classes:
        raise ValueError(f"{config.source} has no labels to condition on")
    if config.warmup_steps >= config.steps > 0 and config.cosine_decay:
        raise ValueError(f"--warmup-steps {config.warmup_steps}: less than --steps {config.steps} is needed")
    outputs = 2 if config.variance == "learned" else 1
    common = {"outputs": outputs, "classes": classes, "dtype": config.dtype}
    if config.network == "points":
        network = PointDenoiser((config.width,) * 3, **common)
    else:
        parts = config.multipliers, config.blocks, config.attention, config.dropout
        network = DiffusionUNet(config.width, *parts, **common)
    end = 0.0 if config.cosine_decay else config.learning_rate
    rate = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, config.warmup_steps, max(config.steps, 1), end)
    names = "timesteps schedule prediction weighting variance label_dropout ema sampler sampling_steps eta guidance"
    return Diffusion(
        shape,
        network,
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
        classes=classes,
        clip=len(shape) == 3,
        **{name: getattr(config, name) for name in names.split()},
    )


def evaluator(config: DiffusionConfig, model: Diffusion, train, test) -> Evaluator:
    """The figures of samples, as of a GAN's; and of test images the variational bound in bits per dimension, of points
    how well the density is known."""
    of_samples = evaluator_of_samples(config, model, train, test)
    if config.network == "points":
        world, points = toy_world(config.source), test.arrays["image"]
        return joined(of_samples, density_evaluator(partial(log_density, model), world, points))

    def bits(state, key, batch):
        return model.bits_per_dim(state, key, batch, EVALUATIONS)

    return joined(bits_evaluator(bits, test), of_samples)


def log_density(model: Diffusion, state, points: jax.Array) -> jax.Array:
    """log p of points by the probability-flow ODE, of a conditional model without the label."""
    hidden = jnp.full(len(points), model.classes) if model.classes else None
    return model.log_prob(state, jax.random.key(0), points, hidden, ODE_STEPS)


def pictures(config: DiffusionConfig, model: Diffusion, state, train, test, run: Path) -> None:
    """Of points the density beside the truth, and the way from noise. Of images the way too; walks between latents;
    test images whose right half is made anew; the training images nearest to samples."""
    way_key, walk_key = jax.random.split(jax.random.key(1))
    trajectory = jax.jit(model.trajectory, static_argnums=(2, 4))
    if config.network == "points":
        draw_density(partial(log_density, model), toy_world(config.source), state, run)
        draw_trajectory(trajectory(state, jax.random.key(1), 1000, None, 6), run)
        return
    classes, rows = model.classes, model.classes or 8
    label = jnp.arange(rows, dtype=jnp.int32) if classes else None
    draw_trajectory(trajectory(state, way_key, rows, label, FRAMES), run)
    walked = replace(model, sampler="ddim", eta=0.0)
    draw_walks(walked.decode, state, model.shape, run, key=walk_key, classes=classes, columns=FRAMES)
    batch = test.batch(np.linspace(0, len(test) - 1, min(len(test), 10)).astype(int))
    completed = replace(model, sampler="ddim", eta=1.0, sampling_steps=min(100, model.timesteps))
    label = jnp.asarray(batch["label"]) if classes else None
    draw_inpainting(completed.inpaint, state, batch["image"], label, run)
    draw_neighbours(model.sample, state, train, run, classes=classes)


@dataclass(frozen=True)
class OnRun:
    """What the commands on a run share."""

    run: Path
    """The folder of the run."""
    checkpoint: int | None = None
    """The step to use; default: the newest."""

    def restored(self, experiment: Experiment):
        """The config, the model, its state and the step."""
        config, data = read_run(experiment, self.run)
        model, [state, *_], step = restore_run(experiment, self.run, config, data, self.checkpoint)
        return config, model, state, step


@dataclass(frozen=True)
class Compared(OnRun):
    samples: int = SAMPLES
    """That the figures are computed from."""

    def __post_init__(self):
        if self.samples < BATCH or self.samples % BATCH:
            raise ValueError(f"--samples {self.samples}: a multiple of {BATCH} is needed")


def compare(
    experiment: Experiment, options: Compared, name: str, variants: dict[str, dict], x: str, y: str, line: bool
) -> None:
    """Figures of samples, seconds for a batch of them and a row of pictures, of the run's model with other fields."""
    use_devices(read_run(experiment, options.run)[0])  # before JAX starts
    config, model, state, step = options.restored(experiment)
    train, test = load_data(config)
    columns, found, rows = 2 * (model.classes or 8), {}, []
    models = {variant: replace(model, **fields) for variant, fields in variants.items()}
    for variant, one in models.items():
        figures = evaluator_of_samples(config, one, train, test, options.samples)(state).figures
        began = time.perf_counter()
        images = next(sampled(one.sample, state, BATCH, classes=one.classes))  # compiled by now
        found[variant] = {"seconds": time.perf_counter() - began} | figures
        rows.append(images[:columns])
        shown = [key for key in ("seconds", "fid", "precision", "recall", "label_accuracy") if key in found[variant]]
        print(f"{variant:14}", *(f"{key} {found[variant][key]:.4g}" for key in shown), flush=True)
    record = {"step": step, "samples_timed": BATCH, "figures": found}
    (options.run / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    grid = image_grid(np.concatenate(rows), columns, row_names=tuple(variants))
    save_image(options.run / f"{name}_samples.png", grid)
    plot_trade_off(options.run / f"{name}.png", found, x, y, line=line)
    print(f"pictures  {options.run}/ {name}.png {name}_samples.png")


def samplers(experiment: Experiment, args: list[str]) -> None:
    """Quality of samples and the time that they take, by each sampler: samplers.json and pictures."""

    @dataclass(frozen=True)
    class Samplers(Compared):
        samplers: tuple[str, ...] = ("ancestral", "ddim 50", "ddim 20", "ddim 10", "dpm_solver 20", "dpm_solver 10")
        """Each with its steps, without them by all timesteps."""

    options = parse(Samplers, args, f"{experiment.script} samplers", samplers.__doc__)
    timesteps, variants = read_run(experiment, options.run)[0].timesteps, {}
    for entry in options.samplers:
        sampler, _, steps = entry.partition(" ")
        if steps and not steps.isdecimal():
            raise ValueError(f"--samplers {entry!r}: a sampler and its steps are needed, as in 'ddim 20'")
        count = int(steps) if steps else timesteps
        variants[f"{sampler} {count}"] = {"sampler": sampler, "sampling_steps": count, "eta": 0.0}
    compare(experiment, options, "samplers", variants, "seconds", "fid", line=False)


def guidance(experiment: Experiment, args: list[str]) -> None:
    """Class accuracy and quality of samples at one scale of guidance after another: guidance.json and pictures."""

    @dataclass(frozen=True)
    class Guidance(Compared):
        scales: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
        """w: 0 is none."""

    options = parse(Guidance, args, f"{experiment.script} guidance", guidance.__doc__)
    if not read_run(experiment, options.run)[0].conditional:
        raise ValueError(f"{options.run}: guidance is of a conditional run, see --conditional")
    variants = {f"w = {scale:g}": {"guidance": scale} for scale in options.scales}
    compare(experiment, options, "guidance", variants, "label_accuracy", "fid", line=True)


@dataclass(frozen=True)
class Use(OnRun):
    input: Path = dataclasses.field(kw_only=True)
    """The image."""
    label: int | None = None
    """Its class, for a conditional model."""
    n: int = 4
    """How many results."""
    seed: int = 0
    """Of the noise."""
    out: Path | None = None
    """The PNG to write; default: one with the command's name in the run folder."""

    def prepared(self, experiment: Experiment):
        """The model, its state, n times the image, and their labels."""
        _, model, state, _ = self.restored(experiment)
        if len(model.shape) != 3:
            raise ValueError(f"{self.run}: a run of points has no images to work on")
        if self.n < 1:
            raise ValueError(f"--n {self.n}: at least 1 is needed")
        if self.label is not None and not 0 <= self.label < model.classes:
            raise ValueError(f"--label {self.label}: this run has {model.classes} classes, from 0")
        image = jnp.asarray(read_image(self.input, model.shape[-1], model.shape[:2]))
        hidden = model.classes if self.label is None else self.label  # the label of none
        label = jnp.full(self.n, hidden, jnp.int32) if model.classes else None
        return model, state, jnp.tile(image[None], (self.n, 1, 1, 1)), label

    def write(self, name: str, image, made) -> None:
        path = self.out or self.run / f"{name}.png"
        shown = jnp.concatenate([image[:1], to_uint8(made)])
        save_image(path, image_grid(shown, len(shown), names=("input", *["result"] * len(made))))
        print(f"{len(made)} results beside the image: {path}")


def edit(experiment: Experiment, args: list[str]) -> None:
    """An image, noised up to some strength and denoised: a sketch becomes one of the data's kind (SDEdit)."""

    @dataclass(frozen=True)
    class Edit(Use):
        strength: float = 0.5
        """Up to which share of the timesteps: near 0 the image stays, at 1 nothing is left of it."""

    options = parse(Edit, args, f"{experiment.script} edit", edit.__doc__)
    model, state, image, label = options.prepared(experiment)
    made = jax.jit(model.edit, static_argnums=3)(state, jax.random.key(options.seed), image, options.strength, label)
    options.write("edit", image, made)


def inpaint(experiment: Experiment, args: list[str]) -> None:
    """An image, made anew where the mask is black."""

    @dataclass(frozen=True)
    class Inpaint(Use):
        mask: Path = dataclasses.field(kw_only=True)
        """White where the image is known."""

    options = parse(Inpaint, args, f"{experiment.script} inpaint", inpaint.__doc__)
    model, state, image, label = options.prepared(experiment)
    mask = (jnp.asarray(read_image(options.mask, 1, model.shape[:2])) > 127).astype(jnp.float32)
    made = jax.jit(model.inpaint)(state, jax.random.key(options.seed), image, mask, label)
    options.write("inpaint", image, made)


experiment = Experiment(
    Path(__file__).stem,
    presets,
    build,
    evaluator,
    pictures,
    __doc__,
    commands={"samplers": samplers, "guidance": guidance, "edit": edit, "inpaint": inpaint},
)

if __name__ == "__main__":
    main(experiment)
