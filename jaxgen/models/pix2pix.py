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

from jaxgen.losses.adversarial import AdversarialLoss, non_saturating
from jaxgen.losses.penalties import Penalty, penalise
from jaxgen.models.player import Loss, Player, check_game, dropout_keys
from jaxgen.networks.calls import apply_network, check_network, output_shape
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["Pix2Pix", "Pix2PixState"]


class Pix2PixState(struct.PyTreeNode):
    """Everything that going on needs."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    """The number of steps that were taken."""
    key: Any
    """The key of the steps to come."""
    generator: Player
    """The generator in training."""
    discriminator: Player
    """The discriminator in training."""


@dataclass(frozen=True)
class Pix2Pix:
    """G maps a source image to a target image; D judges pairs of them."""

    generator: nn.Module
    """(source, train) -> images in [-1, 1]; its dropout is the noise z."""
    discriminator: nn.Module
    """(source and target joined along their channels, train) -> logits of any shape."""
    generator_optimiser: optax.GradientTransformation
    """The optimiser of the generator."""
    discriminator_optimiser: optax.GradientTransformation
    """The optimiser of the discriminator."""
    loss: AdversarialLoss = non_saturating
    """The game; D's loss is halved (section 3.3)."""
    l1_weight: float | Array = 100.0
    """λ of equation 4."""
    penalties: tuple[Penalty, ...] = ()
    """Terms that are added to D's halved loss; their examples are the joined pairs."""

    def __post_init__(self) -> None:
        check_network("generator", self.generator)
        check_network("discriminator", self.discriminator)
        check_game(self.loss, self.penalties)

    def init(self, key: Key[Array, ""], batch: Batch) -> Pix2PixState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where the generator's images are not of the targets' shape.
        """
        key, generator_key, discriminator_key = jax.random.split(key, 3)
        source, target = (jnp.zeros((1, *batch[name].shape[1:])) for name in ("source", "target"))
        generator = Player.start(self.generator, self.generator_optimiser, generator_key, source)
        made = output_shape(self.generator, generator.variables, source)
        if made != target.shape[1:]:
            raise ValueError(f"generator makes {made}, but the data's targets are {target.shape[1:]}")
        pair = jnp.concatenate([source, target], axis=-1)
        discriminator = Player.start(self.discriminator, self.discriminator_optimiser, discriminator_key, pair)
        return Pix2PixState(jnp.int32(0), key, generator, discriminator)

    def step(self, state: Pix2PixState, batch: Batch) -> tuple[Pix2PixState, Metrics]:
        """Takes one step of D and then one of G (section 3.3), both on the same translations."""
        key, noise_key = jax.random.split(state.key)
        source, target = normalise(batch["source"]), normalise(batch["target"])

        def paired(image):
            return jnp.concatenate([source, image], axis=-1)

        def generator_loss(params, statistics, key):
            own_key, fake_key, real_key = dropout_keys(key, 3)
            fake, statistics = apply_network(self.generator, {"params": params, **statistics}, source, key=key)
            # The step of D lies in here, so that both players see the same translations, computed once.
            loss, pairs = self._discriminator_loss(state), (paired(target), paired(jax.lax.stop_gradient(fake)))
            discriminator, metrics, _ = state.discriminator.step(self.discriminator_optimiser, loss, own_key, *pairs)
            judge = discriminator.variables
            judged, _ = apply_network(self.discriminator, judge, paired(fake), key=fake_key)
            on_real, _ = apply_network(self.discriminator, judge, paired(target), key=real_key)
            adversarial, l1 = self.loss.generator(on_real, judged), jnp.abs(fake - target).mean()
            metrics |= {"generator_loss": adversarial, "l1_loss": l1}
            return adversarial + self.l1_weight * l1, (statistics, (discriminator, metrics))

        generator, (discriminator, metrics), _ = state.generator.step(
            self.generator_optimiser, generator_loss, noise_key
        )
        return Pix2PixState(state.step + 1, key, generator, discriminator), metrics

    def _discriminator_loss(self, state: Pix2PixState) -> Loss:
        """Half of the game on real and translated pairs, and the penalties."""

        def loss(params, statistics, key, real, fake):
            fake_key, real_key, critic_key, penalty_key = jax.random.split(key, 4)
            variables = {"params": params, **statistics}
            judged, statistics = apply_network(self.discriminator, variables, fake, key=fake_key)
            on_real, statistics = apply_network(self.discriminator, {**variables, **statistics}, real, key=real_key)
            value = self.loss.discriminator(on_real, judged)
            metrics = {
                "discriminator_loss": value,
                "discriminator_real": self.loss.output(on_real).mean(),
                "discriminator_fake": self.loss.output(judged).mean(),
            }

            def critic(pair):
                return apply_network(self.discriminator, variables, pair, key=critic_key)[0]

            penalty, penalty_metrics = penalise(self.penalties, state.step, critic, penalty_key, real, fake)
            return 0.5 * value + penalty, (statistics, metrics | penalty_metrics)

        return loss

    def translate(self, state: Pix2PixState, key: Key[Array, ""], source: Array) -> Float[Array, "b h w c"]:
        """Returns images in [-1, 1] for sources (uint8, or float in [-1, 1]).

        The generator works as in training: with dropout, drawn by `key`, and with the batch's own statistics where it
        has batch normalisation (section 3.4), so that the translation of an image then depends on the others.
        """
        return apply_network(self.generator, state.generator.variables, normalise(source), key=key)[0]
