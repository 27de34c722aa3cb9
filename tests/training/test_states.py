"""A state that is taken apart and put together again is the same, wherever it goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.sharding import data_mesh, replicated
from jaxgen.training.states import abstract_state, assemble, by_name, check_same, forms, to_host


def init(key, batch):
    size = batch["image"].shape[-1]
    return {"step": jnp.int32(0), "key": key, "params": {"kernel": jnp.ones((size, 2)), "mask": jnp.ones(2, bool)}}


class Model:
    def init(self, key, batch):
        return init(key, batch)

    def step(self, state, batch):
        raise AssertionError("no step is taken")


SPEC = {"image": jax.ShapeDtypeStruct((4, 3), np.float32)}


@pytest.fixture
def state():
    made = init(jax.random.key(7), SPEC)
    made["params"]["kernel"] = jax.random.normal(jax.random.key(1), (3, 2))
    return made


def test_leaves_are_known_by_their_paths(state):
    assert list(by_name(state)) == ["key", "params/kernel", "params/mask", "step"]
    assert forms(state)["params/kernel"] == ["float32", [3, 2]]
    assert forms(state)["key"] == ["key<fry>", []]
    with pytest.raises(ValueError, match="two leaves of the state have the same name"):
        by_name({"a": {"b": 1}, "a/b": 2})


@pytest.mark.parametrize("devices", [1, 2])
def test_a_state_is_the_same_after_a_trip_to_the_host(state, devices):
    mesh = data_mesh(devices)
    there = assemble(to_host(state), abstract_state(Model(), SPEC, mesh))
    assert jax.tree.structure(there) == jax.tree.structure(state) and forms(there) == forms(state)
    assert all(leaf.sharding.is_equivalent_to(replicated(mesh), leaf.ndim) for leaf in jax.tree.leaves(there))
    np.testing.assert_array_equal(there["params"]["kernel"], state["params"]["kernel"])
    np.testing.assert_array_equal(jax.random.normal(there["key"]), jax.random.normal(state["key"]))


def test_copies_on_the_host_share_no_memory_with_the_state(state):
    copies, views = to_host(state), [np.asarray(state["params"]["kernel"]), np.asarray(state["step"])]
    assert not any(np.shares_memory(copy, view) for copy in copies.values() for view in views)


def test_the_state_of_a_population_has_a_leading_axis_over_the_members():
    whole = abstract_state(Model(), SPEC, data_mesh(2), population=6)
    assert jax.tree.map(np.shape, whole) == {
        "step": (6,), "key": (6,), "params": {"kernel": (6, 3, 2), "mask": (6, 2)},
    }  # fmt: skip
    assert all(leaf.sharding.shard_shape(leaf.shape)[0] == 3 for leaf in jax.tree.leaves(whole))


def test_what_differs_is_named():
    wanted = {"a": ["float32", [2]], "b": ["int32", []]}
    check_same(dict(wanted), wanted, "it")
    with pytest.raises(ValueError) as caught:
        check_same({"a": ["float32", [3]], "c": ["int32", []]}, wanted, "the state")
    message = "a is float32[3], not float32[2]; b is absent, not int32[]; c is int32[], not absent"
    assert str(caught.value) == f"the state is of another model: {message}"
    with pytest.raises(ValueError, match=r"and 3 more$"):
        check_same({}, {str(i): ["int32", []] for i in range(9)}, "it")
