import jax
import jax.numpy as jnp
import pytest

from jaxgen.data import toy_world
from jaxgen.evaluation import point_evaluator


def around(state, key, n):
    """Points around the first `state` modes of the ring."""
    world = toy_world("ring")
    mode_key, noise_key = jax.random.split(key)
    mode = jax.random.randint(mode_key, (n,), 0, state)
    return jnp.asarray(world.modes)[mode] + world.scale * jax.random.normal(noise_key, (n, 2))


def test_modes_are_counted():
    evaluate = point_evaluator(around, toy_world("ring"))
    whole, half = evaluate(jnp.int32(8)), evaluate(jnp.int32(4))
    assert whole.figures["modes_covered"] == 8 and half.figures["modes_covered"] == 4
    assert whole.figures["high_quality"] == pytest.approx(0.989, abs=0.01)
    assert whole.figures["diversity"] == pytest.approx(1, abs=0.05) and half.figures["diversity"] < 0.9
    assert half.figures["reverse_kl"] == pytest.approx(0.693, abs=0.01)
    assert half.figures["share_0"] == pytest.approx(0.25, abs=0.03) and half.figures["share_7"] == 0
    assert whole.counts == {"fake_samples": 2500} and whole.extractor is None


def test_a_world_without_modes_has_diversity_alone():
    found = point_evaluator(around, toy_world("moons"), samples=500)(jnp.int32(8))
    assert found.figures.keys() == {"diversity"} and found.counts == {"fake_samples": 500}
