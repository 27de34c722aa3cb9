"""What translation between two domains, learned without pairs, has in common: the four players, and how to use them."""

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxgen.losses.adversarial import AdversarialLoss, non_saturating
from jaxgen.losses.penalties import Penalty, penalise
from jaxgen.models.player import Player, check_game
from jaxgen.networks.calls import apply_network, check_network, output_shape
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["OTHER", "Domain", "Players", "TwoDomains"]

Domain = Literal["a", "b"]

OTHER: dict[Domain, Domain] = {"a": "b", "b": "a"}
"""The other domain, by domain."""

Players = dict[Domain, Player]
"""Networks in training, by domain."""


@dataclass(frozen=True)
class TwoDomains:
    """G: A → B and F: B → A, each with a discriminator of its results."""

    generator_a: nn.Module
    """(image, train) -> images in [-1, 1] of domain a."""
    generator_b: nn.Module
    """(image, train) -> images in [-1, 1] of domain b."""
    discriminator_a: nn.Module
    """(image, train) -> judgements of images of domain a."""
    discriminator_b: nn.Module
    """(image, train) -> judgements of images of domain b."""
    generator_optimiser: optax.GradientTransformation
    """The optimiser of each generator."""
    discriminator_optimiser: optax.GradientTransformation
    """The optimiser of each discriminator."""
    loss: AdversarialLoss = field(default=non_saturating, kw_only=True)
    """The game of each generator with its discriminator, whose loss is halved."""
    penalties: tuple[Penalty, ...] = field(default=(), kw_only=True)
    """Terms that are added to the halved loss of each discriminator."""

    def __post_init__(self) -> None:
        for name in OTHER:
            check_network(f"generator_{name}", self.generator(name))
            check_network(f"discriminator_{name}", self.discriminator(name))
        check_game(self.loss, self.penalties)

    def translate(self, state: Any, image: Array, to: Domain) -> Float[Array, "b h w c"]:
        """Returns images of the other domain (uint8, or float in [-1, 1]) as images of domain `to`, in [-1, 1]."""
        return apply_network(self.generator(to), state.generators[to].variables, normalise(image))[0]

    def cycle(self, state: Any, image: Array, through: Domain) -> Float[Array, "b h w c"]:
        """Returns images of the other domain after the way to domain `through` and back."""
        return self.translate(state, self.translate(state, image, through), OTHER[through])

    def players(self, key: Key[Array, ""], batch: Batch) -> tuple[Players, Players]:
        """Returns the generators and the discriminators before the first step.

        The generators are by the domain that they translate to, the discriminators by the one that they judge.

        ValueError where a generator's images are not of its domain's shape.
        """
        image = {name: jnp.zeros((1, *batch[name].shape[1:])) for name in OTHER}
        generators, discriminators = {}, {}
        for name, both in zip(OTHER, jax.random.split(key), strict=True):
            source, (generator_key, discriminator_key) = image[OTHER[name]], jax.random.split(both)
            network = self.generator(name)
            generators[name] = Player.start(network, self.generator_optimiser, generator_key, source)
            made = output_shape(network, generators[name].variables, source)
            if made != (wanted := image[name].shape[1:]):
                raise ValueError(f"generator_{name} makes {made}, but the data's images of domain {name} are {wanted}")
            network = self.discriminator(name)
            discriminators[name] = Player.start(network, self.discriminator_optimiser, discriminator_key, image[name])
        return generators, discriminators

    def discriminator_step(
        self, of: Domain, player: Player, step: Array, key: Key[Array, ""], real: Array, fake: Array
    ) -> tuple[Player, Metrics]:
        """Takes one step of the discriminator of a domain on real and translated images; `step` is the model's."""
        network = self.discriminator(of)

        def loss(params, statistics, key, real, fake):
            real_key, fake_key, critic_key, penalty_key = jax.random.split(key, 4)
            variables = {"params": params, **statistics}
            on_real, statistics = apply_network(network, variables, real, key=real_key)
            on_fake, statistics = apply_network(network, {"params": params, **statistics}, fake, key=fake_key)
            value = 0.5 * self.loss.discriminator(self.logits(on_real), self.logits(on_fake))

            def critic(image):
                return self.logits(apply_network(network, variables, image, key=critic_key)[0])

            penalty, metrics = penalise(self.penalties, step, critic, penalty_key, real, fake)
            metrics = {f"{name}_{of}": x for name, x in metrics.items()}
            return value + penalty, (statistics, {f"discriminator_{of}_loss": value} | metrics)

        player, metrics, _ = player.step(self.discriminator_optimiser, loss, key, real, fake)
        return player, metrics

    def logits(self, output: Any) -> Array:
        """Returns the logits in a discriminator's output; a model whose discriminators give more overrides it."""
        return output

    def generator(self, to: Domain) -> nn.Module:
        """Returns the network that translates to a domain."""
        return {"a": self.generator_a, "b": self.generator_b}[to]

    def discriminator(self, of: Domain) -> nn.Module:
        """Returns the network that judges images of a domain."""
        return {"a": self.discriminator_a, "b": self.discriminator_b}[of]
