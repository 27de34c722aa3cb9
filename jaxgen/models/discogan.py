"""DiscoGAN: Kim et al. 2017 (arXiv:1703.05192): relations between two domains, discovered without pairs.

model = DiscoGAN(DiscoGANGenerator(), DiscoGANGenerator(), DiscoGANDiscriminator(), DiscoGANDiscriminator(),
                 optimiser, optimiser)                          # optax.adamw(2e-4, 0.5, weight_decay=1e-5)
state = model.init(jax.random.key(0), batch)                    # batch: "a" and "b", which are no pairs
state, metrics = jax.jit(model.step, donate_argnums=0)(state, batch)
bags = model.translate(state, batch["a"], to="b")
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.models.player import Loss, descend, dropout_keys
from jaxgen.models.two_domains import OTHER, Domain, Players, TwoDomains
from jaxgen.networks.calls import apply_network
from jaxgen.pixels import normalise
from jaxgen.sharding import minibatches
from jaxgen.types import Batch, Metrics

__all__ = ["DiscoGAN", "DiscoGANState", "feature_matching"]


def feature_matching(real: list[Array], fake: list[Array]) -> Float[Array, ""]:
    """Returns the squared distance of the batches' mean features, averaged over each layer and summed over the layers.

    See Salimans et al. 2016, section 3.1.
    """
    return jnp.asarray(sum(jnp.square(x.mean(0) - y.mean(0)).mean() for x, y in zip(real, fake, strict=True)))


class DiscoGANState(struct.PyTreeNode):
    """Everything that going on needs."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    """The number of steps that were taken."""
    key: Any
    """A key that stays; the dropout of each step comes from it and the step's number."""
    generators: Players
    """The generators, by the domain that they translate to."""
    discriminators: Players
    """The discriminators, by the domain that they judge."""


@dataclass(frozen=True)
class DiscoGAN(TwoDomains):
    """Translation between two domains by reconstruction; a discriminator gives logits (b,) and a list of features."""

    generator_steps: int = 2
    """The number of steps of the generators for each of the discriminators."""
    matching_weight: float = 0.9
    """The share of feature matching in the adversarial loss; the rest is the game's."""
    rates: tuple[float, float] = (0.01, 0.5)
    """The share of reconstruction in the generators' loss, at first and later; the rest is the adversarial loss."""
    curriculum: int = 10_000
    """The minibatch from which the second rate holds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.generator_steps < 1:
            raise ValueError(f"generator_steps={self.generator_steps}: at least 1 is needed")

    @property
    def minibatches(self) -> int:
        """The number of minibatches in a batch: one for the discriminators, and one for each step of the generators."""
        return 1 + self.generator_steps

    def init(self, key: Key[Array, ""], batch: Batch) -> DiscoGANState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where a generator's images are not of its domain's shape.
        """
        key, players_key = jax.random.split(key)
        return DiscoGANState(jnp.int32(0), key, *self.players(players_key, batch))

    def logits(self, output: Any) -> Array:
        """Returns the logits in a discriminator's output, which also holds its features."""
        return output[0]

    def step(self, state: DiscoGANState, batch: Batch) -> tuple[DiscoGANState, Metrics]:
        """Takes one step of the discriminators and then those of the generators, each on a minibatch of its own.

        Metrics of the generators are means over their steps.
        """
        key = jax.random.fold_in(dropout_keys(state.key, 1)[0], state.step)
        discriminators_key, *keys = jax.random.split(key, self.minibatches)
        parts = minibatches({name: normalise(batch[name]) for name in OTHER}, self.minibatches)
        first, rest = jax.tree.map(lambda x: x[0], parts), jax.tree.map(lambda x: x[1:], parts)
        discriminators, metrics = self._discriminators_step(state, discriminators_key, first)
        seen, generators, records = state.step * self.minibatches + 1, state.generators, []
        for i in range(self.generator_steps):  # no scan: several CPU devices wait for each other for ever in a loop's
            minibatch = jax.tree.map(lambda x, i=i: x[i], rest)  # reductions while others run outside of it
            loss = self._generators_loss(discriminators, seen + i)
            generators, record, _ = descend(generators, self.generator_optimiser, loss, keys[i], minibatch)
            records.append(record)
        metrics |= jax.tree.map(lambda *x: jnp.mean(jnp.stack(x)), *records)
        return DiscoGANState(state.step + 1, state.key, generators, discriminators), metrics

    def _discriminators_step(
        self, state: DiscoGANState, key: Key[Array, ""], real: dict[Domain, Array]
    ) -> tuple[Players, Metrics]:
        discriminators, metrics = {}, {}
        for name, both in zip(OTHER, jax.random.split(key), strict=True):
            generator_key, own_key = jax.random.split(both)
            variables = state.generators[name].variables
            fake, _ = apply_network(self.generator(name), variables, real[OTHER[name]], key=generator_key)
            discriminators[name], own_metrics = self.discriminator_step(
                name, state.discriminators[name], state.step, own_key, real[name], fake
            )
            metrics |= own_metrics
        return discriminators, metrics

    def _generators_loss(self, discriminators: Players, seen: Array) -> Loss:
        """The joint loss of the generators at the minibatch with the number `seen`."""
        rate = jnp.where(seen < self.curriculum, *self.rates)

        def loss(params, statistics, key, real):
            keys = iter(jax.random.split(key, 8))
            total, metrics, statistics, fake = 0.0, {}, dict(statistics), {}

            def translate(to, image):
                variables = {"params": params[to], **statistics[to]}
                made, statistics[to] = apply_network(self.generator(to), variables, image, key=next(keys))
                return made

            def judge(of, image):
                return apply_network(self.discriminator(of), discriminators[of].variables, image, key=next(keys))[0]

            for to, other in OTHER.items():
                fake[to] = translate(to, real[other])
                (judged, matched), (on_real, features) = judge(to, fake[to]), judge(to, real[to])
                adversarial, matching = self.loss.generator(on_real, judged), feature_matching(features, matched)
                weighed = (1 - self.matching_weight) * adversarial + self.matching_weight * matching
                total += (1 - rate) * weighed
                metrics |= {f"generator_{to}_loss": adversarial, f"matching_{to}": matching}
            for to, other in OTHER.items():
                again = translate(to, fake[other])
                metrics[f"cycle_{to}"] = jnp.square((again - real[to]) / 2).mean()  # of pixels in [0, 1]
                total += rate * metrics[f"cycle_{to}"]
            return jnp.asarray(total), (statistics, metrics)

        return loss
