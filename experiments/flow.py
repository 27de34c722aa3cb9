"""What the experiments of normalising flows share: settings, figures, pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from experiments.density import density_evaluator, draw_density
from experiments.latent import SAMPLED, codes_of, draw_arithmetic, draw_interpolations, factors_of
from jaxgen.data import order
from jaxgen.models import NormalizingFlow
from jaxgen.networks import Dequantiser
from jaxgen.report import image_grid, save_image
from jaxgen.training.command_line import flag_of
from jaxgen.training.experiment import Config

BATCH = 500
TEMPERATURES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


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
        config.ema,
    )


def evaluator(config: FlowConfig, model: NormalizingFlow, train, test) -> Callable:
    """Of images the bits per dimension of the test set, and of a conditional flow its accuracy as a classifier; of
    points the negative log-likelihood, the divergence from the truth, and the integral of the density."""
    if len(model.network.shape) == 1:
        return density_evaluator(config.source, partial(log_density, model), test)

    @jax.jit
    def figures(state, key, batch):
        sums = {"test_bits_per_dim": model.bits_per_dim(state, key, batch, config.draws).sum()}
        if model.classes:
            sums["test_accuracy"] = (model.classify(state, batch["image"]).argmax(-1) == batch["label"]).sum()
        return sums

    def evaluate(state) -> dict[str, float]:
        keys = jax.random.split(jax.random.key(0), -(-len(test) // BATCH))
        batches = zip(keys, test.batches(BATCH), strict=True)
        totals = [jax.device_get(figures(state, key, batch)) for key, batch in batches]
        return {name: float(sum(np.float64(total[name]) for total in totals) / len(test)) for name in totals[0]}

    return evaluate


def log_density(model: NormalizingFlow, state, points: jax.Array) -> jax.Array:
    """log p of points, of a conditional flow that of the mixture of its classes, which are equally likely."""
    if not model.classes:
        return model.log_prob(state, points)
    each = [model.log_prob(state, points, jnp.full(len(points), y)) for y in range(model.classes)]
    return jax.nn.logsumexp(jnp.stack(each), axis=0) - jnp.log(model.classes)


def draw(config: FlowConfig, model: NormalizingFlow, state, train, test, run: Path) -> None:
    """Of points the density beside the truth; of images samples by temperature, the same latents in a column;
    interpolations of test images; and of data with labels arithmetic on latents."""
    if len(model.network.shape) == 1:
        draw_density(config.source, partial(log_density, model), state, run)
        return
    columns = 10
    label = jnp.arange(columns, dtype=jnp.int32) % model.classes if model.classes else None
    sample = jax.jit(lambda state, t: model.sample(state, jax.random.key(0), columns, label, temperature=t))
    rows = np.concatenate([sample(state, t) for t in TEMPERATURES])
    names = [f"temperature {t:g}" for t in TEMPERATURES]
    save_image(run / "temperatures.png", image_grid(rows, columns, smallest=48, row_names=names))

    conditional = bool(model.classes)
    encode = jax.jit(lambda image, label: model.encode(state, image, label if conditional else None))
    decode_flat = jax.jit(lambda z, label: model.decode(state, z, label if conditional else None))

    def posterior(image, label):
        z = encode(image, label)
        return z, jnp.ones_like(z)

    def decode(z, label):
        labels = np.broadcast_to(label, z.shape[:-1]).reshape(-1)
        images = decode_flat(z.reshape(-1, z.shape[-1]), labels)
        return np.asarray(images).reshape(*z.shape[:-1], *images.shape[1:])

    index = np.linspace(0, len(test) - 1, 32).astype(int)
    codes, _ = codes_of(posterior, test, index, np.arange(1))
    draw_interpolations(decode, codes.mean, codes.label, run)
    index = order(0, 0, min(SAMPLED, len(train)), len(train))
    codes, image = codes_of(posterior, train, index, np.arange(min(8, len(index))))
    if factors := factors_of(config.source, train, codes):
        draw_arithmetic(decode, image, codes, factors, run)
