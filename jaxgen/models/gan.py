"""Generative adversarial network: Goodfellow et al. 2014 (arXiv:1406.2661), conditional as Mirza & Osindero 2014.

gan = GAN(DCGANGenerator(shape=(28, 28, 1)), DCGANDiscriminator(), optax.adam(2e-4, b1=0.5), optax.adam(2e-4, b1=0.5))
state = gan.init(jax.random.key(0), batch)
step = jax.jit(gan.step, donate_argnums=0)
state, metrics = step(state, batch)
images = gan.sample(state, jax.random.key(1), 64)
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Int, Key

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.pixels import normalise
from jaxgen.sharding import along_data
from jaxgen.types import Batch, Metrics

__all__ = ["GAN", "GANState", "Player"]

Label = Int[Array, "b"] | None


@struct.dataclass
class Player:
    """A network in training: `statistics` holds its collections besides `params` (batch normalisation's averages)."""

    params: dict
    statistics: dict
    optimiser: optax.OptState

    @property
    def variables(self) -> dict:
        return {"params": self.params, **self.statistics}

    def updated(self, optimiser: optax.GradientTransformation, gradient: dict, statistics: dict) -> "Player":
        """After one optimiser step along `gradient`."""
        updates, opt_state = optimiser.update(gradient, self.optimiser, self.params)
        return Player(optax.apply_updates(self.params, updates), statistics, opt_state)


@struct.dataclass
class GANState:
    """Everything that going on needs; `average` holds the generator's averaged variables, or None."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    generator: Player
    discriminator: Player
    average: dict | None


@dataclass(frozen=True)
class GAN:
    """A generator G and a discriminator D in the game that `loss` names.

    generator:            (latent, label, train) -> image in [-1, 1]
    discriminator:        (image, label, train) -> logit, (b,)
    loss:                 a name in `ADVERSARIAL_LOSSES`
    discriminator_steps:  k of Algorithm 1; a batch holds k minibatches, one for each step
    latent:               units of the latent z ~ N(0, I)
    classes:              labels 0 … classes - 1 go to both players; 0: unconditional
    ema:                  decay of an exponential moving average of the generator, then used for sampling; 0: none
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimiser: optax.GradientTransformation
    discriminator_optimiser: optax.GradientTransformation
    loss: str = "non_saturating"
    discriminator_steps: int = 1
    latent: int = 100
    classes: int = 0
    ema: float = 0.0

    def __post_init__(self):
        if self.loss not in ADVERSARIAL_LOSSES:
            raise ValueError(f"loss {self.loss!r}: choose from {', '.join(ADVERSARIAL_LOSSES)}")
        if self.discriminator_steps < 1:
            raise ValueError(f"discriminator_steps={self.discriminator_steps}: at least 1 is needed")

    @property
    def minibatches(self) -> int:
        """Minibatches in the batch of one step: each of Algorithm 1's k discriminator steps has its own."""
        return self.discriminator_steps

    def init(self, key: Key[Array, ""], batch: Batch) -> GANState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where the generator's images are not of the data's shape.
        """
        key, generator_key, discriminator_key = jax.random.split(key, 3)
        shape = batch["image"].shape[1:]
        label = jnp.zeros(1, jnp.int32) if self.classes else None
        latent = jnp.zeros((1, self.latent))
        generator = self.generator.init(generator_key, latent, label, train=False)
        made = jax.eval_shape(self.generator.apply, generator, latent, label).shape[1:]
        if made != shape:
            raise ValueError(f"generator makes {made}, but the data's images are {shape}")
        discriminator = self.discriminator.init(discriminator_key, jnp.zeros((1, *shape)), label, train=False)

        def player(variables, optimiser):
            params = variables.pop("params")
            return Player(params, variables, optimiser.init(params))

        average = jax.tree.map(jnp.copy, generator) if self.ema else None
        return GANState(
            jnp.int32(0),
            key,
            player(dict(generator), self.generator_optimiser),
            player(dict(discriminator), self.discriminator_optimiser),
            average,
        )

    def step(self, state: GANState, batch: Batch) -> tuple[GANState, Metrics]:
        """Algorithm 1: k steps of D, each on its own minibatch of data and of noise, then one step of G.

        The batch holds k minibatches of m examples; G's step uses m fresh noises (and the last minibatch's labels).
        Metrics of D are means over the k steps.
        """
        key, discriminator_key, generator_key = jax.random.split(state.key, 3)
        keys = jax.random.split(discriminator_key, self.discriminator_steps)
        minibatches = self._minibatches(batch)

        def discriminator_step(player, minibatch):
            key, image, label = minibatch
            return self._discriminator_step(player, state.generator, key, image, label)

        discriminator, metrics = jax.lax.scan(discriminator_step, state.discriminator, (keys, *minibatches))
        image, label = jax.tree.map(lambda x: x[-1], minibatches)
        generator, generator_metrics = self._generator_step(
            state.generator, discriminator, generator_key, len(image), label
        )
        average = state.average
        if self.ema:
            average = optax.incremental_update(generator.variables, average, 1 - self.ema)
        metrics = jax.tree.map(jnp.mean, metrics) | generator_metrics
        return GANState(state.step + 1, key, generator, discriminator, average), metrics

    def _discriminator_step(self, player: Player, generator: Player, key, image, label):
        fake, _ = self._generate(generator.variables, key, len(image), label)

        def loss(params):
            variables = {**player.variables, "params": params}
            real_logits, statistics = self._judge(variables, image, label)
            fake_logits, statistics = self._judge({**variables, **statistics}, fake, label)
            value = ADVERSARIAL_LOSSES[self.loss].discriminator(real_logits, fake_logits)
            return value, (statistics, real_logits, fake_logits)

        (value, (statistics, real, fake)), gradient = jax.value_and_grad(loss, has_aux=True)(player.params)
        metrics = {
            "discriminator_loss": value,
            "discriminator_real": jax.nn.sigmoid(real).mean(),
            "discriminator_fake": jax.nn.sigmoid(fake).mean(),
            "discriminator_gradient_norm": optax.tree.norm(gradient),
        }
        return player.updated(self.discriminator_optimiser, gradient, statistics), metrics

    def _generator_step(self, player: Player, discriminator: Player, key, n: int, label):
        def loss(params):
            fake, statistics = self._generate({**player.variables, "params": params}, key, n, label)
            logits, _ = self._judge(discriminator.variables, fake, label)
            return ADVERSARIAL_LOSSES[self.loss].generator(logits), statistics

        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(player.params)
        metrics = {"generator_loss": value, "generator_gradient_norm": optax.tree.norm(gradient)}
        return player.updated(self.generator_optimiser, gradient, statistics), metrics

    def sample(self, state: GANState, key: Key[Array, ""], n: int, label: Label = None) -> Float[Array, "n ..."]:
        """n images in [-1, 1], by the averaged generator where there is one. A conditional model without labels goes
        through its classes in turn."""
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        return self.generate(state, jax.random.normal(key, (n, self.latent)), label)

    def generate(self, state: GANState, latent: Float[Array, "b z"], label: Label = None) -> Float[Array, "b ..."]:
        """G(z) in evaluation mode."""
        variables = state.generator.variables if state.average is None else state.average
        return self.generator.apply(variables, latent, label, train=False)

    def discriminate(self, state: GANState, image: Array, label: Label = None) -> Float[Array, "b"]:
        """D's logits in evaluation mode."""
        variables = state.discriminator.variables
        return self.discriminator.apply(variables, normalise(image), label, train=False)

    def _minibatches(self, batch: Batch) -> tuple[Array, Array | None]:
        """Images and labels as (k, m, ...). Minibatch i takes every k-th example, so that a batch sharded along its
        leading axis stays where it is."""
        k = self.discriminator_steps

        def split(x):
            if len(x) % k:
                raise ValueError(f"batch of {len(x)}: discriminator_steps={k} must divide it")
            return jnp.swapaxes(x.reshape(len(x) // k, k, *x.shape[1:]), 0, 1)

        return split(normalise(batch["image"])), split(batch["label"]) if self.classes else None

    def _generate(self, variables: dict, key, n: int, label: Label) -> tuple[Array, dict]:
        latent = along_data(jax.random.normal(key, (n, self.latent)))
        return self._apply(self.generator, variables, latent, label)

    def _judge(self, variables: dict, image: Array, label: Label) -> tuple[Array, dict]:
        return self._apply(self.discriminator, variables, image, label)

    @staticmethod
    def _apply(network: nn.Module, variables: dict, x: Array, label: Label) -> tuple[Array, dict]:
        """The output in training mode, and the statistics after it."""
        mutable = [name for name in variables if name != "params"]
        output, statistics = network.apply(variables, x, label, train=True, mutable=mutable)
        return output, dict(statistics)
