"""What the experiments of normalising flows share: settings, figures, pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from experiments.latent import known_world
from jaxgen.data import toy_world
from jaxgen.evaluation import Evaluator, density_evaluator, likelihood_evaluator
from jaxgen.evaluation.pictures import draw_density, draw_flow
from jaxgen.models import NormalizingFlow
from jaxgen.networks import Dequantiser
from jaxgen.training.command_line import flag_of
from jaxgen.training.experiment import Config


@dataclass(frozen=True)
class FlowConfig(Config):
    bits: int = 8
    """Of a pixel value; bits per dimension are of the images so quantised."""
    dequantisation: Literal["uniform", "variational"] = "uniform"
    """Noise within a level: uniform, or by a flow that is learnt (Flow++)."""
    conditional: bool = False
    """Give the label to the flow, which then also classifies, by Bayes' rule."""
    optimiser: Literal["adam", "adamax"] = "adam"
    """Adamax is that of Glow's code."""
    learning_rate: float = 1e-3
    """Of the optimiser."""
    warmup_steps: int = 0
    """Raise the learning rate from 0 over so many steps."""
    cosine_decay: bool = False
    """Let the learning rate fall to 0 along a cosine over `steps`."""
    weight_decay: float = 0.0
    """λ of the penalty λ/2 |θ|², added to the gradient."""
    clip_norm: float | None = None
    """Shorten longer gradients to this norm."""
    ema: float = 0.0
    """Decay of averaged parameters that are used for figures and samples; 0: none."""
    temperature: float = 1.0
    """Standard deviation of the latents of samples."""
    draws: int = 1
    """Of the noise, in evaluations: more tighten the bound."""
    remat: bool = False
    """Compute activations again for the gradient, to save memory."""
    flow_steps: int = 8
    """Steps of flow: of each level of Glow (K), or of a flow of points."""
    levels: int = 2
    """Scales (L); on the way to the next the image becomes half the size."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("draws", "flow_steps", "levels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{flag_of(name)} {getattr(self, name)}: at least 1 is needed")


def build_flow(config: FlowConfig, data, network: Callable[..., nn.Module], alpha: float = 0.0) -> NormalizingFlow:
    """The flow of `network`, (classes) -> module."""
    classes = data.classes if config.conditional else 0
    if config.conditional and not classes:
        raise ValueError(f"--conditional: {config.source} has no labels")
    dequantiser = None
    if config.dequantisation == "variational":
        if len(data.example["image"].shape) == 1:
            raise ValueError("--dequantisation variational: points are continuous")
        dequantiser = Dequantiser(dtype=config.dtype)
    rate, steps = config.learning_rate, config.steps
    if config.cosine_decay:
        rate = optax.warmup_cosine_decay_schedule(0.0, rate, config.warmup_steps, steps)
    elif config.warmup_steps:
        rate = optax.linear_schedule(0.0, rate, config.warmup_steps)
    return NormalizingFlow(
        network(classes=classes),
        optax.chain(
            *([optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []),
            *([optax.add_decayed_weights(config.weight_decay)] if config.weight_decay else []),
            getattr(optax, config.optimiser)(rate),
        ),
        dequantiser,
        config.bits,
        alpha,
        classes,
        config.temperature,
        config.ema,
    )


def evaluator(config: FlowConfig, model: NormalizingFlow, train, test) -> Evaluator:
    """Of images the bits per dimension of the test set, and of a conditional flow its accuracy as a classifier; of
    points the negative log-likelihood, the divergence from the truth, and the integral of the density."""
    if len(model.network.shape) == 1:
        return density_evaluator(partial(log_density, model), toy_world(config.source), test.arrays["image"])
    bits = partial(model.bits_per_dim, draws=config.draws)
    return likelihood_evaluator(bits, test, model.classify if model.classes else None)


def log_density(model: NormalizingFlow, state, points: jax.Array) -> jax.Array:
    """log p of points, of a conditional flow that of the mixture of its classes, which are equally likely."""
    if not model.classes:
        return model.log_prob(state, points)
    each = [model.log_prob(state, points, jnp.full(len(points), y)) for y in range(model.classes)]
    return jax.nn.logsumexp(jnp.stack(each), axis=0) - jnp.log(model.classes)


def draw(config: FlowConfig, model: NormalizingFlow, state, train, test, run: Path) -> None:
    """Of points the density beside the truth; of images samples by temperature and walks in the latent space."""
    if len(model.network.shape) == 1:
        draw_density(partial(log_density, model), toy_world(config.source), state, run)
    else:
        draw_flow(model, state, train, test, run, world=known_world(config.source))
