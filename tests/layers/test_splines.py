"""Monotone splines: the identity at their start and outside their interval, increasing, with their slope."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.layers.splines import rational_quadratic_spline

K = 5


def drawn(shape, scale=2.0):
    random = np.random.default_rng(0)
    return [jnp.asarray(scale * random.normal(size=(*shape, k)), jnp.float32) for k in (K, K, K - 1)]


def test_splines_are_the_identity_at_their_start_and_outside_their_interval():
    x = jnp.linspace(-6, 6, 25)
    y, log_slope = rational_quadratic_spline(x, *drawn(x.shape, 0.0), 4.0)
    np.testing.assert_allclose(y, x, atol=1e-5)
    np.testing.assert_allclose(log_slope, 0, atol=1e-5)
    y, log_slope = rational_quadratic_spline(x, *drawn(x.shape), 4.0)
    outside = np.abs(x) >= 4
    np.testing.assert_array_equal(y[outside], x[outside])
    np.testing.assert_array_equal(log_slope[outside], 0)
    assert float(jnp.abs(y - x).max()) > 0.1 and float(jnp.abs(y[~outside]).max()) < 4


def test_one_spline_increases_with_the_slope_that_it_returns():
    parameters = [p[0] for p in drawn((1,))]

    def spline(x, inverse=False):
        return rational_quadratic_spline(x, *parameters, 3.0, inverse)

    x = jnp.linspace(-3.5, 3.5, 101)
    y, log_slope = jax.jit(jax.vmap(spline))(x)
    assert (jnp.diff(y) > 0).all()
    np.testing.assert_allclose(jax.vmap(jax.grad(lambda x: spline(x)[0]))(x), jnp.exp(log_slope), rtol=1e-3)
    back, log_inverse_slope = jax.jit(jax.vmap(lambda y: spline(y, True)))(y)
    np.testing.assert_allclose(back, x, atol=1e-4)
    np.testing.assert_allclose(log_inverse_slope, -log_slope, atol=1e-3)
