"""Data parallelism: the mesh that a run lives on, where its arrays are placed, and how a step cuts its batch.

The mesh has one axis, `data`. The batch is sharded along it, the state replicated.
"""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = ["along_data", "data_mesh", "minibatches", "place", "replicated", "sharded"]

T = TypeVar("T")


def data_mesh(devices: int | None = None) -> Mesh:
    """Returns a `data` mesh over the first `devices` devices, or over all of them.

    Raises:
        ValueError: the machine has fewer devices, or `devices` is less than 1.
    """
    available = len(jax.devices())
    count = available if devices is None else devices
    if not 1 <= count <= available:
        raise ValueError(f"a mesh of {devices} devices: this machine has {available} ({jax.default_backend()})")
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the placement of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Returns the placement of an array that is split over the devices along `axis`."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Makes host arrays, which must be the same on every process, into global arrays placed by `sharding`."""
    return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, sharding, lambda index: x[index]), tree)


def along_data(tree: T) -> T:
    """Splits arrays with a leading batch axis over the `data` axis of the current mesh (`jax.set_mesh`), if it has one.

    A batch that comes sharded carries its sharding through what is computed from it. Noise that a step draws comes
    from a key, so without this every device would draw and process all of it. The values stay the same. Inside a
    `jax.shard_map`, where every device has its own run, there is nothing to split.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if ("data", AxisType.Auto) not in zip(mesh.axis_names, mesh.axis_types, strict=True):
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec("data"))


def minibatches(batch: T, k: int) -> T:
    """Cuts arrays (b, ...) with a leading batch axis into k minibatches, (k, b / k, ...).

    A minibatch takes every k-th example, so that a batch sharded along its leading axis stays where it is.

    Raises:
        ValueError: k does not divide b.
    """
    n = len(jax.tree.leaves(batch)[0])
    if n % k:
        raise ValueError(f"batch of {n}: the {k} minibatches of a step must divide it")
    return jax.tree.map(lambda x: jnp.swapaxes(x.reshape(n // k, k, *x.shape[1:]), 0, 1), batch)
