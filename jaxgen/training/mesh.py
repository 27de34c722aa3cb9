"""Where a run lives: a mesh with one axis, `data`. The batch is sharded along it, the state replicated."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

__all__ = ["data_mesh", "place", "replicated", "sharded"]


def data_mesh(devices: int | None = None) -> Mesh:
    """A `data` mesh over the first `devices` devices, or over all of them. ValueError where there are fewer."""
    available = len(jax.devices())
    count = available if devices is None else devices
    if not 1 <= count <= available:
        raise ValueError(f"a mesh of {devices} devices: this machine has {available} ({jax.default_backend()})")
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count])


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """An array split over the devices along `axis`."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Host arrays, the same on every process, as global arrays of `sharding`."""
    return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, sharding, lambda index: x[index]), tree)
