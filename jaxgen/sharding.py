"""Data parallelism inside a step: what the batch does not bring must be told to be split as it is."""

from typing import TypeVar

import jax
from jax.sharding import AxisType, PartitionSpec

__all__ = ["along_data"]

T = TypeVar("T")


def along_data(tree: T) -> T:
    """Arrays with a leading batch axis, split over the `data` axis of the mesh of `jax.set_mesh`, where there is one.

    A batch that comes sharded carries its sharding through what is computed from it. Noise drawn inside the step
    comes from a key: without this every device would draw and process the whole of it. Values stay the same. In a
    `jax.shard_map`, where every device has a run of its own, there is nothing to split.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if ("data", AxisType.Auto) not in zip(mesh.axis_names, mesh.axis_types, strict=True):
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec("data"))
