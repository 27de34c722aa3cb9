"""How a run of diffusion samples, and what else can be done with it: comparisons, editing, inpainting."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from experiments.shared.adversarial import sample_evaluator
from jaxgen.cli import ByLabel, EvaluationOptions, Experiment, OnRun, Run, at_least, parse
from jaxgen.cli.names import SAMPLERS
from jaxgen.data import read_image
from jaxgen.diffusion import DDIM, Sampler
from jaxgen.evaluation.samples import BATCH, sampled
from jaxgen.models import Diffusion
from jaxgen.pixels import to_uint8
from jaxgen.report import image_grid, plot_trade_off, save_image


@dataclass(frozen=True)
class SamplerOptions(EvaluationOptions):
    """How samples are drawn for pictures and figures."""

    sampler: Literal[tuple(SAMPLERS)] = "dpm_solver"
    """The sampler."""
    sampling_steps: int = 20
    """The number of timesteps that it visits."""
    eta: float = 0.0
    """The noise of DDIM: 0 is deterministic."""
    guidance: float = 0.0
    """The scale of classifier-free guidance; 0: none."""

    def __post_init__(self) -> None:
        at_least(1, self, "sampling_steps")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"--eta {self.eta}: 0 to 1 is allowed")
        super().__post_init__()


def sampler_of(name: str, steps: int, eta: float = 0.0) -> Sampler:
    """Returns the sampler of a name; `eta` is DDIM's."""
    kind: Any = SAMPLERS[name]
    return kind(steps, eta) if kind is DDIM else kind(steps)


@dataclass(frozen=True)
class DiffusionSampling(SamplerOptions, ByLabel):
    """How a diffusion model samples; by default as the run does."""

    def options(self) -> dict[str, Any]:
        """Returns the sampler and the guidance."""
        return {"sampler": sampler_of(self.sampler, self.sampling_steps, self.eta), "guidance": self.guidance}


@dataclass(frozen=True)
class Compared(OnRun):
    """The flags of the commands that compare ways to sample."""

    eval_samples: int = 10_000
    """The number of samples that the figures are computed from."""

    def __post_init__(self) -> None:
        if self.eval_samples < BATCH or self.eval_samples % BATCH:
            raise ValueError(f"--eval-samples {self.eval_samples}: a multiple of {BATCH} is needed")


def compare(
    experiment: Experiment,
    flags: Compared,
    name: str,
    variants: Callable[[Any], Mapping[str, Mapping[str, Any]]],
    axes: tuple[str, str],
    line: bool,
) -> None:
    """Prints and draws the figures of samples, the seconds for a batch of them and a row of pictures, for variants of
    the arguments of `sample`; `variants` returns them for a config."""
    run = flags.open(experiment)
    compared = variants(run.config)
    model, data = run.model, run.load_data()
    columns, found, rows = 2 * (model.classes or 8), {}, []
    for variant, arguments in compared.items():
        sample = partial(model.sample, **arguments)
        figures = sample_evaluator(run.config, sample, data, model.classes, flags.eval_samples)(run.state)
        began = time.perf_counter()
        images = next(sampled(sample, run.state, BATCH, classes=model.classes))  # the program is compiled already
        found[variant] = {"seconds": time.perf_counter() - began, **figures.figures, **figures.counts}
        rows.append(images[:columns])
        shown = [key for key in ("seconds", "fid", "precision", "recall", "label_accuracy") if key in found[variant]]
        print(f"{variant:14}", *(f"{key} {found[variant][key]:.4g}" for key in shown), flush=True)
    record = {"step": run.step, "samples_timed": BATCH, "figures": found}
    (run.path / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    save_image(run.path / f"{name}_samples.png", image_grid(np.concatenate(rows), columns, row_names=tuple(found)))
    plot_trade_off(run.path / f"{name}.png", found, *axes, line=line)
    print(f"pictures  {run.path}/ {name}.png {name}_samples.png")


@dataclass(frozen=True)
class Samplers(Compared):
    """The flags of `samplers`."""

    samplers: tuple[str, ...] = ("ancestral", "ddim 50", "ddim 20", "ddim 10", "dpm_solver 20", "dpm_solver 10")
    """The samplers, each with its number of steps; without a number it visits all timesteps."""


def samplers(experiment: Experiment, args: list[str]) -> None:
    """Compares the quality of samples and the time that they take, by each sampler: samplers.json and pictures."""
    flags = parse(Samplers, args, f"{experiment.program} samplers", samplers.__doc__ or "")

    def variants(config: Any) -> dict[str, dict[str, Any]]:
        found = {}
        for entry in flags.samplers:
            name, _, steps = entry.partition(" ")
            if name not in SAMPLERS or (steps and not steps.isdecimal()):
                raise ValueError(
                    f"--samplers {entry!r}: a sampler ({', '.join(SAMPLERS)}) and its steps are needed, as in 'ddim 20'"
                )
            count = int(steps or config.timesteps)
            if not 1 <= count <= config.timesteps:
                raise ValueError(f"--samplers {entry!r}: 1 to the {config.timesteps} timesteps are allowed")
            found[f"{name} {count}"] = {"sampler": sampler_of(name, count), "guidance": config.guidance}
        return found

    compare(experiment, flags, "samplers", variants, ("seconds", "fid"), line=False)


@dataclass(frozen=True)
class Guidance(Compared):
    """The flags of `guidance`."""

    scales: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
    """The scales w; 0 is none."""


def guidance(experiment: Experiment, args: list[str]) -> None:
    """Compares class accuracy and quality of samples at one scale of guidance after another: guidance.json and
    pictures."""
    flags = parse(Guidance, args, f"{experiment.program} guidance", guidance.__doc__ or "")

    def variants(config: Any) -> dict[str, dict[str, Any]]:
        if not config.conditional:
            raise ValueError(f"{flags.run}: only a conditional run can be guided, see --conditional")
        sampler = sampler_of(config.sampler, config.sampling_steps, config.eta)
        return {f"w = {scale:g}": {"sampler": sampler, "guidance": scale} for scale in flags.scales}

    compare(experiment, flags, "guidance", variants, ("label_accuracy", "fid"), line=True)


@dataclass(frozen=True)
class Use(OnRun):
    """The flags of the commands that work on an image."""

    input: Path = field(kw_only=True)
    """The image."""
    label: int | None = None
    """The class of the image, for a conditional model."""
    n: int = 4
    """The number of results."""
    seed: int = 0
    """The seed of the noise."""
    out: Path | None = None
    """The PNG to write; by default one with the command's name in the run folder."""

    def prepared(self, experiment: Experiment) -> tuple[Run, Array, Array | None]:
        """Returns the run, n times the image, and their labels."""
        run = self.open(experiment)
        model: Diffusion = run.model
        if len(model.shape) != 3:
            raise ValueError(f"{self.run}: a run of points has no images to work on")
        at_least(1, self, "n")
        if self.label is not None and not 0 <= self.label < model.classes:
            raise ValueError(f"--label {self.label}: this run has {model.classes} classes, from 0")
        image = jnp.asarray(read_image(self.input, model.shape[-1], tuple(model.shape[:2])))
        hidden = model.classes if self.label is None else self.label  # the label that stands for none
        label = jnp.full(self.n, hidden, jnp.int32) if model.classes else None
        return run, jnp.tile(image[None], (self.n, 1, 1, 1)), label

    def write(self, name: str, image: Array, made: Array) -> None:
        """Writes the results beside the image."""
        path = self.out or self.run / f"{name}.png"
        shown = jnp.concatenate([image[:1], to_uint8(made)])
        save_image(path, image_grid(shown, len(shown), names=("input", *["result"] * len(made))))
        print(f"{len(made)} results beside the image: {path}")


@dataclass(frozen=True)
class Edit(Use):
    """The flags of `edit`."""

    strength: float = 0.5
    """The share of the timesteps up to which the image is noised: near 0 it stays, at 1 nothing is left of it."""


def edit(experiment: Experiment, args: list[str]) -> None:
    """Noises an image up to some strength and denoises it: a sketch becomes an image like the data (SDEdit)."""
    flags = parse(Edit, args, f"{experiment.program} edit", edit.__doc__ or "")
    run, image, label = flags.prepared(experiment)
    change = jax.jit(partial(run.model.edit, strength=flags.strength, **sampling_of(run)))
    flags.write("edit", image, change(run.state, jax.random.key(flags.seed), image, label=label))


@dataclass(frozen=True)
class Inpaint(Use):
    """The flags of `inpaint`."""

    mask: Path = field(kw_only=True)
    """A picture that is white where the image is known."""


def inpaint(experiment: Experiment, args: list[str]) -> None:
    """Makes an image anew where the mask is black."""
    flags = parse(Inpaint, args, f"{experiment.program} inpaint", inpaint.__doc__ or "")
    run, image, label = flags.prepared(experiment)
    mask = (jnp.asarray(read_image(flags.mask, 1, tuple(run.model.shape[:2]))) > 127).astype(jnp.float32)
    fill = jax.jit(partial(run.model.inpaint, **sampling_of(run)))
    flags.write("inpaint", image, fill(run.state, jax.random.key(flags.seed), image, mask, label))


def sampling_of(run: Run) -> dict[str, Any]:
    """Returns the sampler and the guidance with which a run samples."""
    return run.experiment.sampling.of(run.config).options()
