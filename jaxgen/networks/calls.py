"""How models call their networks.

A network is a Linen module. If its `__call__` has a parameter `train`, the model passes True in training and False in
evaluation; a network without the parameter is called the same way in both. Layers that behave differently in training,
such as dropout and batch normalisation, therefore belong to networks that take `train`.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn
from jaxtyping import Array, Key

__all__ = ["apply_network", "check_network", "init_network", "output_shape", "train_flag"]


def check_network(name: str, network: object) -> None:
    """Raises a ValueError on one line where a network is an NNX module, or a class in place of an instance."""
    cls = network if isinstance(network, type) else type(network)
    nnx = sys.modules.get("flax.nnx")  # where nobody has imported it, nothing is an NNX module
    if nnx is not None and issubclass(cls, nnx.Module):
        raise ValueError(
            f"{name}: {cls.__name__} is a Flax NNX module; give jaxgen.from_nnx({cls.__name__}, ...), which takes the "
            "class and its arguments"
        )
    if isinstance(network, type):
        raise ValueError(f"{name}: {cls.__name__} is a class; give an instance, {cls.__name__}(...)")


def train_flag(network: nn.Module, train: bool) -> dict[str, Any]:
    """Returns the keyword argument `train` for networks that take it, and none for others."""
    return {"train": train} if "train" in inspect.signature(type(network).__call__).parameters else {}


def init_network(
    network: nn.Module, key: Key[Array, ""], *inputs: Array | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the network's first parameters, and its other collections; only the shapes of the inputs are read."""
    variables = dict(network.init(key, *inputs, **train_flag(network, False)))
    return variables.pop("params", {}), variables


def apply_network(
    network: nn.Module, variables: Mapping[str, Any], *inputs: Array | None, key: Key[Array, ""] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Returns the network's output and its collections besides `params` after it.

    With a key, which is for dropout, the network is in training and updates its batch statistics; without one it is in
    evaluation and leaves them as they are.
    """
    statistics = {name: values for name, values in variables.items() if name != "params"}
    if key is None:
        return network.apply(variables, *inputs, **train_flag(network, False)), statistics
    output, changed = network.apply(
        variables, *inputs, **train_flag(network, True), mutable=list(statistics), rngs={"dropout": key}
    )
    return output, statistics | dict(changed)


def output_shape(network: nn.Module, variables: Mapping[str, Any], *inputs: Array | None) -> tuple[int, ...]:
    """Returns the shape of one example of the network's output, without its batch axis; nothing is computed."""
    return jax.eval_shape(lambda: apply_network(network, variables, *inputs)[0]).shape[1:]
