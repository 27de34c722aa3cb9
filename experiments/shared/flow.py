"""What the experiments of normalising flows share: settings, the model, figures and pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array

from experiments.shared.adversarial import ConditionalOptions, classes_of
from experiments.shared.latent import world_of
from experiments.shared.schedules import check_share, share_of, steps_to_share, warmup_steps
from jaxgen.cli import ByLabel, Config, EvaluationOptions, MirrorOptions, at_least, positive
from jaxgen.data import toy_world
from jaxgen.evaluation import Evaluator
from jaxgen.evaluation.density import density_evaluator
from jaxgen.evaluation.likelihood import likelihood_evaluator
from jaxgen.evaluation.pictures import draw_density, draw_flow
from jaxgen.models import NormalizingFlow
from jaxgen.networks import Dequantiser
from jaxgen.types import State


@dataclass(frozen=True)
class DrawsOptions(EvaluationOptions):
    """How likelihoods are measured, and how samples are drawn."""

    draws: int = 1
    """Draws of the dequantisation noise in evaluations: more tighten the bound."""
    temperature: float = 1.0
    """The standard deviation of the latents of samples."""

    def __post_init__(self):
        at_least(1, self, "draws")
        at_least(0, self, "temperature")
        super().__post_init__()


@dataclass(frozen=True)
class FlowConfig(ConditionalOptions, DrawsOptions, MirrorOptions, Config):
    """The settings of every flow."""

    bits: int = 8
    """The bits of a pixel value; bits per dimension are those of the images so quantised."""
    dequantisation: Literal["uniform", "variational"] = "uniform"
    """The noise within a level: uniform, or by a flow that is learnt (Flow++)."""
    optimiser: Literal["adam", "adamax"] = "adam"
    """The optimiser; Adamax is that of Glow's code."""
    learning_rate: float = 1e-3
    """The learning rate, at its height."""
    warmup: float = 0.0
    """The share of the steps over which the learning rate rises from 0."""
    cosine_decay: bool = False
    """Let the learning rate fall to 0 along a cosine over the run."""
    weight_decay: float = 0.0
    """λ of the penalty λ/2 |θ|², added to the gradient."""
    clip_norm: float | None = None
    """Shorten longer gradients to this norm."""
    ema: float = 0.0
    """The decay of averaged parameters that are used for figures and samples; 0: none."""
    remat: bool = False
    """Compute activations again for the gradient, to save memory."""
    flow_steps: int = 8
    """Steps of flow: in each level of Glow (K), or in a flow of points."""
    levels: int = 2
    """Scales (L); on the way to the next the image becomes half the size."""

    def __post_init__(self):
        at_least(1, self, "flow_steps", "levels")
        positive(self, "learning_rate")
        check_share(self, "warmup")
        super().__post_init__()

    @classmethod
    def upgraded(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Reads runs in which the warm-up was a number of steps."""
        return super().upgraded(steps_to_share(stored, "warmup_steps", "warmup"))


@dataclass(frozen=True)
class FlowSampling(ByLabel):
    """How a flow samples."""

    temperature: float = 1.0
    """The standard deviation of the latents; by default the run's."""

    def __post_init__(self):
        at_least(0, self, "temperature")

    def options(self) -> dict[str, Any]:
        """The temperature."""
        return {"temperature": self.temperature}


def build_flow(config: FlowConfig, data: Any, network: Callable[..., nn.Module], alpha: float = 0.0) -> NormalizingFlow:
    """Returns the flow of `network`, a function (classes) -> module."""
    classes = classes_of(config, data)
    dequantiser = None
    if config.dequantisation == "variational":
        if len(data.example["image"].shape) == 1:
            raise ValueError("--dequantisation variational: points are continuous")
        dequantiser = Dequantiser(dtype=config.dtype)
    rate: Any = config.learning_rate
    if config.cosine_decay:
        rate = optax.warmup_cosine_decay_schedule(0.0, rate, warmup_steps(config), config.steps)
    elif config.warmup:
        rate = optax.linear_schedule(0.0, rate, share_of(config, "warmup"))
    optimiser = optax.chain(
        *([optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []),
        *([optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []),
        getattr(optax, config.optimiser)(rate),
    )
    return NormalizingFlow(
        network(classes=classes), optimiser, dequantiser, bits=config.bits, alpha=alpha, classes=classes, ema=config.ema
    )


def evaluator(config: FlowConfig, model: NormalizingFlow, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of the bits per dimension of test images, and of a conditional flow as a classifier; or of
    the density of points."""
    if len(model.network.shape) == 1:
        return density_evaluator(partial(log_density, model), toy_world(config.source), test.arrays["image"])
    bits = partial(model.bits_per_dim, draws=config.draws)
    return likelihood_evaluator(bits, test, model.classify if model.classes else None)


def log_density(model: NormalizingFlow, state: State, points: Array) -> Array:
    """Returns log p of points, for a conditional flow that of the mixture of its classes, which are equally likely."""
    if not model.classes:
        return model.log_prob(state, points)
    each = [model.log_prob(state, points, jnp.full(len(points), y)) for y in range(model.classes)]
    return jax.nn.logsumexp(jnp.stack(each), axis=0) - jnp.log(model.classes)


def draw(config: FlowConfig, model: NormalizingFlow, state: State, train: Any, test: Any, run: Path) -> None:
    """Draws the density of points beside the truth; for images samples by temperature, interpolations and
    arithmetic."""
    if len(model.network.shape) == 1:
        draw_density(partial(log_density, model), toy_world(config.source), state, run)
    else:
        draw_flow(model, state, train, test, run, world=world_of(config))
