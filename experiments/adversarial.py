"""What the GAN experiments share: config, networks, what they evaluate and draw."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.metrics import accuracy, train_classifier
from jaxgen.models import GAN
from jaxgen.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from jaxgen.report import image_grid, save_image
from jaxgen.training import fit
from jaxgen.training.experiment import Config

SAMPLES = 10_000  # that the classifier reads
BATCH = 500


@dataclass(frozen=True)
class GANConfig(Config):
    network: Literal["mlp", "dcgan"] = "mlp"
    """Dense or convolutional players."""
    latent: int = 100
    """Latent units."""
    loss: Literal["minimax", "non_saturating"] = "non_saturating"
    """The generator's objective: log(1 - D(G(z))) of Algorithm 1, or -log D(G(z))."""
    discriminator_steps: int = 1
    """Steps of the discriminator for each of the generator: k of Algorithm 1."""
    generator_learning_rate: float = 2e-4
    """Of Adam."""
    discriminator_learning_rate: float = 2e-4
    """Of Adam."""
    b1: float = 0.5
    """Adam's decay of the first moment."""
    ema: float = 0.0
    """Decay of the averaged generator that is used for sampling; 0: none."""
    conditional: bool = False
    """Give the label to both players."""

    @property
    def convolutional(self) -> bool:
        return self.network == "dcgan"


def build(config: GANConfig, data) -> GAN:
    shape = data.example["image"].shape
    classes = data.classes if config.conditional else 0
    if config.conditional and not classes:
        raise ValueError(f"{config.source} has no labels to condition on")
    common = {"classes": classes, "dtype": config.dtype}
    if config.network == "dcgan":
        players = DCGANGenerator(shape, **common), DCGANDiscriminator(**common)
    else:
        players = MLPGenerator(shape, **common), MLPDiscriminator(**common)
    return GAN(
        *players,
        optax.adam(config.generator_learning_rate, config.b1),
        optax.adam(config.discriminator_learning_rate, config.b1),
        config.loss,
        config.discriminator_steps,
        config.latent,
        classes,
        config.ema,
    )


def class_evaluator(config: GANConfig, model: GAN, train, test) -> Callable:
    """What a classifier trained on the same data reads in 10,000 samples: of a conditional model the share read as the
    class asked for; else how many classes appear, and the entropy of their histogram (log of their number at best).

    Unlabelled data have no such figures.
    """
    if not train.classes:
        return lambda state: {}
    classify = train_classifier(train, fit)
    on_test = accuracy(classify, test)

    @jax.jit
    def read(state, key):
        label = {"label": jnp.arange(BATCH, dtype=jnp.int32) % model.classes} if model.classes else {}
        logits = classify(model.sample(state, key, BATCH, **label))
        return logits.argmax(-1)

    def evaluate(state) -> dict[str, float]:
        keys = jax.random.split(jax.random.key(0), SAMPLES // BATCH)
        found = np.concatenate([np.asarray(read(state, key)) for key in keys])
        share = np.bincount(found, minlength=train.classes) / len(found)
        figures = {
            "classes_found": float((share > 0.1 / train.classes).sum()),
            "class_entropy": float(-(share * np.log(np.maximum(share, 1e-12))).sum()),
        }
        if model.classes:
            asked = np.tile(np.arange(BATCH) % model.classes, len(keys))
            figures = {"label_accuracy": float((found == asked).mean())}
        return {**figures, "classifier_accuracy_on_test_images": on_test}

    return evaluate


def draw_latent_space(config: GANConfig, model: GAN, state, test, run: Path) -> None:
    """Walks between latents, of one class a row for a conditional model."""
    rows, columns = model.classes or 8, 10
    ends = jax.random.normal(jax.random.key(1), (2, rows, 1, model.latent))
    angle = jnp.linspace(0, jnp.pi / 2, columns)[None, :, None]
    latent = jnp.cos(angle) * ends[0] + jnp.sin(angle) * ends[1]  # keeps the norm that the prior has
    label = jnp.repeat(jnp.arange(rows, dtype=jnp.int32), columns) if model.classes else None
    images = jax.jit(model.generate)(state, latent.reshape(-1, model.latent), label)
    save_image(run / "interpolations.png", image_grid(images, columns))
