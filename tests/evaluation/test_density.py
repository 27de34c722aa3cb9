import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import toy_world
from jaxgen.evaluation import density, density_evaluator


def test_the_truth_has_no_divergence_and_integrates_to_one(monkeypatch):
    """A density that is e times too small everywhere is 1 nat off."""
    monkeypatch.setattr(density, "SIDE", 200)
    world = toy_world("moons")
    points = world.sample(5, 5000)[0]
    evaluate = density_evaluator(lambda state, x: world.log_prob(x) - state, world, points)
    exact, off = evaluate(jnp.float32(0)).figures, evaluate(jnp.float32(1)).figures
    assert exact["kl_to_truth"] == pytest.approx(0, abs=1e-5) and off["kl_to_truth"] == pytest.approx(1, abs=1e-5)
    assert exact["integral"] == pytest.approx(1, abs=0.01) and off["integral"] == pytest.approx(np.exp(-1), abs=0.01)
    assert off["test_nll"] - exact["test_nll"] == pytest.approx(1, abs=1e-5)


def test_lattice_is_of_the_middles_of_pixels_around_the_points():
    world = toy_world("ring")
    places, area = density.lattice(world, 10)
    points = world.sample(2, 10_000)[0]
    assert (area[:, 0] < points.min(0)).all() and (area[:, 1] > points.max(0)).all()
    side = (area[:, 1] - area[:, 0]) / 10
    np.testing.assert_allclose(places[0], area[:, 0] + side / 2, rtol=1e-5)
    np.testing.assert_allclose(places[1] - places[0], [side[0], 0], atol=1e-5)
    np.testing.assert_allclose(places[-1], area[:, 1] - side / 2, rtol=1e-5)
    assert jax.tree.map(len, density.in_parts(np.zeros((5000, 2)))) == [2500, 2500]
