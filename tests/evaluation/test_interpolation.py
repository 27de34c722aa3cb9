import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluation import interpolation

WEIGHTS = jnp.linspace(0, 1, 9)[:, None]
slerp = jax.jit(interpolation.slerp)


def pair(z, seed=0):
    return jax.random.normal(jax.random.key(seed), (2, z))


def angles(path):
    """Between each point of the path and the next."""
    u = np.asarray(path, np.float64)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    return 2 * np.arctan2(np.linalg.norm(u[1:] - u[:-1], axis=-1), np.linalg.norm(u[1:] + u[:-1], axis=-1))


@pytest.mark.parametrize("z", [2, 3, 100])
def test_of_equal_norms_it_is_the_papers_formula(z):
    start, end = pair(z)
    end *= jnp.linalg.norm(start) / jnp.linalg.norm(end)
    omega = np.arccos(np.clip(start @ end / (start @ start), -1, 1))
    t = np.asarray(WEIGHTS)
    expected = (np.sin((1 - t) * omega) * start + np.sin(t * omega) * end) / np.sin(omega)
    np.testing.assert_allclose(slerp(start, end, WEIGHTS), expected, atol=1e-5)


@pytest.mark.parametrize("z", [2, 5, 100])
def test_it_turns_at_a_constant_rate_and_the_norm_goes_linearly(z):
    """Also between directions that are the same or opposite up to rounding, where a quotient of sines fails."""
    start, other = np.asarray(pair(z))
    for along, aside in itertools.product((2, -2), (1, 1e-2, 1e-4, 1e-6, 1e-7, 0)):
        end = along * start + aside * other
        path = slerp(start, end, WEIGHTS)
        ends = np.linalg.norm(start), np.linalg.norm(end)
        np.testing.assert_allclose(np.linalg.norm(path, axis=-1), np.linspace(*ends, 9), rtol=2e-6)
        np.testing.assert_allclose(path[0], start, atol=2e-6 * ends[0])
        np.testing.assert_allclose(path[-1], end, atol=2e-6 * ends[1])
        np.testing.assert_allclose(angles(path), angles(np.stack([start, end]))[0] / 8, atol=1e-6)


def test_a_zero_vector_counts_as_of_the_others_direction():
    start, _ = pair(5)
    zero = jnp.zeros(5)
    np.testing.assert_allclose(slerp(zero, start, WEIGHTS), WEIGHTS * start, rtol=1e-5)
    np.testing.assert_allclose(slerp(start, zero, WEIGHTS), (1 - WEIGHTS) * start, rtol=1e-5)
    assert not slerp(zero, zero, WEIGHTS).any()
    np.testing.assert_allclose(slerp(jnp.array([1.0]), jnp.array([-1.0]), 0.5), [0], atol=1e-6)


def test_arguments_broadcast_and_gradients_are_finite():
    start, end = jax.random.normal(jax.random.key(0), (2, 3, 1, 4))
    path = slerp(start, end, WEIGHTS)
    assert path.shape == (3, 9, 4)
    np.testing.assert_allclose(path[1, 3], slerp(start[1, 0], end[1, 0], 3 / 8), rtol=1e-5, atol=1e-6)
    z = start[0, 0]
    gradients = jax.jit(jax.grad(lambda *ends: interpolation.slerp(*ends, 0.3).sum(), (0, 1)))
    for end in (z, -z, 0 * z):
        assert np.isfinite(gradients(z, end)).all() and np.isfinite(gradients(end, z)).all()
