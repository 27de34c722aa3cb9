"""Every invertible layer against its Jacobian and its own inverse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.layers.bijectors import (
    ActNorm,
    Additive,
    Affine,
    Coupling,
    EdgeConv,
    InvertibleConv,
    RationalQuadratic,
    Reverse,
    Squeeze,
    Standardise,
    ZeroConv,
    logit,
    squeeze,
    unsqueeze,
)
from jaxgen.networks.flow import ConvConditioner, MLPConditioner


class Flipped(nn.Module):
    """A coupling whose other part stays."""

    coupling: nn.Module

    def __call__(self, x, condition=None, inverse=False):
        return self.coupling(x, condition, inverse, True)


conv, mlp = partial(ConvConditioner, width=4), partial(MLPConditioner, hidden=(8,))
spline = partial(RationalQuadratic, 5)
IMAGE, VECTOR = (4, 2, 3), (5,)
LAYERS = {
    "actnorm": (ActNorm(), IMAGE),
    "actnorm of vectors": (ActNorm(), VECTOR),
    "convolution": (InvertibleConv(), IMAGE),
    "convolution, LU": (InvertibleConv(lu=True), IMAGE),
    "permutation": (InvertibleConv(lu=True), VECTOR),
    "reverse": (Reverse(), VECTOR),
    "squeeze": (Squeeze(), IMAGE),
    "additive": (Coupling(conv, Additive), IMAGE),
    "affine": (Coupling(conv, Affine), IMAGE),
    "affine, tanh": (Coupling(conv, partial(Affine, "tanh"), "checkerboard"), IMAGE),
    "flipped": (Flipped(Coupling(conv, Affine)), IMAGE),
    "flipped checkerboard": (Flipped(Coupling(conv, Affine, "checkerboard")), IMAGE),
    "spline of images": (Coupling(conv, spline, "checkerboard"), IMAGE),
    "spline": (Coupling(mlp, spline), VECTOR),
    "affine of vectors": (Flipped(Coupling(mlp, Affine)), VECTOR),
}


def drawn(layer, *inputs, scale=0.1):
    """Variables with every parameter moved away from where it starts."""
    params = jax.jit(partial(layer.init, mutable=["params"]))({"params": jax.random.key(0)}, *inputs).get("params", {})
    random = np.random.default_rng(0)
    return {"params": jax.tree.map(lambda x: x + jnp.asarray(scale * random.normal(size=x.shape), x.dtype), params)}


def jacobian_log_det(f, x):
    """log |det| of the Jacobian of f at each example."""

    def one(x):
        jacobian = jax.jacfwd(lambda x: f(x[None])[0].reshape(-1))(x).reshape(x.size, x.size)
        return jnp.linalg.slogdet(jacobian)[1]

    return jax.lax.map(one, x)


def to_and_fro(layer, variables, x):
    """What comes out, what comes back, the two log-determinants, and that of the Jacobian."""
    y, log_det = layer.apply(variables, x)
    back, inverse_log_det = layer.apply(variables, y, None, True)
    return y, back, log_det, inverse_log_det, jacobian_log_det(lambda x: layer.apply(variables, x)[0], x)


@pytest.mark.parametrize("name", LAYERS)
def test_inverse_and_log_determinant(name, enable_x64):
    """To and fro to 1e-5 in single and 1e-10 in double precision, there of parameters far from their start."""
    layer, shape = LAYERS[name]
    for x64, scale, close in ((False, 0.1, 1e-5), (True, 0.3, 1e-10)):
        with enable_x64(x64):
            x = 1.5 * jax.random.normal(jax.random.key(1), (2, *shape), float if x64 else jnp.float32)
            variables = drawn(layer, x, scale=scale)
            y, back, log_det, inverse_log_det, expected = jax.jit(partial(to_and_fro, layer))(variables, x)
            assert y.dtype == x.dtype
            np.testing.assert_allclose(back, x, atol=close)
            np.testing.assert_allclose(inverse_log_det, -log_det, atol=close, rtol=close)
            np.testing.assert_allclose(log_det, expected, atol=10 * close, rtol=10 * close)


@pytest.mark.parametrize("condition", [(2, 3), (2, 4, 2, 5)])
def test_couplings_heed_their_condition_and_stay_invertible(condition):
    layer = Coupling(conv, Affine)
    x, given = jnp.ones((2, *IMAGE)), jax.random.normal(jax.random.key(1), condition)
    variables = drawn(layer, x, given)
    y, _ = layer.apply(variables, x, given)
    assert float(jnp.abs(y - layer.apply(variables, x, given + 1)[0]).max()) > 1e-3
    np.testing.assert_allclose(layer.apply(variables, y, given, True)[0], x, atol=1e-5)


def test_what_stays_stays():
    x = jax.random.normal(jax.random.key(1), (2, *IMAGE))
    for flip in (False, True):
        layer = Coupling(conv, Affine)
        changed = jnp.abs(layer.apply(drawn(layer, x), x, flip=flip)[0] - x).max((0, 1, 2)) > 0
        assert list(changed) == ([True, True, False] if flip else [False, True, True])
        layer = Coupling(conv, Affine, "checkerboard")
        changed = (jnp.abs(layer.apply(drawn(layer, x), x, flip=flip)[0] - x) > 0).all((0, 3))
        np.testing.assert_array_equal(changed, np.indices((4, 2)).sum(0) % 2 != flip)


def test_actnorm_takes_mean_and_variance_from_the_data_that_it_is_given():
    x = 3 * jax.random.normal(jax.random.key(1), (64, 4, 4, 2)) + jnp.array([5.0, -7.0])
    layer = ActNorm()
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(variables, x)[0], x)  # initialising reads shapes only
    _, variables = layer.apply(variables, x, mutable=["params"])
    y, _ = layer.apply(variables, x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), 1, rtol=1e-4)


def test_squeeze_takes_squares_apart():
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3).astype(jnp.float32)
    y = squeeze(x)
    assert y.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(y[1, 1, 2].reshape(2, 2, 3), x[1, 2:4, 4:6])
    np.testing.assert_array_equal(unsqueeze(y), x)
    with pytest.raises(ValueError, match="image size 4×5: squares of 2×2 pixels need even sides"):
        squeeze(jnp.zeros((1, 4, 5, 1)))


def test_the_learnt_prior_is_that_gaussian():
    z, context = jax.random.normal(jax.random.key(1), (2, 2, 2, 2, 3))
    layer, zeros = Standardise(), jnp.zeros((1, 2, 2, 6))
    start = layer.init({"params": jax.random.key(0)}, z, context, mutable=["params"])
    np.testing.assert_array_equal(layer.apply(start, z, context)[0], z)
    for given in (context, zeros):
        variables = drawn(layer, z, given)
        y, log_det = layer.apply(variables, z, given)
        expected = jacobian_log_det(lambda z, given=given, v=variables: layer.apply(v, z, given[:1])[0], z[:1])
        np.testing.assert_allclose(log_det[:1], expected, atol=1e-5)
        np.testing.assert_allclose(layer.apply(variables, y, given, inverse=True)[0], z, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 1e-4])
def test_logit(alpha):
    x = jnp.linspace(-1, 1, 12).reshape(3, 4)
    y, log_det = logit(x, alpha)
    np.testing.assert_allclose(jax.nn.sigmoid(y), alpha + (1 - 2 * alpha) * (x + 1) / 2, rtol=1e-4)
    np.testing.assert_allclose(log_det, jacobian_log_det(lambda x: logit(x, alpha)[0], x), rtol=1e-4)
    back, inverse_log_det = logit(y, alpha, inverse=True)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(inverse_log_det, -log_det, rtol=1e-5)


def test_splines_are_the_identity_at_their_start_and_outside_their_interval():
    x = jnp.linspace(-6, 6, 25)[None]
    spline = RationalQuadratic(5, 4.0)
    y, log_slope = spline.apply({}, x, jnp.zeros((1, 25 * 14)))
    np.testing.assert_allclose(y, x, atol=1e-5)
    np.testing.assert_allclose(log_slope, 0, atol=1e-5)
    parameters = jax.random.normal(jax.random.key(0), (1, 25 * 14))
    y, log_slope = spline.apply({}, x, parameters)
    outside = np.abs(x) >= 4
    np.testing.assert_array_equal(y[outside], x[outside])
    assert float(jnp.abs(y - x).max()) > 0.1 and float(jnp.abs(y[~outside]).max()) < 4


def test_the_edge_channel_is_one_further_input():
    """The convolution in two parts equals that of the padded image with a channel of its padding."""
    x = jax.random.normal(jax.random.key(1), (2, 4, 5, 3))
    layer = EdgeConv(6)
    variables = layer.init(jax.random.key(0), x)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    edge = jnp.pad(jnp.zeros((2, 4, 5, 1)), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
    expected = nn.Conv(6, (3, 3), padding="VALID", use_bias=False).apply(variables, jnp.concatenate([padded, edge], -1))
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)


def test_the_last_convolution_starts_at_zero_and_learns_its_scale_three_times_faster():
    x = jnp.ones((1, 4, 4, 2))
    layer = ZeroConv(3)
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(variables, x), 0)
    params = variables["params"] | {"bias": jnp.ones(3), "log_scale": jnp.full(3, 0.5)}
    np.testing.assert_allclose(layer.apply({"params": params}, x), np.exp(1.5), rtol=1e-5)
