"""What a run computes: its phases, its largest batch, and what is refused before anything is compiled."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.networks import MLPEncoder
from jaxgen.sharding import data_mesh
from jaxgen.training.program import NonFinite, Program, all_finite, minibatches_of, phases_of

digits = load("digits")


@dataclasses.dataclass(frozen=True)
class Counter:
    """A model that counts the examples it has seen."""

    steps: int = 3
    weight: float = 1.0

    def init(self, key, batch):
        return Counted(jnp.int32(0), jnp.float32(0))

    def step(self, state, batch):
        seen = state.seen + self.weight * len(batch["image"])
        return Counted(state.step + 1, seen), {"seen": seen}


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Counted:
    step: jax.Array
    seen: jax.Array


@dataclasses.dataclass(frozen=True)
class Pairs(Counter):
    @property
    def minibatches(self):
        return 2


@dataclasses.dataclass(frozen=True)
class Both(Counter):
    @property
    def phases(self):
        return Counter(3), Pairs(4)


@dataclasses.dataclass(frozen=True)
class Suspect(Counter):
    def blame(self, metrics):
        return f"at {metrics['seen']:.0f}"


def program(model, steps=10, batch_size=4, seed=0, sweep=None, longest=5):
    return Program(model, digits, steps, batch_size, seed, sweep, data_mesh(1), longest)


def test_optional_abilities_are_seen():
    assert phases_of(Counter()) == (Counter(),) and phases_of(Both()) == (Counter(3), Pairs(4))
    assert (minibatches_of(Counter()), minibatches_of(Pairs())) == (1, 2)


def test_stages_follow_the_phases_and_the_last_lasts_until_the_end():
    both = program(Both())
    assert both.spec["image"].shape[0] == 8
    assert [(both.stage(step).end, both.stage(step).examples) for step in (0, 2, 3, 9)] == [
        (3, 4), (3, 4), (10, 8), (10, 8),
    ]  # fmt: skip
    assert program(Both(), steps=2).stage(0).end == 2


def test_a_stage_takes_steps_and_gives_the_means_of_the_metrics():
    both = program(Both())
    state, metrics = both.stage(0).advance(both.initial_state(), 0, 3)
    assert (int(state.step), float(state.seen), metrics) == (3, 12.0, {"seen": 8.0})
    stage = both.stage(3)
    for start, stop in ((3, 4), (4, 8)):
        state, metrics = stage.advance(state, start, stop)
    assert (int(state.step), float(state.seen)) == (8, 52.0)
    assert metrics == {"seen": np.mean([28.0, 36.0, 44.0, 52.0])}


def test_every_member_of_a_sweep_has_its_value():
    sweep = program(lambda weight: Counter(weight=weight), seed=[0, 0], sweep=jnp.array([1.0, 3.0]))
    assert float(sweep.first.weight) == 1.0
    state, metrics = sweep.stage(0).advance(sweep.initial_state(), 0, 2)
    np.testing.assert_array_equal(state.seen, [8.0, 24.0])
    assert metrics == {"seen": 12.0, "seen_std": pytest.approx(6 * 2**0.5)}
    abstract = sweep.abstract_state()
    assert jax.tree.map(lambda x: (x.shape, x.dtype), abstract) == jax.tree.map(lambda x: (x.shape, x.dtype), state)


def test_the_model_says_why_a_metric_is_not_finite():
    model = Suspect(weight=5e37)
    with pytest.raises(NonFinite, match=r"^step 2: seen is inf \(at inf\)$"):
        program(model).stage(0).advance(program(model).initial_state(), 0, 2)


def test_a_parameter_that_is_not_finite_is_seen():
    good = {"x": jnp.ones(3), "n": jnp.int32(1)}
    assert all_finite(good)
    for bad in (jnp.array([0.0, jnp.nan]), jnp.float32(-jnp.inf)):
        assert not all_finite(good | {"y": bad})


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="model of type MLPEncoder: a model needs the methods `init` and `step`"):
        program(MLPEncoder(3, (16,)))
    with pytest.raises(ValueError, match="sweep: the model must be a function"):
        program(Counter(), seed=[0, 0], sweep=np.ones(2))
