"""Data parallelism inside a step: how a batch that is split over devices is cut, and noise split as it is."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

__all__ = ["along_data", "minibatches"]

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


def minibatches(batch: T, k: int) -> T:
    """Arrays with a leading batch axis as k minibatches, (k, b / k, ...). ValueError where k does not divide b.

    Minibatch i takes every k-th example, so that a batch sharded along its leading axis stays where it is.
    """
    n = len(jax.tree.leaves(batch)[0])
    if n % k:
        raise ValueError(f"batch of {n}: the {k} minibatches of a step must divide it")
    return jax.tree.map(lambda x: jnp.swapaxes(x.reshape(n // k, k, *x.shape[1:]), 0, 1), batch)
