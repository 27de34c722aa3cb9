"""Data parallelism inside a step: what the batch does not bring must be told to be split as it is."""

from typing import TypeVar

import jax
from jax.sharding import PartitionSpec

__all__ = ["along_data"]

T = TypeVar("T")


def along_data(tree: T) -> T:
    """Arrays with a leading batch axis, split over the `data` axis of the mesh of `jax.set_mesh`, where there is one.

    A batch that comes sharded carries its sharding through what is computed from it. Noise drawn inside the step
    comes from a key: without this every device would draw and process the whole of it. Values stay the same.
    """
    if "data" not in jax.sharding.get_abstract_mesh().axis_names:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec("data"))
