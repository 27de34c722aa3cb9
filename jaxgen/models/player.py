"""A network in training, as the states of all adversarial models hold it, and the one way to take a step of it.

def loss(params, statistics, key, image):
    output, statistics = apply_network(network, {"params": params, **statistics}, image, key=key)
    value = jnp.square(output).mean()
    return value, (statistics, {"loss": value})

player = Player.start(network, optimiser, key, image)
player, metrics, gradient = player.step(optimiser, loss, key, image)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Key

from jaxgen.losses.adversarial import AdversarialLoss
from jaxgen.losses.penalties import Penalty
from jaxgen.models.augmentation import Augmentation
from jaxgen.networks.calls import init_network
from jaxgen.sharding import minibatches

__all__ = ["Loss", "Player", "check_game", "descend", "dropout_keys", "gradient_of"]

Loss = Callable[..., tuple[Array, tuple[Any, Any]]]
"""(params, statistics, key, *batch) -> the loss, (the statistics after it, what else it says, such as its metrics)."""

Name = TypeVar("Name", bound=str)

DROPOUT = 0x64726F70
"""Folded into a key, this number gives one that no split of the key gives."""


class Player(struct.PyTreeNode):
    """A network in training."""

    params: dict[str, Any]
    """The parameters."""
    statistics: dict[str, Any]
    """The network's other collections, such as the averages of batch normalisation."""
    optimiser: optax.OptState
    """The state of the optimiser."""

    @classmethod
    def start(
        cls, network: nn.Module, optimiser: optax.GradientTransformation, key: Key[Array, ""], *inputs: Array | None
    ) -> "Player":
        """Returns the network before the first step; of the inputs only the shapes are read."""
        params, statistics = init_network(network, key, *inputs)
        return cls(params, statistics, optimiser.init(params))

    @property
    def variables(self) -> dict[str, Any]:
        """The parameters and the other collections, as `apply_network` takes them."""
        return {"params": self.params, **self.statistics}

    def gradient(
        self, loss: Loss, key: Key[Array, ""], *batch: Any, parts: int = 1
    ) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Returns the gradient of a loss, the statistics after it and what else it says; see `gradient_of`."""
        return gradient_of(loss, self.params, self.statistics, key, *batch, parts=parts)

    def step(
        self,
        optimiser: optax.GradientTransformation,
        loss: Loss,
        key: Key[Array, ""],
        *batch: Any,
        parts: int = 1,
    ) -> tuple["Player", Any, dict[str, Any]]:
        """Takes one optimiser step along the gradient of a loss.

        The loss is a function (params, statistics, key, *batch) -> value, (statistics, metrics). Its key is for the
        noise and the dropout in it. With several `parts` the batch is cut, and the gradients of its parts are averaged;
        see `gradient_of`. Returns the player after the step, the metrics, and the gradient.
        """
        gradient, statistics, metrics = self.gradient(loss, key, *batch, parts=parts)
        return self.updated(optimiser, gradient, statistics), metrics, gradient

    def updated(
        self, optimiser: optax.GradientTransformation, gradient: dict[str, Any], statistics: dict[str, Any]
    ) -> "Player":
        """Returns the player after one optimiser step along `gradient`."""
        updates, state = optimiser.update(gradient, self.optimiser, self.params)
        params: Any = optax.apply_updates(self.params, updates)
        return Player(params, statistics, state)


def descend(
    players: Mapping[Name, Player],
    optimiser: optax.GradientTransformation,
    loss: Loss,
    key: Key[Array, ""],
    *batch: Any,
    parts: int = 1,
) -> tuple[dict[Name, Player], Any, dict[str, Any]]:
    """Takes one step of several players, each along its part of the gradient of their joint loss.

    It is `Player.step` with the parameters and the statistics of all players by their names.
    """
    params = {name: player.params for name, player in players.items()}
    statistics = {name: player.statistics for name, player in players.items()}
    gradient, statistics, metrics = gradient_of(loss, params, statistics, key, *batch, parts=parts)
    moved = {name: player.updated(optimiser, gradient[name], statistics[name]) for name, player in players.items()}
    return moved, metrics, gradient


def gradient_of(
    loss: Loss, params: Any, statistics: Any, key: Key[Array, ""], *batch: Any, parts: int = 1
) -> tuple[Any, Any, Any]:
    """Returns the gradient of a loss by the parameters, the statistics after it, and what else it says.

    The batch is taken in `parts`, one after another, which need the memory of one. The gradient is then the mean of
    theirs, and so is each array that the loss says. ValueError where the parts do not divide the batch.
    """
    gradient = jax.grad(loss, has_aux=True)
    if parts == 1:
        found, (statistics, metrics) = gradient(params, statistics, key, *batch)
        return found, statistics, metrics

    def one(carry, part):
        statistics, total = carry
        found, (statistics, metrics) = gradient(params, statistics, *part)
        return (statistics, jax.tree.map(jnp.add, total, found)), metrics

    start = statistics, jax.tree.map(jnp.zeros_like, params)
    inputs = jax.random.split(key, parts), *jax.tree.map(lambda x: minibatches(x, parts), batch)
    (statistics, total), metrics = jax.lax.scan(one, start, inputs)
    return jax.tree.map(lambda x: x / parts, total), statistics, jax.tree.map(lambda x: x.mean(0), metrics)


def dropout_keys(key: Key[Array, ""], n: int) -> Key[Array, "n"]:
    """Returns n keys for dropout, which differ from all that splitting `key` gives.

    The key may be split before or after, so models whose networks have no dropout draw what they draw without these.
    """
    return jax.random.split(jax.random.fold_in(key, DROPOUT), n)


def check_game(loss: object, penalties: object, augmentation: object = None) -> None:
    """Raises a ValueError where one of these parts of a model is not the object that it must be, but a name, say."""
    if not isinstance(loss, AdversarialLoss):
        raise ValueError(f"loss={loss!r}: an AdversarialLoss is needed, such as jaxgen.losses.hinge")
    if not isinstance(penalties, Sequence) or not all(isinstance(one, Penalty) for one in penalties):
        raise ValueError(f"penalties={penalties!r}: a tuple of Penalty is needed, such as (Penalty(jaxgen.losses.r1),)")
    if not isinstance(augmentation, Augmentation | None):
        raise ValueError(f"augmentation={augmentation!r}: an Augmentation or None is needed")
