"""Pix2Pix: Isola et al. 2017 (arXiv:1611.07004): a conditional GAN from images to images, with an L1 loss.

model = Pix2Pix(UNetGenerator(), PatchGANDiscriminator(), optax.adam(2e-4, 0.5), optax.adam(2e-4, 0.5))
state = model.init(jax.random.key(0), batch)                    # batch: "source" and "target"
state, metrics = jax.jit(model.step, donate_argnums=0)(state, batch)
images = model.translate(state, jax.random.key(1), batch["source"])
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.models.player import Player, in_training
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["Pix2Pix", "Pix2PixState"]


@struct.dataclass
class Pix2PixState:
    """Everything that going on needs."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    generator: Player
    discriminator: Player


@dataclass(frozen=True)
class Pix2Pix:
    """G maps a source image to a target image; D judges pairs of them.

    generator:     (source, train) -> images in [-1, 1]; its dropout is the noise z
    discriminator: (source and target joined along their channels, train) -> logits of any shape
    loss:          a name in `ADVERSARIAL_LOSSES`; D's is halved (section 3.3)
    l1_weight:     λ of equation 4
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimiser: optax.GradientTransformation
    discriminator_optimiser: optax.GradientTransformation
    loss: str = "non_saturating"
    l1_weight: float | Array = 100.0

    def __post_init__(self):
        if self.loss not in ADVERSARIAL_LOSSES:
            raise ValueError(f"loss {self.loss!r}: choose from {', '.join(ADVERSARIAL_LOSSES)}")

    def init(self, key: Key[Array, ""], batch: Batch) -> Pix2PixState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where the generator's images are not of the targets' shape.
        """
        key, generator_key, discriminator_key = jax.random.split(key, 3)
        source, target = (jnp.zeros((1, *batch[name].shape[1:])) for name in ("source", "target"))
        generator = Player.start(self.generator, self.generator_optimiser, generator_key, source)
        made = jax.eval_shape(self.generator.apply, generator.variables, source).shape
        if made != target.shape:
            raise ValueError(f"generator makes {made[1:]}, but the data's targets are {target.shape[1:]}")
        pair = jnp.concatenate([source, target], axis=-1)
        discriminator = Player.start(self.discriminator, self.discriminator_optimiser, discriminator_key, pair)
        return Pix2PixState(jnp.int32(0), key, generator, discriminator)

    def step(self, state: Pix2PixState, batch: Batch) -> tuple[Pix2PixState, Metrics]:
        """One step of D and then one of G (section 3.3), both on the same translations."""
        key, noise_key = jax.random.split(state.key)
        game = ADVERSARIAL_LOSSES[self.loss]
        source, target = normalise(batch["source"]), normalise(batch["target"])

        def judge(variables, image):
            return in_training(self.discriminator, variables, jnp.concatenate([source, image], axis=-1))

        def translate(params):
            variables = {**state.generator.variables, "params": params}
            return in_training(self.generator, variables, source, key=noise_key)

        fake, pull_back, generator_statistics = jax.vjp(translate, state.generator.params, has_aux=True)

        def discriminator_loss(params):
            variables = {**state.discriminator.variables, "params": params}
            judged, statistics = judge(variables, fake)
            real, statistics = judge({**variables, **statistics}, target)
            value = game.discriminator(real, judged)
            metrics = {
                "discriminator_loss": value,
                "discriminator_real": game.output(real).mean(),
                "discriminator_fake": game.output(judged).mean(),
            }
            return 0.5 * value, (statistics, metrics)

        player = state.discriminator
        (_, (statistics, metrics)), gradient = jax.value_and_grad(discriminator_loss, has_aux=True)(player.params)
        discriminator = player.updated(self.discriminator_optimiser, gradient, statistics)

        def generator_loss(fake):
            adversarial = game.generator(judge(discriminator.variables, fake)[0])
            l1 = jnp.abs(fake - target).mean()
            return adversarial + self.l1_weight * l1, {"generator_loss": adversarial, "l1_loss": l1}

        (_, generator_metrics), pull = jax.value_and_grad(generator_loss, has_aux=True)(fake)
        (gradient,) = pull_back(pull)
        generator = state.generator.updated(self.generator_optimiser, gradient, generator_statistics)
        return Pix2PixState(state.step + 1, key, generator, discriminator), metrics | generator_metrics

    def translate(self, state: Pix2PixState, key: Key[Array, ""], source: Array) -> Float[Array, "b h w c"]:
        """Images in [-1, 1] for sources (uint8, or float in [-1, 1]).

        As in training: with dropout, drawn by `key`, and with the batch's own statistics where the generator has batch
        normalisation (section 3.4), so that what becomes of an image then depends on the others.
        """
        return in_training(self.generator, state.generator.variables, normalise(source), key=key)[0]
