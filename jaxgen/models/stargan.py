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

from jaxgen.losses.adversarial import wasserstein_critic, wasserstein_generator
from jaxgen.losses.penalties import gradient_penalty
from jaxgen.models.player import Player, in_training
from jaxgen.pixels import normalise
from jaxgen.sharding import minibatches
from jaxgen.types import Batch, Metrics

__all__ = ["StarGAN", "StarGANState"]

Attributes = Int[Array, "b k"]


@struct.dataclass
class StarGANState:
    """Everything that going on needs."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    generator: Player
    discriminator: Player


@dataclass(frozen=True)
class StarGAN:
    """G translates an image to target attributes; D is a critic that also reads the attributes of an image.

    A batch has `image`, `attributes` (b, k), 0 or 1, and if it mixes several data sets with attributes of their own
    `set` (b,): the attributes of the other sets are unknown, and 0.

    generator:             (image, attributes, train) -> images in [-1, 1]. Of several data sets the attributes are
                           followed by the mask vector, the one-hot number of the set (section 3.3)
    discriminator:         (image, train) -> critic values of any shape, and logits (b, k) of the attributes
    groups:                in the order of the attributes, how many make a group: of a group of several exactly one is
                           1, a group of one says yes or no
    sets:                  of each group the data set that labels it; (): there is one data set
    discriminator_steps:   for each of the generator; a batch holds so many minibatches
    classification_weight, reconstruction_weight, penalty_weight: λ_cls, λ_rec (equations 5 and 6), λ_gp (8)
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimiser: optax.GradientTransformation
    discriminator_optimiser: optax.GradientTransformation
    groups: Sequence[int]
    sets: Sequence[int] = ()
    discriminator_steps: int = 5
    classification_weight: float | Array = 1.0
    reconstruction_weight: float | Array = 10.0
    penalty_weight: float | Array = 10.0

    def __post_init__(self):
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
        """Minibatches in the batch of one step: each discriminator step has its own."""
        return self.discriminator_steps

    def init(self, key: Key[Array, ""], batch: Batch) -> StarGANState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

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
        made = jax.eval_shape(self.generator.apply, generator.variables, image, target).shape
        if made != image.shape:
            raise ValueError(f"generator makes {made[1:]}, but the data's images are {image.shape[1:]}")
        discriminator = Player.start(self.discriminator, self.discriminator_optimiser, discriminator_key, image)
        return StarGANState(jnp.int32(0), key, generator, discriminator)

    def step(self, state: StarGANState, batch: Batch) -> tuple[StarGANState, Metrics]:
        """The steps of D, each on a minibatch of its own, then one of G on the last of them. Targets are the
        attributes of other images of the minibatch, and of the same data set.

        Metrics of D are means over its steps.
        """
        key, discriminator_key, generator_key = jax.random.split(state.key, 3)
        keys = jax.random.split(discriminator_key, self.discriminator_steps)
        parts = self._minibatches(batch)

        def discriminator_step(player, inputs):
            return self._discriminator_step(player, state.generator, *inputs)

        discriminator, metrics = jax.lax.scan(discriminator_step, state.discriminator, (keys, parts))
        last = jax.tree.map(lambda x: x[-1], parts)
        generator, generator_metrics = self._generator_step(state.generator, discriminator, generator_key, last)
        metrics = jax.tree.map(jnp.mean, metrics) | generator_metrics
        return StarGANState(state.step + 1, key, generator, discriminator), metrics

    def _discriminator_step(self, player: Player, generator: Player, key, batch) -> tuple[Player, Metrics]:
        """Equation 5, with the gradient penalty of equation 8: its slope is that of the sum of an image's values, as in
        the authors' code."""
        image, attributes, which = batch
        target_key, penalty_key = jax.random.split(key)
        target = self._target(self._exchanged(target_key, attributes, which), which)
        fake, _ = in_training(self.generator, generator.variables, image, target)

        def loss(params):
            def judge(x):
                return in_training(self.discriminator, {**player.variables, "params": params}, x)

            (real, logits), statistics = judge(image)
            (judged, _), _ = judge(fake)
            value = wasserstein_critic(real, judged)
            classification = self._classification(logits, attributes, which)
            penalty = gradient_penalty(lambda x: judge(x)[0][0], penalty_key, image, fake)
            total = value + self.classification_weight * classification + self.penalty_weight * penalty
            metrics = {
                "discriminator_loss": value,
                "discriminator_classification": classification,
                "penalty": penalty,
                "discriminator_real": real.mean(),
                "discriminator_fake": judged.mean(),
            }
            return total, (statistics, metrics)

        (_, (statistics, metrics)), gradient = jax.value_and_grad(loss, has_aux=True)(player.params)
        return player.updated(self.discriminator_optimiser, gradient, statistics), metrics

    def _generator_step(self, player: Player, discriminator: Player, key, batch) -> tuple[Player, Metrics]:
        """Equation 6."""
        image, attributes, which = batch
        wanted = self._exchanged(key, attributes, which)

        def loss(params):
            variables = {**player.variables, "params": params}
            fake, statistics = in_training(self.generator, variables, image, self._target(wanted, which))
            (values, logits), _ = in_training(self.discriminator, discriminator.variables, fake)
            variables = {**variables, **statistics}
            again, statistics = in_training(self.generator, variables, fake, self._target(attributes, which))
            metrics = {
                "generator_loss": wasserstein_generator(values),
                "generator_classification": self._classification(logits, wanted, which),
                "reconstruction": jnp.abs(again - image).mean(),
            }
            adversarial, classification, reconstruction = metrics.values()
            weighed = self.classification_weight * classification + self.reconstruction_weight * reconstruction
            return adversarial + weighed, (statistics, metrics)

        (_, (statistics, metrics)), gradient = jax.value_and_grad(loss, has_aux=True)(player.params)
        return player.updated(self.generator_optimiser, gradient, statistics), metrics

    def translate(
        self, state: StarGANState, image: Array, attributes: Attributes, which: Int[Array, "..."] | int = 0
    ) -> Float[Array, "b h w c"]:
        """Images (uint8, or float in [-1, 1]) with the target attributes, in [-1, 1]; of several data sets `which` is
        the one whose attributes these are, from 0."""
        target = self._target(attributes, jnp.broadcast_to(which, len(image)))
        return self.generator.apply(state.generator.variables, normalise(image), target, train=False)

    def translate_to_all(
        self, state: StarGANState, image: Array, attributes: Attributes | None = None
    ) -> Float[Array, "b k h w c"]:
        """Each image translated to each domain: attribute by attribute, those of the same data set as they are but for
        the group of this one (`with_attribute`). By default the images' attributes are those that D reads."""
        if attributes is None:
            attributes = self.classify(state, image)
        made = [
            self.translate(state, image, *self.with_attribute(attributes, column)) for column in range(sum(self.groups))
        ]
        return jnp.stack(made, axis=1)

    def classify(self, state: StarGANState, image: Array) -> Attributes:
        """The attributes of all data sets as D reads them: of each group the most probable."""
        _, logits = self.discriminator.apply(state.discriminator.variables, normalise(image), train=False)
        found = []
        for _, columns in self._columns():
            x = logits[:, columns]
            one = jax.nn.one_hot(x.argmax(-1), x.shape[1], dtype=jnp.int32)
            found.append(one if x.shape[1] > 1 else (x > 0).astype(jnp.int32))
        return jnp.concatenate(found, axis=1)

    def with_attribute(self, attributes: Attributes, column: int) -> tuple[Attributes, int]:
        """The target for the domain `column`, and its data set: this attribute 1 in place of the others of its group, a
        group of one reversed; all else as in `attributes`, but 0 where another set labels it."""
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
        """Of each group its data set and its columns."""
        ends = list(accumulate(self.groups))
        slices = [slice(end - size, end) for end, size in zip(ends, self.groups, strict=True)]
        return list(zip(self.sets or [0] * len(slices), slices, strict=True))

    def _target(self, attributes: Attributes, which: Int[Array, "b"]) -> Float[Array, "b t"]:
        """What G is told: the attributes, and of several data sets the mask vector."""
        parts = [attributes.astype(jnp.float32)]
        if self.sets:
            parts.append(jax.nn.one_hot(which, max(self.sets) + 1))
        return jnp.concatenate(parts, axis=1)

    def _classification(self, logits: Float[Array, "b k"], attributes: Attributes, which: Int[Array, "b"]) -> Array:
        """The cross-entropy of the attributes (equations 2 and 3), summed over the groups of each image's data set."""
        total = 0.0
        for own, columns in self._columns():
            x, wanted = logits[:, columns], attributes[:, columns].astype(jnp.float32)
            if x.shape[1] > 1:
                value = optax.softmax_cross_entropy(x, wanted)
            else:
                value = optax.sigmoid_binary_cross_entropy(x, wanted)[:, 0]
            total += jnp.where(which == own, value, 0.0).mean()
        return total

    @staticmethod
    def _exchanged(key, attributes: Attributes, which: Int[Array, "b"]) -> Attributes:
        """The attributes in random order, within each data set."""
        shuffled = jnp.lexsort((jax.random.uniform(key, which.shape), which))
        return attributes[jnp.zeros_like(shuffled).at[jnp.argsort(which, stable=True)].set(shuffled)]

    def _minibatches(self, batch: Batch) -> tuple[Array, Array, Array]:
        """Images, attributes and data sets as (minibatches, m, ...)."""
        which = batch["set"] if self.sets else jnp.zeros(len(batch["image"]), jnp.int32)
        return minibatches((normalise(batch["image"]), batch["attributes"], which), self.discriminator_steps)
