"""StarGAN: Choi et al. 2018 (arXiv:1711.09020): one generator for translations among many domains.

adam = optax.adam(1e-4, 0.5)
model = StarGAN(StarGANGenerator(), StarGANDiscriminator(5), adam, adam, groups=(3, 1, 1))
state = model.init(jax.random.key(0), batch)                    # batch: "image" and "attributes", (b, 5) of 0 and 1
state, metrics = jax.jit(model.step, donate_argnums=0)(state, batch)
images = model.translate(state, batch["image"], attributes)
rows = model.translate_to_all(state, batch["image"])            # (b, 5, h, w, c)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Int, Key

from jaxgen.losses.adversarial import AdversarialLoss, wasserstein
from jaxgen.losses.penalties import Penalty, gradient_penalty, penalise
from jaxgen.models.player import Loss, Player, check_game, dropout_keys
from jaxgen.networks.calls import apply_network, check_network, output_shape
from jaxgen.pixels import normalise
from jaxgen.sharding import minibatches
from jaxgen.types import Batch, Metrics

__all__ = ["StarGAN", "StarGANState", "exchanged"]

Attributes = Int[Array, "b k"]


class StarGANState(struct.PyTreeNode):
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
class StarGAN:
    """G translates an image to target attributes; D is a critic that also reads the attributes of an image.

    A batch has `image`, `attributes` (b, k), 0 or 1, and if it mixes several data sets with attributes of their own
    `set` (b,): the attributes of the other sets are unknown, and 0.
    """

    generator: nn.Module
    """(image, attributes, train) -> images in [-1, 1]. With several data sets the attributes are followed by the mask
    vector, the one-hot number of the set (section 3.3)."""
    discriminator: nn.Module
    """(image, train) -> critic values of any shape, and logits (b, k) of the attributes."""
    generator_optimiser: optax.GradientTransformation
    """The optimiser of the generator."""
    discriminator_optimiser: optax.GradientTransformation
    """The optimiser of the discriminator."""
    groups: Sequence[int]
    """The sizes of the groups of attributes, in the order of the attributes: of a group of several exactly one is 1, a
    group of one says yes or no."""
    sets: Sequence[int] = ()
    """The data set that labels each group; (): there is one data set."""
    discriminator_steps: int = 5
    """The number of steps of the discriminator for each of the generator; a batch holds a minibatch for each."""
    classification_weight: float | Array = 1.0
    """λ_cls of equations 5 and 6."""
    reconstruction_weight: float | Array = 10.0
    """λ_rec of equation 6."""
    penalties: tuple[Penalty, ...] = (Penalty(gradient_penalty, 10.0),)
    """Terms that are added to D's loss; by default that of equation 8, with λ_gp = 10."""
    loss: AdversarialLoss = wasserstein
    """The game of the critic values."""

    def __post_init__(self) -> None:
        check_network("generator", self.generator)
        check_network("discriminator", self.discriminator)
        check_game(self.loss, self.penalties)
        if not self.groups or min(self.groups) < 1:
            raise ValueError(f"groups={self.groups}: at least one, of at least one attribute each")
        if self.sets and (len(self.sets) != len(self.groups) or {*self.sets} != {*range(max(self.sets) + 1)}):
            raise ValueError(
                f"sets={self.sets}: the number of a data set, from 0, for each of {len(self.groups)} groups"
            )
        if self.discriminator_steps < 1:
            raise ValueError(f"discriminator_steps={self.discriminator_steps}: at least 1 is needed")

    @property
    def minibatches(self) -> int:
        """The number of minibatches in the batch of one step: each discriminator step has its own."""
        return self.discriminator_steps

    def init(self, key: Key[Array, ""], batch: Batch) -> StarGANState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where the attributes are not those of `groups`, and the generator's images not of the data's shape.
        """
        key, generator_key, discriminator_key = jax.random.split(key, 3)
        k = sum(self.groups)
        if batch["attributes"].shape[1:] != (k,):
            raise ValueError(
                f"groups={self.groups} are {k} attributes, but the data's are {batch['attributes'].shape[1:]}"
            )
        image = jnp.zeros((1, *batch["image"].shape[1:]))
        target = self._target(jnp.zeros((1, k), jnp.int32), jnp.zeros(1, jnp.int32))
        generator = Player.start(self.generator, self.generator_optimiser, generator_key, image, target)
        made = output_shape(self.generator, generator.variables, image, target)
        if made != image.shape[1:]:
            raise ValueError(f"generator makes {made}, but the data's images are {image.shape[1:]}")
        discriminator = Player.start(self.discriminator, self.discriminator_optimiser, discriminator_key, image)
        return StarGANState(jnp.int32(0), key, generator, discriminator)

    def step(self, state: StarGANState, batch: Batch) -> tuple[StarGANState, Metrics]:
        """Takes the steps of D, each on a minibatch of its own, then one of G on the last of them.

        Targets are the attributes of other images of the minibatch, and of the same data set. Metrics of D are means
        over its steps.
        """
        key, discriminator_key, generator_key = jax.random.split(state.key, 3)
        keys = jax.random.split(discriminator_key, self.discriminator_steps)
        parts = self._minibatches(batch)

        def discriminator_step(player, inputs):
            loss = self._discriminator_loss(state)
            player, metrics, _ = player.step(self.discriminator_optimiser, loss, *inputs)
            return player, metrics

        discriminator, metrics = jax.lax.scan(discriminator_step, state.discriminator, (keys, *parts))
        last = [x[-1] for x in parts]
        loss = self._generator_loss(discriminator)
        generator, generator_metrics, _ = state.generator.step(self.generator_optimiser, loss, generator_key, *last)
        metrics = jax.tree.map(jnp.mean, metrics) | generator_metrics
        return StarGANState(state.step + 1, key, generator, discriminator), metrics

    def _discriminator_loss(self, state: StarGANState) -> Loss:
        """Equation 5 and the penalties; the slope of an image is that of the sum of its values, as in the authors'
        code."""

        def loss(params, statistics, key, image, attributes, which):
            target_key, penalty_key = jax.random.split(key)
            made_key, real_key, fake_key, critic_key = dropout_keys(key, 4)
            target = self._target(exchanged(target_key, attributes, which), which)
            fake, _ = apply_network(self.generator, state.generator.variables, image, target, key=made_key)

            def judge(x, key):
                return apply_network(self.discriminator, {"params": params, **before}, x, key=key)

            before = statistics
            (real, logits), statistics = judge(image, real_key)
            (judged, _), _ = judge(fake, fake_key)
            value = self.loss.discriminator(real, judged)
            classification = self.classification(logits, attributes, which)
            penalty, penalty_metrics = penalise(
                self.penalties, state.step, lambda x: judge(x, critic_key)[0][0], penalty_key, image, fake
            )
            total = value + self.classification_weight * classification + penalty
            metrics = {
                "discriminator_loss": value,
                "discriminator_classification": classification,
                "discriminator_real": self.loss.output(real).mean(),
                "discriminator_fake": self.loss.output(judged).mean(),
            }
            return total, (statistics, metrics | penalty_metrics)

        return loss

    def _generator_loss(self, discriminator: Player) -> Loss:
        """Equation 6."""

        def loss(params, statistics, key, image, attributes, which):
            made_key, judged_key, real_key, again_key = dropout_keys(key, 4)
            wanted = exchanged(key, attributes, which)
            variables, judge = {"params": params, **statistics}, discriminator.variables
            target = self._target(wanted, which)
            fake, statistics = apply_network(self.generator, variables, image, target, key=made_key)
            (values, logits), _ = apply_network(self.discriminator, judge, fake, key=judged_key)
            (on_real, _), _ = apply_network(self.discriminator, judge, image, key=real_key)
            variables, target = {**variables, **statistics}, self._target(attributes, which)
            again, statistics = apply_network(self.generator, variables, fake, target, key=again_key)
            metrics = {
                "generator_loss": self.loss.generator(on_real, values),
                "generator_classification": self.classification(logits, wanted, which),
                "reconstruction": jnp.abs(again - image).mean(),
            }
            adversarial, classification, reconstruction = metrics.values()
            weighed = self.classification_weight * classification + self.reconstruction_weight * reconstruction
            return adversarial + weighed, (statistics, metrics)

        return loss

    def translate(
        self, state: StarGANState, image: Array, attributes: Attributes, which: Int[Array, "..."] | int = 0
    ) -> Float[Array, "b h w c"]:
        """Returns images (uint8, or float in [-1, 1]) with the target attributes, in [-1, 1].

        With several data sets, `which` is the one whose attributes these are, counted from 0.
        """
        target = self._target(attributes, jnp.broadcast_to(which, len(image)))
        return apply_network(self.generator, state.generator.variables, normalise(image), target)[0]

    def translate_to_all(
        self, state: StarGANState, image: Array, attributes: Attributes | None = None
    ) -> Float[Array, "b k h w c"]:
        """Returns each image translated to each domain.

        A domain is an attribute; the others of its data set stay, but for those of its group (`with_attribute`). By
        default the images' attributes are those that D reads.
        """
        if attributes is None:
            attributes = self.classify(state, image)
        made = [
            self.translate(state, image, *self.with_attribute(attributes, column)) for column in range(sum(self.groups))
        ]
        return jnp.stack(made, axis=1)

    def classify(self, state: StarGANState, image: Array) -> Attributes:
        """Returns the attributes of all data sets as D reads them: in each group the most probable."""
        (_, logits), _ = apply_network(self.discriminator, state.discriminator.variables, normalise(image))
        found = []
        for _, columns in self._columns():
            x = logits[:, columns]
            one = jax.nn.one_hot(x.argmax(-1), x.shape[1], dtype=jnp.int32)
            found.append(one if x.shape[1] > 1 else (x > 0).astype(jnp.int32))
        return jnp.concatenate(found, axis=1)

    def with_attribute(self, attributes: Attributes, column: int) -> tuple[Attributes, int]:
        """Returns the target for the domain `column`, and its data set.

        The attribute is 1 in place of the others of its group, and a group of one is reversed. All else is as in
        `attributes`, but 0 where another set labels it.
        """
        own = next(which for which, columns in self._columns() if columns.start <= column < columns.stop)
        parts = []
        for which, columns in self._columns():
            part = attributes[:, columns]
            if columns.start <= column < columns.stop:
                chosen = jax.nn.one_hot(column - columns.start, part.shape[1], dtype=part.dtype)
                part = jnp.broadcast_to(chosen, part.shape) if part.shape[1] > 1 else 1 - part
            parts.append(part if which == own else jnp.zeros_like(part))
        return jnp.concatenate(parts, axis=1), own

    def _columns(self) -> list[tuple[int, slice]]:
        """The data set and the columns of each group."""
        ends = list(accumulate(self.groups))
        slices = [slice(end - size, end) for end, size in zip(ends, self.groups, strict=True)]
        return list(zip(self.sets or [0] * len(slices), slices, strict=True))

    def _target(self, attributes: Attributes, which: Int[Array, "b"]) -> Float[Array, "b t"]:
        """What G is told: the attributes, and with several data sets the mask vector."""
        parts = [attributes.astype(jnp.float32)]
        if self.sets:
            parts.append(jax.nn.one_hot(which, max(self.sets) + 1))
        return jnp.concatenate(parts, axis=1)

    def classification(self, logits: Float[Array, "b k"], attributes: Attributes, which: Int[Array, "b"]) -> Array:
        """Returns the cross-entropy of the attributes (equations 2 and 3), a mean over the images.

        It is summed over the groups of each image's data set; the attributes of other sets do not count.
        """
        terms = []
        for own, columns in self._columns():
            x, wanted = logits[:, columns], attributes[:, columns].astype(jnp.float32)
            if x.shape[1] > 1:
                value = optax.softmax_cross_entropy(x, wanted)
            else:
                value = optax.sigmoid_binary_cross_entropy(x, wanted)[:, 0]
            terms.append(jnp.where(which == own, value, 0.0).mean())
        return jnp.asarray(sum(terms))

    def _minibatches(self, batch: Batch) -> tuple[Array, Array, Array]:
        """Images, attributes and data sets as (minibatches, m, ...)."""
        which = batch["set"] if self.sets else jnp.zeros(len(batch["image"]), jnp.int32)
        return minibatches((normalise(batch["image"]), batch["attributes"], which), self.discriminator_steps)


def exchanged(key: Key[Array, ""], attributes: Attributes, which: Int[Array, "b"]) -> Attributes:
    """Returns the attributes in random order, within each data set; `which` is the set of each image."""
    shuffled = jnp.lexsort((jax.random.uniform(key, which.shape), which))
    return attributes[jnp.zeros_like(shuffled).at[jnp.argsort(which, stable=True)].set(shuffled)]
