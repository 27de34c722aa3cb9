"""Populations: the same model from several seeds, trained side by side in one compiled program.

A population's state is the states of its members stacked along a leading axis, which is split over the mesh; a member
is a whole run, with the keys and the order of data that its seed alone would give it.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxgen.types import State

__all__ = ["members", "over_members", "summary"]


def over_members(f: Callable, mesh: Mesh, in_axes: Sequence[int | None]) -> Callable:
    """`f` for every member at once: a `vmap` on each device of the mesh, over the members that it holds.

    `in_axes`: for each argument the axis of its arrays that runs over the members, or None where they share it.
    """
    specs = tuple(PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "data") for axis in in_axes)
    mapped = jax.vmap(f, in_axes=tuple(in_axes))
    return jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("data"), check_vma=False)


def members(state: State) -> list[State]:
    """The states of a population's members."""
    return [jax.tree.map(lambda x, i=i: x[i], state) for i in range(len(state.step))]


def summary(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Figures of several runs as their mean, and under the name with `_std` their standard deviation over the runs
    (with n - 1); those of one run as they are."""
    if len(figures) == 1:
        return dict(figures[0])
    found = {}
    for name in figures[0]:
        values = np.array([each[name] for each in figures], np.float64)
        found |= {name: float(values.mean()), f"{name}_std": float(values.std(ddof=1))}
    return found
