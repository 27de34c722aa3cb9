"""Every general bijector against its Jacobian and its own inverse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.layers.bijectors import (
    Additive,
    Affine,
    Coupling,
    RationalQuadratic,
    Reverse,
    Squeeze,
    logit,
    squeeze,
    unsqueeze,
)


class Network(nn.Module):
    """A network of one hidden layer that sees x, everywhere, and the condition."""

    features: int

    @nn.compact
    def __call__(self, x, condition=None):
        y = nn.Dense(4)(x) + (0 if x.ndim == 2 else nn.Dense(4)(x).mean((1, 2), keepdims=True))
        if condition is not None:
            code = nn.Dense(4)(condition)
            y += jnp.expand_dims(code, range(1, 1 + y.ndim - code.ndim))
        return nn.Dense(self.features)(jnp.tanh(y))


class Flipped(nn.Module):
    """A coupling whose other part stays."""

    coupling: nn.Module

    def __call__(self, x, condition=None, inverse=False):
        return self.coupling(x, condition, inverse, True)


spline = partial(RationalQuadratic, 5)
IMAGE, VECTOR = (4, 2, 3), (5,)
LAYERS = {
    "reverse": (Reverse(), VECTOR),
    "squeeze": (Squeeze(), IMAGE),
    "additive": (Coupling(Network, Additive), IMAGE),
    "affine": (Coupling(Network, Affine), IMAGE),
    "affine, tanh": (Coupling(Network, partial(Affine, "tanh"), "checkerboard"), IMAGE),
    "flipped": (Flipped(Coupling(Network, Affine)), IMAGE),
    "flipped checkerboard": (Flipped(Coupling(Network, Affine, "checkerboard")), IMAGE),
    "spline of images": (Coupling(Network, spline, "checkerboard"), IMAGE),
    "spline": (Coupling(Network, spline), VECTOR),
    "affine of vectors": (Flipped(Coupling(Network, Affine)), VECTOR),
}


@pytest.mark.parametrize("name", LAYERS)
def test_inverse_and_log_determinant(name, check_inverse):
    check_inverse(*LAYERS[name])


@pytest.mark.parametrize("condition", [(2, 3), (2, 4, 2, 5)])
def test_couplings_heed_their_condition_and_stay_invertible(condition, drawn):
    layer = Coupling(Network, Affine)
    x, given = jnp.ones((2, *IMAGE)), jax.random.normal(jax.random.key(1), condition)
    variables = drawn(layer, x, given)
    y, _ = layer.apply(variables, x, given)
    assert float(jnp.abs(y - layer.apply(variables, x, given + 1)[0]).max()) > 1e-3
    np.testing.assert_allclose(layer.apply(variables, y, given, True)[0], x, atol=1e-5)


def test_what_stays_stays(drawn):
    x = jax.random.normal(jax.random.key(1), (2, *IMAGE))
    for flip in (False, True):
        layer = Coupling(Network, Affine)
        changed = jnp.abs(layer.apply(drawn(layer, x), x, flip=flip)[0] - x).max((0, 1, 2)) > 0
        assert list(changed) == ([True, True, False] if flip else [False, True, True])
        layer = Coupling(Network, Affine, "checkerboard")
        changed = (jnp.abs(layer.apply(drawn(layer, x), x, flip=flip)[0] - x) > 0).all((0, 3))
        np.testing.assert_array_equal(changed, np.indices((4, 2)).sum(0) % 2 != flip)


def test_squeeze_takes_squares_apart():
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3).astype(jnp.float32)
    y = squeeze(x)
    assert y.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(y[1, 1, 2].reshape(2, 2, 3), x[1, 2:4, 4:6])
    np.testing.assert_array_equal(unsqueeze(y), x)
    with pytest.raises(ValueError, match="image size 4×5: squares of 2×2 pixels need even sides"):
        squeeze(jnp.zeros((1, 4, 5, 1)))


@pytest.mark.parametrize("alpha", [0.05, 1e-4])
def test_logit(alpha, jacobian_log_det):
    x = jnp.linspace(-1, 1, 12).reshape(3, 4)
    y, log_det = logit(x, alpha)
    np.testing.assert_allclose(jax.nn.sigmoid(y), alpha + (1 - 2 * alpha) * (x + 1) / 2, rtol=1e-4)
    np.testing.assert_allclose(log_det, jacobian_log_det(lambda x: logit(x, alpha)[0], x), rtol=1e-4)
    back, inverse_log_det = logit(y, alpha, inverse=True)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-5)


def test_layers_note_whether_their_output_is_finite(drawn):
    layer, x = Coupling(Network, Affine), jnp.ones((2, *VECTOR))
    variables = drawn(layer, x)
    for value, finite in ((1.0, True), (jnp.inf, False), (jnp.nan, False)):
        _, noted = layer.apply(variables, x.at[0, 0].set(value), mutable=["finite"])
        assert bool(noted["finite"]["all"]) == finite
