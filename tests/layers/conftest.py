"""What the tests of invertible layers share."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def drawn():
    """Variables of a layer with every parameter moved away from where it starts."""

    def draw(layer, *inputs, scale=0.1):
        init = jax.jit(partial(layer.init, mutable=["params"]))
        params = init({"params": jax.random.key(0)}, *inputs).get("params", {})
        random = np.random.default_rng(0)
        return {"params": jax.tree.map(lambda x: x + jnp.asarray(scale * random.normal(size=x.shape), x.dtype), params)}

    return draw


@pytest.fixture
def jacobian_log_det():
    """log |det| of the Jacobian of a function at each example, by automatic differentiation."""

    def log_det(f, x):
        def one(x):
            jacobian = jax.jacfwd(lambda x: f(x[None])[0].reshape(-1))(x).reshape(x.size, x.size)
            return jnp.linalg.slogdet(jacobian)[1]

        return jax.lax.map(one, x)

    return log_det


@pytest.fixture
def check_inverse(enable_x64, drawn, jacobian_log_det):
    """A check that a layer and its inverse undo each other, and that both log-determinants are right.

    They agree to 1e-5 in single and to 1e-10 in double precision, there with parameters far from their start.
    """

    def check(layer, shape):
        def to_and_fro(variables, x):
            y, log_det = layer.apply(variables, x)
            back, inverse_log_det = layer.apply(variables, y, None, True)
            return y, back, log_det, inverse_log_det, jacobian_log_det(lambda x: layer.apply(variables, x)[0], x)

        for x64, scale, close in ((False, 0.1, 1e-5), (True, 0.3, 1e-10)):
            with enable_x64(x64):
                x = 1.5 * jax.random.normal(jax.random.key(1), (2, *shape), float if x64 else jnp.float32)
                variables = drawn(layer, x, scale=scale)
                y, back, log_det, inverse_log_det, expected = jax.jit(to_and_fro)(variables, x)
                assert y.dtype == x.dtype
                np.testing.assert_allclose(back, x, atol=close)
                np.testing.assert_allclose(inverse_log_det, -log_det, atol=close, rtol=close)
                np.testing.assert_allclose(log_det, expected, atol=10 * close, rtol=10 * close)

    return check
