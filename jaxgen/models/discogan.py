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

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.models.player import Player, in_training
from jaxgen.models.two_domains import OTHER, Domain, TwoDomains
from jaxgen.pixels import normalise
from jaxgen.sharding import minibatches
from jaxgen.types import Batch, Metrics

__all__ = ["DiscoGAN", "DiscoGANState", "feature_matching"]

GAME = ADVERSARIAL_LOSSES["non_saturating"]


def feature_matching(real: list[Array], fake: list[Array]) -> Float[Array, ""]:
    """The squared distance of the batches' mean features, averaged over each layer and summed over the layers
    (Salimans et al. 2016, section 3.1)."""
    return sum(jnp.square(x.mean(0) - y.mean(0)).mean() for x, y in zip(real, fake, strict=True))


@struct.dataclass
class DiscoGANState:
    """Everything that going on needs. `generators` are by the domain that they translate to, `discriminators` by the
    domain that they judge."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    generators: dict[str, Player]
    discriminators: dict[str, Player]


@dataclass(frozen=True)
class DiscoGAN(TwoDomains):
    """As `TwoDomains`, each discriminator giving logits (b,) and a list of features; and:

    generator_steps: of the generators for each of the discriminators
    matching_weight: of feature matching in the adversarial loss, which else is the game's
    rates:           of reconstruction in the generators' loss, which else is the adversarial one, at first and later
    curriculum:      the minibatch from which the second rate holds
    """

    generator_steps: int = 2
    matching_weight: float = 0.9
    rates: tuple[float, float] = (0.01, 0.5)
    curriculum: int = 10_000

    def __post_init__(self):
        if self.generator_steps < 1:
            raise ValueError(f"generator_steps={self.generator_steps}: at least 1 is needed")

    @property
    def minibatches(self) -> int:
        """Minibatches in the batch of one step: one for the discriminators, and one for each step of the generators."""
        return 1 + self.generator_steps

    def init(self, key: Key[Array, ""], batch: Batch) -> DiscoGANState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where a generator's images are not of its domain's shape.
        """
        key, players_key = jax.random.split(key)
        return DiscoGANState(jnp.int32(0), key, *self._players(players_key, batch))

    def step(self, state: DiscoGANState, batch: Batch) -> tuple[DiscoGANState, Metrics]:
        """One step of the discriminators and then those of the generators, each on a minibatch of its own.

        Metrics of the generators are means over their steps.
        """
        parts = minibatches({name: normalise(batch[name]) for name in OTHER}, self.minibatches)
        first, rest = jax.tree.map(lambda x: x[0], parts), jax.tree.map(lambda x: x[1:], parts)
        discriminators, metrics = self._discriminators_step(state, first)
        seen, generators, records = state.step * self.minibatches + 1, state.generators, []
        for i in range(self.generator_steps):  # no scan: several CPU devices wait for each other for ever in a loop's
            minibatch = jax.tree.map(lambda x, i=i: x[i], rest)  # reductions while others run outside of it
            generators, record = self._generators_step(generators, discriminators, minibatch, seen + i)
            records.append(record)
        metrics |= jax.tree.map(lambda *x: jnp.mean(jnp.stack(x)), *records)
        return DiscoGANState(state.step + 1, state.key, generators, discriminators), metrics

    def _discriminators_step(self, state: DiscoGANState, real: dict[Domain, Array]) -> tuple[dict, Metrics]:
        discriminators, metrics = {}, {}
        for name, player in state.discriminators.items():
            network = self._discriminator(name)
            fake, _ = in_training(self._generator(name), state.generators[name].variables, real[OTHER[name]])

            def loss(params, network=network, player=player, real=real[name], fake=fake):
                (on_real, _), statistics = in_training(network, {**player.variables, "params": params}, real)
                (on_fake, _), statistics = in_training(network, {"params": params, **statistics}, fake)
                return 0.5 * GAME.discriminator(on_real, on_fake), statistics

            (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(player.params)
            discriminators[name] = player.updated(self.discriminator_optimiser, gradient, statistics)
            metrics[f"discriminator_{name}_loss"] = value
        return discriminators, metrics

    def _generators_step(self, generators: dict, discriminators: dict, real: dict, seen: Array) -> tuple[dict, Metrics]:
        """One step of both, on the sum of their losses."""
        rate = jnp.where(seen < self.curriculum, *self.rates)

        def loss(params):
            total, metrics, statistics, fake = 0.0, {}, {}, {}
            for to, other in OTHER.items():
                variables = {**generators[to].variables, "params": params[to]}
                fake[to], statistics[to] = in_training(self._generator(to), variables, real[other])
                judge = discriminators[to].variables
                (logits, matched), _ = in_training(self._discriminator(to), judge, fake[to])
                (_, features), _ = in_training(self._discriminator(to), judge, real[to])
                adversarial, matching = GAME.generator(logits), feature_matching(features, matched)
                weighed = (1 - self.matching_weight) * adversarial + self.matching_weight * matching
                total += (1 - rate) * weighed
                metrics |= {f"generator_{to}_loss": adversarial, f"matching_{to}": matching}
            for to, other in OTHER.items():
                variables = {"params": params[to], **statistics[to]}
                again, statistics[to] = in_training(self._generator(to), variables, fake[other])
                metrics[f"cycle_{to}"] = jnp.square((again - real[to]) / 2).mean()  # of pixels in [0, 1]
                total += rate * metrics[f"cycle_{to}"]
            return total, (statistics, metrics)

        params = {name: player.params for name, player in generators.items()}
        (_, (statistics, metrics)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        moved = {
            name: player.updated(self.generator_optimiser, gradient[name], statistics[name])
            for name, player in generators.items()
        }
        return moved, metrics
