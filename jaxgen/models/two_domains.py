"""What translation between two domains, learned without pairs, has in common: the four players, and how to use them."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxgen.models.player import Player
from jaxgen.pixels import normalise
from jaxgen.types import Batch

__all__ = ["OTHER", "Domain", "TwoDomains"]

Domain = Literal["a", "b"]

OTHER: dict[Domain, Domain] = {"a": "b", "b": "a"}
"""By domain the other one."""

Players = dict[Domain, Player]


@dataclass(frozen=True)
class TwoDomains:
    """G: A → B and F: B → A, each with a discriminator of its results.

    generator_a, generator_b:         (image, train) -> images in [-1, 1] of domain a, of domain b
    discriminator_a, discriminator_b: (image, train) -> judgements of images of domain a, of domain b
    generator_optimiser:              of each generator
    discriminator_optimiser:          of each discriminator
    """

    generator_a: nn.Module
    generator_b: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module
    generator_optimiser: optax.GradientTransformation
    discriminator_optimiser: optax.GradientTransformation

    def translate(self, state: Any, image: Array, to: Domain) -> Float[Array, "b h w c"]:
        """Images of the other domain (uint8, or float in [-1, 1]) in domain `to`, in [-1, 1]."""
        return self._generator(to).apply(state.generators[to].variables, normalise(image), train=False)

    def cycle(self, state: Any, image: Array, through: Domain) -> Float[Array, "b h w c"]:
        """Images of the other domain, to domain `through` and back."""
        return self.translate(state, self.translate(state, image, through), OTHER[through])

    def _players(self, key: Key[Array, ""], batch: Batch) -> tuple[Players, Players]:
        """The generators, by the domain that they translate to, and the discriminators, by the one that they judge.

        ValueError where a generator's images are not of its domain's shape.
        """
        image = {name: jnp.zeros((1, *batch[name].shape[1:])) for name in OTHER}
        generators, discriminators = {}, {}
        for name, both in zip(OTHER, jax.random.split(key), strict=True):
            source, (generator_key, discriminator_key) = image[OTHER[name]], jax.random.split(both)
            network = self._generator(name)
            generators[name] = Player.start(network, self.generator_optimiser, generator_key, source)
            made = jax.eval_shape(network.apply, generators[name].variables, source).shape[1:]
            if made != (wanted := image[name].shape[1:]):
                raise ValueError(f"generator_{name} makes {made}, but the data's images of domain {name} are {wanted}")
            network = self._discriminator(name)
            discriminators[name] = Player.start(network, self.discriminator_optimiser, discriminator_key, image[name])
        return generators, discriminators

    def _generator(self, to: Domain) -> nn.Module:
        return {"a": self.generator_a, "b": self.generator_b}[to]

    def _discriminator(self, of: Domain) -> nn.Module:
        return {"a": self.discriminator_a, "b": self.discriminator_b}[of]
