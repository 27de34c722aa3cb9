"""The states of runs: their shapes and places on the devices, and their copies on the host, leaf by leaf.

A leaf is known by its path in the state, such as `params/Dense_0/kernel`. These names are what checkpoints store, so
renaming a field of a state makes its earlier checkpoints unreadable.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgen.sharding import replicated, sharded
from jaxgen.types import State, Trainable

__all__ = ["abstract_state", "assemble", "by_name", "check_same", "forms", "to_host"]


def abstract_state(
    model: Trainable, spec: Mapping[str, jax.ShapeDtypeStruct], mesh: Mesh, population: int | None = None
) -> State:
    """Returns the shapes, dtypes and shardings of the state of `model`, into which a checkpoint is restored.

    Args:
        spec: the shapes and dtypes of a batch.
        population: the number of members, where the state is that of a population.
    """
    state = jax.eval_shape(model.init, jax.random.key(0), spec)
    leading, place = ((), replicated(mesh)) if population is None else ((population,), sharded(mesh))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype, sharding=place), state)


def by_name(state: State) -> dict[str, Any]:
    """Returns the leaves of a state by name, in the order of the state. ValueError where two have the same name."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the state have the same name")
    return named


def forms(state: State) -> dict[str, list[Any]]:
    """Returns the dtype (`key<fry>` for a typed key) and the shape of each leaf, as they are after a trip through
    JSON."""
    return {name: [str(leaf.dtype), list(leaf.shape)] for name, leaf in by_name(state).items()}


def check_same(given: Mapping[str, list[Any]], wanted: Mapping[str, list[Any]], what: str) -> None:
    """Raises a ValueError that names the leaves in which the form `given` of a state differs from the one `wanted`.

    `what` is the state that was given, for the message.
    """

    def say(form: list[Any] | None) -> str:
        return "absent" if form is None else f"{form[0]}{form[1]}"

    names = [name for name in {**wanted, **given} if given.get(name) != wanted.get(name)]
    differing = [f"{name} is {say(given.get(name))}, not {say(wanted.get(name))}" for name in names[:6]]
    if len(names) > 6:
        differing.append(f"and {len(names) - 6} more")
    if names:
        raise ValueError(f"{what} is of another model: {'; '.join(differing)}")


def to_host(state: State) -> dict[str, np.ndarray]:
    """Copies the leaves of a state to the host, by name; a typed key becomes its integers.

    They are true copies: on the CPU `device_get` gives views of the buffers that donation hands to the next step.
    """
    raw = {name: jax.random.key_data(x) if _is_key(x) else x for name, x in by_name(state).items()}
    return {name: np.array(x) for name, x in jax.device_get(raw).items()}


def assemble(arrays: Mapping[str, np.ndarray], target: State) -> State:
    """Makes the state that `to_host` took apart: `arrays` in the structure of `target`, and on the devices where the
    shardings of `target` say."""
    leaves = [_to_device(arrays[name], like) for name, like in by_name(target).items()]
    return jax.tree.unflatten(jax.tree.structure(target), leaves)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_device(array: np.ndarray, like: Any) -> jax.Array:
    sharding = like.sharding if isinstance(like, jax.Array | jax.ShapeDtypeStruct) else None
    if _is_key(like):  # under jit, for device_put refuses a key on a sharding over several processes
        wrap = partial(jax.random.wrap_key_data, impl=_key_impl(like))
        return jax.jit(wrap, out_shardings=sharding)(array)
    if sharding is None:
        return jnp.array(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _key_impl(like: Any) -> Any:
    found = []  # `key_impl` takes a ShapeDtypeStruct only as a tracer
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), like)
    return found[0]
