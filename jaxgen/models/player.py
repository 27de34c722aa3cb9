"""A network in training, as the states of all adversarial models hold it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Key

from jaxgen.sharding import minibatches
from jaxgen.types import Metrics

__all__ = ["Player", "in_training"]


@struct.dataclass
class Player:
    """A network in training: `statistics` holds its collections besides `params` (batch normalisation's averages)."""

    params: dict
    statistics: dict
    optimiser: optax.OptState

    @classmethod
    def start(
        cls, network: nn.Module, optimiser: optax.GradientTransformation, key: Key[Array, ""], *inputs: Array | None
    ) -> "Player":
        """The network before the first step; of the inputs only the shapes are read."""
        variables = dict(network.init(key, *inputs, train=False))
        params = variables.pop("params")
        return cls(params, variables, optimiser.init(params))

    @property
    def variables(self) -> dict:
        return {"params": self.params, **self.statistics}

    def accumulated(self, loss: Callable, parts: int, key: Key[Array, ""], *batch: Any) -> tuple[dict, dict, Metrics]:
        """The gradient of a loss, the statistics after it and its metrics, over the batch in so many parts, one after
        another, which need the memory of one: gradient and metrics are the means of theirs.

        loss: (params, statistics, key, *part) -> the loss, (statistics, metrics)
        """
        gradient_of = jax.grad(loss, has_aux=True)
        if parts == 1:
            gradient, (statistics, metrics) = gradient_of(self.params, self.statistics, key, *batch)
            return gradient, statistics, metrics

        def one(carry, part):
            statistics, total = carry
            gradient, (statistics, metrics) = gradient_of(self.params, statistics, *part)
            return (statistics, jax.tree.map(jnp.add, total, gradient)), metrics

        start = self.statistics, jax.tree.map(jnp.zeros_like, self.params)
        inputs = jax.random.split(key, parts), *minibatches(batch, parts)
        (statistics, total), metrics = jax.lax.scan(one, start, inputs)
        return jax.tree.map(lambda x: x / parts, total), statistics, jax.tree.map(lambda x: x.mean(0), metrics)

    def updated(self, optimiser: optax.GradientTransformation, gradient: dict, statistics: dict) -> "Player":
        """After one optimiser step along `gradient`."""
        updates, opt_state = optimiser.update(gradient, self.optimiser, self.params)
        return Player(optax.apply_updates(self.params, updates), statistics, opt_state)


def in_training(
    network: nn.Module, variables: dict, *inputs: Array | None, key: Key[Array, ""] | None = None
) -> tuple[Any, dict]:
    """The output in training mode, and the statistics after it; `key` is for dropout, where there is any."""
    mutable = [name for name in variables if name != "params"]
    rngs = {} if key is None else {"dropout": key}
    output, statistics = network.apply(variables, *inputs, train=True, mutable=mutable, rngs=rngs)
    return output, dict(statistics)
