"""Generative adversarial network: Goodfellow et al. 2014 (arXiv:1406.2661), conditional as Mirza & Osindero 2014.

    adam = optax.adam(2e-4, b1=0.5)
    gan = GAN(DCGANGenerator(shape=(28, 28, 1)), DCGANDiscriminator(), adam, adam)
    state = gan.init(jax.random.key(0), batch)
    step = jax.jit(gan.step, donate_argnums=0)
    state, metrics = step(state, batch)
    images = gan.sample(state, jax.random.key(1), 64)

The game, its penalties and the augmentation are values, of the library or of one's own:

    GAN(..., loss=losses.hinge, penalties=(losses.Penalty(losses.r1, weight=10.0, every=16),), augmentation=adaptive)
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

from jaxgen.losses.adversarial import AdversarialLoss, non_saturating
from jaxgen.losses.penalties import Penalty, penalise
from jaxgen.models.augmentation import Augmentation
from jaxgen.models.average import moving_average
from jaxgen.models.player import Loss, Player, check_game, dropout_keys
from jaxgen.networks.calls import apply_network, check_network, output_shape
from jaxgen.pixels import normalise
from jaxgen.sharding import along_data, minibatches
from jaxgen.types import Batch, Label, Metrics

__all__ = ["GAN", "GANState", "pack"]


class GANState(struct.PyTreeNode):
    """Everything that going on needs."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    """The number of steps that were taken."""
    key: Any
    """The key of the steps to come."""
    generator: Player
    """The generator in training."""
    discriminator: Player
    """The discriminator in training."""
    average: dict[str, Any] | None
    """The generator's averaged variables; None where there is no average."""
    probability: Any
    """The probability of an adaptive augmentation; None where there is none."""


@dataclass(frozen=True)
class GAN:
    """A generator G and a discriminator D in a game.

    A subclass for a discriminator with several heads overrides `logits`, which picks the judgement out of the
    discriminator's output, and `extra_loss`, which may read the rest; `InfoGAN` is one.
    """

    generator: nn.Module
    """(latent, label, train) -> examples, images in [-1, 1]."""
    discriminator: nn.Module
    """(examples, label, train) -> logits, (b,)."""
    generator_optimiser: optax.GradientTransformation
    """The optimiser of the generator."""
    discriminator_optimiser: optax.GradientTransformation
    """The optimiser of the discriminator."""
    loss: AdversarialLoss = non_saturating
    """The game: a value of `jaxgen.losses`, or one's own."""
    discriminator_steps: int = 1
    """k of Algorithm 1; a batch holds k minibatches, one for each step of the discriminator."""
    latent: int = 100
    """The number of units of the latent z ~ N(0, I)."""
    classes: int = 0
    """The number of classes; labels 0 … classes - 1 go to both players. 0: the model is unconditional."""
    ema: float = 0.0
    """The decay of the `moving_average` of the generator, which is then used for sampling; 0: there is none."""
    penalties: tuple[Penalty, ...] = ()
    """Terms that are added to the discriminator's loss."""
    unroll: int = 0
    """K: G's gradient flows through K further steps of D, which D itself does not take (Metz et al. 2017). With Adam
    give D's optimiser an `eps_root`: the root in it has no slope at 0."""
    packing: int = 1
    """m: D judges m examples together, joined along their last axis (PacGAN, Lin et al. 2018)."""
    generator_batch: int = 1
    """The size of G's minibatch in units of D's. Each real logit then meets this number of fake ones in G's loss."""
    accumulation: int = 1
    """The number of parts in which a minibatch is taken; their gradients are averaged, which needs less memory."""
    augmentation: Augmentation | None = None
    """The augmentation of all images that D sees; None: there is none."""

    def __post_init__(self) -> None:
        check_network("generator", self.generator)
        check_network("discriminator", self.discriminator)
        check_game(self.loss, self.penalties, self.augmentation)
        for name in ("discriminator_steps", "unroll", "packing", "generator_batch", "accumulation"):
            if getattr(self, name) < (least := 0 if name == "unroll" else 1):
                raise ValueError(f"{name}={getattr(self, name)}: at least {least} is needed")
        if self.unroll and self.accumulation > 1:
            raise ValueError(
                f"unroll={self.unroll}: the unrolled D sees the minibatch at once, so accumulation must be 1"
            )
        if self.packing > 1 and self.classes:
            raise ValueError(f"packing={self.packing}: a conditional GAN judges one example at a time")

    @property
    def minibatches(self) -> int:
        """The number of minibatches in the batch of one step, one for each step of the discriminator."""
        return self.discriminator_steps

    def init(self, key: Key[Array, ""], batch: Batch) -> GANState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where the generator's examples are not of the data's shape, and where points are to be augmented.
        """
        key, generator_key, discriminator_key = jax.random.split(key, 3)
        shape = batch["image"].shape[1:]
        label = jnp.zeros(1, jnp.int32) if self.classes else None
        latent = jnp.zeros(jax.eval_shape(lambda key: self.prior(key, 1), key).shape)
        generator = Player.start(self.generator, self.generator_optimiser, generator_key, latent, label)
        made = output_shape(self.generator, generator.variables, latent, label)
        if made != shape:
            raise ValueError(f"generator makes {made}, but the data's images are {shape}")
        if self.augmentation and len(shape) != 3:
            raise ValueError(f"augmentation: images are needed, but the data are of shape {shape}")
        packed = pack(jnp.zeros((self.packing, *shape)), self.packing)
        discriminator = Player.start(self.discriminator, self.discriminator_optimiser, discriminator_key, packed, label)
        average = jax.tree.map(jnp.copy, generator.variables) if self.ema else None
        probability = jnp.float32(0) if self.augmentation and self.augmentation.adaptive else None
        return GANState(jnp.int32(0), key, generator, discriminator, average, probability)

    def step(self, state: GANState, batch: Batch) -> tuple[GANState, Metrics]:
        """Takes k steps of D, each on its own minibatch of data and of noise, then one step of G (Algorithm 1).

        The batch holds k minibatches of m examples. G's step uses fresh noise, and the last minibatch's labels. Metrics
        of D are means over the k steps.
        """
        key, discriminator_key, generator_key = jax.random.split(state.key, 3)
        keys = jax.random.split(discriminator_key, self.discriminator_steps)
        parts = self._minibatches(batch)

        def discriminator_step(player, minibatch):
            key, image, label = minibatch
            latent_key, own_key = jax.random.split(key)
            latent = self.prior(latent_key, len(image))
            return self._discriminator_step(state, player, self._maker(state.generator), own_key, image, latent, label)

        discriminator, metrics = jax.lax.scan(discriminator_step, state.discriminator, (keys, *parts))
        image, label = jax.tree.map(lambda x: x[-1], parts)
        latent_key, own_key = jax.random.split(generator_key)
        latent = self.prior(latent_key, len(image) * self.generator_batch)
        generator, generator_metrics, gradient = state.generator.step(
            self.generator_optimiser,
            self._generator_loss(state, discriminator),
            own_key,
            *(latent, self._labels(label), image, label),
            parts=self.accumulation,
        )
        average, probability = state.average, state.probability
        if self.ema:
            average = moving_average(average, generator.variables, self.ema, state.step)
        metrics = jax.tree.map(jnp.mean, metrics) | generator_metrics
        metrics["generator_gradient_norm"] = optax.tree.norm(gradient)
        if self.augmentation and self.augmentation.adaptive:
            probability = self.augmentation.adapted(probability, metrics["discriminator_sign"], len(batch["image"]))
            metrics["augmentation_probability"] = probability
        return GANState(state.step + 1, key, generator, discriminator, average, probability), metrics

    def _discriminator_step(
        self, state: GANState, player: Player, generate: Callable, key, image, latent, label
    ) -> tuple[Player, Metrics]:
        """One step of D on the examples `image` and on those that `generate` makes; `state` is the one before."""
        loss = self._discriminator_loss(state, generate)
        player, metrics, gradient = player.step(
            self.discriminator_optimiser, loss, key, image, latent, label, parts=self.accumulation
        )
        return player, metrics | {"discriminator_gradient_norm": optax.tree.norm(gradient)}

    def _discriminator_loss(self, state: GANState, generate: Callable) -> Loss:
        """D's loss on data and on `generate(key, latent, label)`."""

        def loss(params, statistics, key, image, latent, label):
            real_key, fake_key, penalty_key = jax.random.split(key, 3)
            made_key, *keys = dropout_keys(key, 4)
            image = self._shown(real_key, image, state)
            fake = self._shown(fake_key, generate(made_key, latent, label), state)
            variables = {"params": params, **statistics}
            real_output, statistics = apply_network(self.discriminator, variables, image, label, key=keys[0])
            variables = {**variables, **statistics}
            fake_output, statistics = apply_network(self.discriminator, variables, fake, label, key=keys[1])
            real, judged = self.logits(real_output), self.logits(fake_output)
            value = self.loss.discriminator(real, judged)
            metrics = {
                "discriminator_loss": value,
                "discriminator_real": self.loss.output(real).mean(),
                "discriminator_fake": self.loss.output(judged).mean(),
                "discriminator_accuracy": (real > judged).mean() + 0.5 * (real == judged).mean(),
            }
            if self.augmentation and self.augmentation.adaptive:
                metrics["discriminator_sign"] = jnp.sign(real).mean()

            def critic(x):
                return self.logits(apply_network(self.discriminator, variables, x, label, key=keys[2])[0])

            extra, extra_metrics = self.extra_loss(latent, fake_output)
            penalty, penalty_metrics = penalise(self.penalties, state.step, critic, penalty_key, image, fake)
            return value + (extra + penalty), (statistics, metrics | extra_metrics | penalty_metrics)

        return loss

    def _generator_loss(self, state: GANState, discriminator: Player) -> Loss:
        """G's loss against D; the logits of data are computed only where the game or the unrolled D reads them."""

        def loss(params, statistics, key, latent, labels, image, label):
            fake_key, real_key, unroll_key = jax.random.split(key, 3)
            keys = dropout_keys(key, 3)
            variables = {"params": params, **statistics}
            fake, statistics = apply_network(self.generator, variables, latent, labels, key=keys[0])
            opponent = discriminator
            if self.unroll:  # on one minibatch of data and noise, as G's own step
                few = fake[: len(image)], latent[: len(image)]
                opponent, _ = jax.lax.scan(
                    lambda d, key: self._discriminator_step(
                        state, d, lambda key, latent, label: few[0], key, image, few[1], label
                    ),
                    discriminator,
                    jax.random.split(unroll_key, self.unroll),
                )
            judge = self.discriminator, opponent.variables
            output, _ = apply_network(*judge, self._shown(fake_key, fake, state), labels, key=keys[1])
            on_data, _ = apply_network(*judge, self._shown(real_key, image, state), label, key=keys[2])
            real, judged = self.logits(on_data), self.logits(output)
            if self.unroll and self.loss.zero_sum:  # the unrolled D depends on G, so its loss on the data does too
                value = -self.loss.discriminator(real, judged)
            else:
                value = self.loss.generator(jnp.concatenate([real] * self.generator_batch), judged)
            extra, metrics = self.extra_loss(latent, output)
            return value + extra, (statistics, metrics | {"generator_loss": value})

        return loss

    def vector_field(self, state: GANState, batch: Batch, key: Key[Array, ""]) -> Callable[[Any], Any]:
        """Returns the simultaneous gradient field v(w) = (-∇_θ L_G, -∇_φ L_D) (Mescheder et al. 2017, section 2.2).

        It is a function of the parameters {"generator": θ, "discriminator": φ}, such as the `params` of the state's
        players, and returns a tree of the same form. All else stays as in the state: the batch statistics, the last
        minibatch of the batch, and the noise, which the key draws. Descending the field with small steps is the
        training of both players by gradient descent at one rate.
        """
        image, label = jax.tree.map(lambda x: x[-1], self._minibatches(batch))
        latent_key, own_key = jax.random.split(jax.random.clone(key))
        latent = self.prior(latent_key, len(image) * self.generator_batch)

        def field(parameters):
            generator = state.generator.replace(params=parameters["generator"])
            discriminator = state.discriminator.replace(params=parameters["discriminator"])
            of_generator, _, _ = generator.gradient(
                self._generator_loss(state, discriminator),
                jax.random.clone(own_key),
                *(latent, self._labels(label), image, label),
                parts=self.accumulation,
            )
            of_discriminator, _, _ = discriminator.gradient(
                self._discriminator_loss(state, self._maker(generator)),
                jax.random.clone(key),
                *(image, latent[: len(image)], label),
                parts=self.accumulation,
            )
            return jax.tree.map(jnp.negative, {"generator": of_generator, "discriminator": of_discriminator})

        return field

    def prior(self, key: Key[Array, ""], n: int, truncation: float | None = None) -> Float[Array, "n z"]:
        """Returns n draws of the latent z.

        With a truncation, units that lie further from 0 are drawn again. ValueError for one that is not positive.
        """
        if truncation is None:
            return along_data(jax.random.normal(key, (n, self.latent)))
        if not truncation > 0:
            raise ValueError(f"truncation={truncation}: a positive number or None is needed")
        return along_data(jax.random.truncated_normal(key, -truncation, truncation, (n, self.latent)))

    def sample(
        self, state: GANState, key: Key[Array, ""], n: int, label: Label = None, *, truncation: float | None = None
    ) -> Float[Array, "n ..."]:
        """Returns n examples, images in [-1, 1], by the averaged generator where there is one.

        A conditional model without labels goes through its classes in turn. With a truncation, units of latents further
        from 0 are drawn again (Brock et al. 2019, section 3.1): less varied samples of higher quality.
        """
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        return self.generate(state, self._latents(key, n, truncation), label)

    def standing_statistics(
        self,
        state: GANState,
        key: Key[Array, ""],
        minibatches: int = 16,
        size: int = 64,
        *,
        truncation: float | None = None,
    ) -> GANState:
        """Returns the state with the generator's batch statistics as means over minibatches of samples.

        They replace the running averages of training (Brock et al. 2019, appendix C), for samples of this truncation;
        the state is to draw from, not to train. The classes are drawn with equal probability. ValueError for a
        generator without batch normalisation.
        """
        variables = state.generator.variables if state.average is None else state.average
        if "batch_stats" not in variables:
            raise ValueError("standing statistics: the generator has no batch normalisation")

        def of_minibatch(key):
            latent_key, label_key = jax.random.split(key)
            (dropout_key,) = dropout_keys(key, 1)
            latent = self._latents(latent_key, size, truncation)
            label = jax.random.randint(label_key, (size,), 0, self.classes) if self.classes else None

            def moved(start):
                averages = jax.tree.map(lambda x: jnp.full_like(x, start), variables["batch_stats"])
                made = apply_network(
                    self.generator, {**variables, "batch_stats": averages}, latent, label, key=dropout_key
                )
                return made[1]

            # A running average s moves to m s + (1 - m) b: two starts tell its momentum m and the minibatch's b.
            low, high = moved(0.0)["batch_stats"], moved(1.0)["batch_stats"]
            return jax.tree.map(lambda low, high: low / (1 - (high - low)), low, high)

        found = jax.lax.map(of_minibatch, jax.random.split(key, minibatches))
        standing = {"batch_stats": jax.tree.map(lambda x: x.mean(0), found)}
        if state.average is not None:
            return state.replace(average=state.average | standing)
        return state.replace(generator=state.generator.replace(statistics=state.generator.statistics | standing))

    def generate(self, state: GANState, latent: Float[Array, "b z"], label: Label = None) -> Float[Array, "b ..."]:
        """Returns G(z) in evaluation mode, by the averaged generator where there is one."""
        variables = state.generator.variables if state.average is None else state.average
        return apply_network(self.generator, variables, latent, label)[0]

    def discriminate(self, state: GANState, image: Array, label: Label = None) -> Float[Array, "n"]:
        """Returns D's logits in evaluation mode, one for each `packing` examples, which it judges together."""
        packed = pack(normalise(image), self.packing)
        return self.logits(apply_network(self.discriminator, state.discriminator.variables, packed, label)[0])

    def logits(self, output: Any) -> Array:
        """Returns the judgement in D's output; a subclass whose D has several heads overrides it."""
        return output

    def extra_loss(self, latent: Float[Array, "b z"], output: Any) -> tuple[Float[Array, ""], Metrics]:
        """Returns what both players minimise besides the game, and its metrics.

        `output` is what D gives for G(latent). A subclass overrides it; here there is nothing more.
        """
        return jnp.float32(0), {}

    def _maker(self, player: Player) -> Callable:
        """(key, latent, label) -> examples of the generator in training mode."""
        return lambda key, latent, label: apply_network(self.generator, player.variables, latent, label, key=key)[0]

    def _latents(self, key: Key[Array, ""], n: int, truncation: float | None) -> Float[Array, "n z"]:
        return self.prior(key, n) if truncation is None else self.prior(key, n, truncation)

    def _labels(self, label: Array | None) -> Array | None:
        """The labels of G's minibatch."""
        return None if label is None else jnp.tile(label, self.generator_batch)

    def _minibatches(self, batch: Batch) -> tuple[Array, Array | None]:
        """Images and labels as (k, m, ...)."""
        label = batch["label"] if self.classes else None
        return minibatches((normalise(batch["image"]), label), self.discriminator_steps)

    def _shown(self, key: Key[Array, ""], x: Array, state: GANState) -> Array:
        """What D sees of the examples x: augmented, and packed."""
        if self.augmentation:
            x = self.augmentation(key, x, 1.0 if state.probability is None else state.probability)
        return pack(x, self.packing)


def pack(x: Float[Array, "b ..."], m: int) -> Float[Array, "p ..."]:
    """Joins each m neighbours along their last axis: (b, ..., c) becomes (b / m, ..., m c).

    ValueError where m does not divide b.
    """
    if len(x) % m:
        raise ValueError(f"minibatch of {len(x)}: packing={m} must divide it")
    if m == 1:
        return x
    x = jnp.moveaxis(x.reshape(len(x) // m, m, *x.shape[1:]), 1, -2)
    return x.reshape(*x.shape[:-2], -1)
