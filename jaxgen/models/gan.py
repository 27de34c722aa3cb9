"""Generative adversarial network: Goodfellow et al. 2014 (arXiv:1406.2661), conditional as Mirza & Osindero 2014.

gan = GAN(DCGANGenerator(shape=(28, 28, 1)), DCGANDiscriminator(), optax.adam(2e-4, b1=0.5), optax.adam(2e-4, b1=0.5))
state = gan.init(jax.random.key(0), batch)
step = jax.jit(gan.step, donate_argnums=0)
state, metrics = step(state, batch)
images = gan.sample(state, jax.random.key(1), 64)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.augmentation import AUGMENTATIONS, adapted, augment
from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.losses.penalties import PENALTIES
from jaxgen.models.average import moving_average
from jaxgen.models.player import Player, in_training
from jaxgen.pixels import normalise
from jaxgen.sharding import along_data, minibatches
from jaxgen.types import Batch, Label, Metrics

__all__ = ["GAN", "GANState"]


@struct.dataclass
class GANState:
    """Everything that going on needs; `average` holds the generator's averaged variables, `probability` that of an
    adaptive augmentation, each None where there is none."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    generator: Player
    discriminator: Player
    average: dict | None
    probability: Any


@dataclass(frozen=True)
class GAN:
    """A generator G and a discriminator D in the game that `loss` names.

    generator:            (latent, label, train) -> examples, images in [-1, 1]
    discriminator:        (examples, label, train) -> logits, (b,)
    loss:                 a name in `ADVERSARIAL_LOSSES`
    discriminator_steps:  k of Algorithm 1; a batch holds k minibatches, one for each step
    latent:               units of the latent z ~ N(0, I)
    classes:              labels 0 … classes - 1 go to both players; 0: unconditional
    ema:                  decay of the `moving_average` of the generator, then used for sampling; 0: none
    penalty:              a name in `PENALTIES`, added `penalty_weight` times to D's loss; None: none
    unroll:               K: G's gradient flows through K further steps of D, which D itself does not take (Metz et al.
                          2017). With Adam give D's optimiser an `eps_root`: the root in it has no slope at 0
    packing:              m: D judges m examples together, joined along their last axis (PacGAN, Lin et al. 2018)
    generator_batch:      the minibatch of G is so many times that of D
    accumulation:         a minibatch is taken in so many parts, whose gradients are averaged: less memory
    augmentation:         a name in `AUGMENTATIONS`, of all that D sees, `adaptive` as much as D overfits; None: none
    truncation:           the latents of `sample` are drawn again until none of their units is further from 0 (Brock et
                          al. 2019, section 3.1): less varied samples of higher quality; None: as in training
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
    penalty: str | None = None
    penalty_weight: float | Array = 10.0
    unroll: int = 0
    packing: int = 1
    generator_batch: int = 1
    accumulation: int = 1
    augmentation: str | None = None
    truncation: float | None = None

    def __post_init__(self):
        if self.loss not in ADVERSARIAL_LOSSES:
            raise ValueError(f"loss {self.loss!r}: choose from {', '.join(ADVERSARIAL_LOSSES)}")
        if self.penalty is not None and self.penalty not in PENALTIES:
            raise ValueError(f"penalty {self.penalty!r}: choose from {', '.join(PENALTIES)}")
        if self.augmentation is not None and self.augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation {self.augmentation!r}: choose from {', '.join(AUGMENTATIONS)}")
        for name in ("discriminator_steps", "unroll", "packing", "generator_batch", "accumulation"):
            if getattr(self, name) < (least := 0 if name == "unroll" else 1):
                raise ValueError(f"{name}={getattr(self, name)}: at least {least} is needed")
        if self.unroll and self.accumulation > 1:
            raise ValueError(
                f"unroll={self.unroll}: the unrolled D sees the minibatch at once, so accumulation must be 1"
            )
        if self.truncation is not None and not self.truncation > 0:
            raise ValueError(f"truncation={self.truncation}: a positive number or None is needed")
        if self.packing > 1 and self.classes:
            raise ValueError(f"packing={self.packing}: a conditional GAN judges one example at a time")

    @property
    def minibatches(self) -> int:
        """Minibatches in the batch of one step: each of Algorithm 1's k discriminator steps has its own."""
        return self.discriminator_steps

    def init(self, key: Key[Array, ""], batch: Batch) -> GANState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where the generator's examples are not of the data's shape.
        """
        key, generator_key, discriminator_key = jax.random.split(key, 3)
        shape = batch["image"].shape[1:]
        label = jnp.zeros(1, jnp.int32) if self.classes else None
        latent = jnp.zeros(jax.eval_shape(lambda key: self.prior(key, 1), key).shape)
        generator = Player.start(self.generator, self.generator_optimiser, generator_key, latent, label)
        made = jax.eval_shape(self.generator.apply, generator.variables, latent, label).shape[1:]
        if made != shape:
            raise ValueError(f"generator makes {made}, but the data's images are {shape}")
        if self.augmentation and len(shape) != 3:
            raise ValueError(f"augmentation {self.augmentation}: of images, but the data are of shape {shape}")
        packed = self._pack(jnp.zeros((self.packing, *shape)))
        discriminator = Player.start(self.discriminator, self.discriminator_optimiser, discriminator_key, packed, label)
        average = jax.tree.map(jnp.copy, generator.variables) if self.ema else None
        probability = jnp.float32(0) if self.augmentation == "adaptive" else None
        return GANState(jnp.int32(0), key, generator, discriminator, average, probability)

    def step(self, state: GANState, batch: Batch) -> tuple[GANState, Metrics]:
        """Algorithm 1: k steps of D, each on its own minibatch of data and of noise, then one step of G.

        The batch holds k minibatches of m examples; G's step uses m fresh noises (and the last minibatch's labels).
        Metrics of D are means over the k steps.
        """
        key, discriminator_key, generator_key = jax.random.split(state.key, 3)
        keys = jax.random.split(discriminator_key, self.discriminator_steps)
        parts = self._minibatches(batch)

        def discriminator_step(player, minibatch):
            key, image, label = minibatch
            latent_key, own_key = jax.random.split(key)
            latent = self.prior(latent_key, len(image))
            return self._discriminator_step(player, own_key, image, latent, label, generate, state.probability)

        def generate(latent, label):
            return in_training(self.generator, state.generator.variables, latent, label)[0]

        discriminator, metrics = jax.lax.scan(discriminator_step, state.discriminator, (keys, *parts))
        image, label = jax.tree.map(lambda x: x[-1], parts)
        generator, generator_metrics = self._generator_step(
            state.generator, discriminator, generator_key, image, label, state.probability
        )
        average, probability = state.average, state.probability
        if self.ema:
            average = moving_average(average, generator.variables, self.ema, state.step)
        metrics = jax.tree.map(jnp.mean, metrics) | generator_metrics
        if self.augmentation == "adaptive":
            probability = adapted(probability, metrics["discriminator_sign"], len(batch["image"]))
            metrics["augmentation_probability"] = probability
        return GANState(state.step + 1, key, generator, discriminator, average, probability), metrics

    def _discriminator_step(
        self, player: Player, key, image, latent, label, generate: Callable, probability
    ) -> tuple[Player, Metrics]:
        """One step of D on the examples `image` and on `generate(latent, label)`."""
        game = ADVERSARIAL_LOSSES[self.loss]

        def loss(params, statistics, key, image, latent, label):
            real_key, fake_key, penalty_key = jax.random.split(key, 3)
            image = self._shown(real_key, image, probability)
            fake = self._shown(fake_key, generate(latent, label), probability)
            variables = {"params": params, **statistics}
            real_output, statistics = in_training(self.discriminator, variables, image, label)
            variables = {**variables, **statistics}
            fake_output, statistics = in_training(self.discriminator, variables, fake, label)
            real, judged = self._logits(real_output), self._logits(fake_output)
            value = game.discriminator(real, judged)
            metrics = {
                "discriminator_loss": value,
                "discriminator_real": game.output(real).mean(),
                "discriminator_fake": game.output(judged).mean(),
                "discriminator_accuracy": (real > judged).mean() + 0.5 * (real == judged).mean(),
            }
            if self.augmentation == "adaptive":
                metrics["discriminator_sign"] = jnp.sign(real).mean()
            extra, extra_metrics = self._extra_loss(latent, fake_output)
            if self.penalty:

                def critic(x):
                    return self._logits(in_training(self.discriminator, variables, x, label)[0])

                penalty = PENALTIES[self.penalty](critic, penalty_key, image, fake)
                extra, extra_metrics = extra + self.penalty_weight * penalty, {**extra_metrics, "penalty": penalty}
            return value + extra, (statistics, metrics | extra_metrics)

        gradient, statistics, metrics = player.accumulated(loss, self.accumulation, key, image, latent, label)
        metrics["discriminator_gradient_norm"] = optax.tree.norm(gradient)
        return player.updated(self.discriminator_optimiser, gradient, statistics), metrics

    def _generator_step(
        self, player: Player, discriminator: Player, key, image, label, probability
    ) -> tuple[Player, Metrics]:
        """One step of G; the examples `image` are seen only by the unrolled D."""
        game = ADVERSARIAL_LOSSES[self.loss]
        latent_key, own_key = jax.random.split(key)
        latent = self.prior(latent_key, len(image) * self.generator_batch)
        labels = None if label is None else jnp.tile(label, self.generator_batch)

        def loss(params, statistics, key, latent, labels):
            shown_key, image_key, unroll_key = jax.random.split(key, 3)
            fake, statistics = in_training(self.generator, {"params": params, **statistics}, latent, labels)
            opponent = discriminator
            if self.unroll:  # on one minibatch of data and noise, as G's own step
                few = fake[: len(image)], latent[: len(image)]
                opponent, _ = jax.lax.scan(
                    lambda d, key: self._discriminator_step(
                        d, key, image, few[1], label, lambda latent, label: few[0], probability
                    ),
                    discriminator,
                    jax.random.split(unroll_key, self.unroll),
                )
            shown = self._shown(shown_key, fake, probability)
            output, _ = in_training(self.discriminator, opponent.variables, shown, labels)
            value = game.generator(self._logits(output))
            extra, metrics = self._extra_loss(latent, output)
            if self.unroll and game.zero_sum:  # the unrolled D depends on G, so its loss on the data does too
                real, _ = in_training(
                    self.discriminator, opponent.variables, self._shown(image_key, image, probability), label
                )
                value = -game.discriminator(self._logits(real), self._logits(output))
            return value + extra, (statistics, metrics | {"generator_loss": value})

        gradient, statistics, metrics = player.accumulated(loss, self.accumulation, own_key, latent, labels)
        metrics["generator_gradient_norm"] = optax.tree.norm(gradient)
        return player.updated(self.generator_optimiser, gradient, statistics), metrics

    def prior(self, key: Key[Array, ""], n: int, truncation: float | None = None) -> Float[Array, "n z"]:
        """n draws of the latent z, with `truncation` of units no further from 0."""
        if truncation is None:
            return along_data(jax.random.normal(key, (n, self.latent)))
        return along_data(jax.random.truncated_normal(key, -truncation, truncation, (n, self.latent)))

    def sample(self, state: GANState, key: Key[Array, ""], n: int, label: Label = None) -> Float[Array, "n ..."]:
        """n examples, images in [-1, 1], by the averaged generator where there is one. A conditional model without
        labels goes through its classes in turn."""
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        truncated = {} if self.truncation is None else {"truncation": self.truncation}
        return self.generate(state, self.prior(key, n, **truncated), label)

    def standing_statistics(
        self, state: GANState, key: Key[Array, ""], minibatches: int = 16, size: int = 64
    ) -> GANState:
        """The state with the generator's batch statistics as means over minibatches of samples, in place of running
        averages of training (Brock et al. 2019, appendix C); to draw samples from, not to train.

        The samples are as truncated as those of `sample`, of classes drawn with equal probability. ValueError for a
        generator without batch normalisation.
        """
        variables = state.generator.variables if state.average is None else state.average
        if "batch_stats" not in variables:
            raise ValueError("standing statistics: the generator has no batch normalisation")
        truncated = {} if self.truncation is None else {"truncation": self.truncation}

        def of_minibatch(key):
            latent_key, label_key = jax.random.split(key)
            latent = self.prior(latent_key, size, **truncated)
            label = jax.random.randint(label_key, (size,), 0, self.classes) if self.classes else None

            def moved(start):
                averages = jax.tree.map(lambda x: jnp.full_like(x, start), variables["batch_stats"])
                return in_training(self.generator, {**variables, "batch_stats": averages}, latent, label)[1]

            # A running average s moves to m s + (1 - m) b: two starts tell its momentum m and the minibatch's b.
            low, high = moved(0.0)["batch_stats"], moved(1.0)["batch_stats"]
            return jax.tree.map(lambda low, high: low / (1 - (high - low)), low, high)

        found = jax.lax.map(of_minibatch, jax.random.split(key, minibatches))
        standing = {"batch_stats": jax.tree.map(lambda x: x.mean(0), found)}
        if state.average is not None:
            return state.replace(average=state.average | standing)
        return state.replace(generator=state.generator.replace(statistics=state.generator.statistics | standing))

    def generate(self, state: GANState, latent: Float[Array, "b z"], label: Label = None) -> Float[Array, "b ..."]:
        """G(z) in evaluation mode."""
        variables = state.generator.variables if state.average is None else state.average
        return self.generator.apply(variables, latent, label, train=False)

    def discriminate(self, state: GANState, image: Array, label: Label = None) -> Float[Array, "n"]:
        """D's logits in evaluation mode, one for each of the `packing` examples that it judges together."""
        variables = state.discriminator.variables
        output = self.discriminator.apply(variables, self._pack(normalise(image)), label, train=False)
        return self._logits(output)

    def _minibatches(self, batch: Batch) -> tuple[Array, Array | None]:
        """Images and labels as (k, m, ...)."""
        label = batch["label"] if self.classes else None
        return minibatches((normalise(batch["image"]), label), self.discriminator_steps)

    def _shown(self, key: Key[Array, ""], x: Array, probability) -> Array:
        """What D sees of the examples x: augmented, and packed."""
        if self.augmentation:
            x = augment(key, x, AUGMENTATIONS[self.augmentation], 1.0 if probability is None else probability)
        return self._pack(x)

    def _pack(self, x: Array) -> Array:
        """(b, ..., c) to (b / m, ..., m c): each m neighbours side by side."""
        m = self.packing
        if len(x) % m:
            raise ValueError(f"minibatch of {len(x)}: packing={m} must divide it")
        if m == 1:
            return x
        x = jnp.moveaxis(x.reshape(len(x) // m, m, *x.shape[1:]), 1, -2)
        return x.reshape(*x.shape[:-2], -1)

    def _logits(self, output: Any) -> Array:
        """The judgement in D's output."""
        return output

    def _extra_loss(self, latent: Array, output: Any) -> tuple[Float[Array, ""], Metrics]:
        """What both players minimise besides the game, and its metrics; `output` is D's, for G(latent)."""
        return jnp.float32(0), {}
