"""Glow's layers against their Jacobians, their inverses and the formulas of the paper."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.layers.bijectors import Affine, Coupling, RationalQuadratic
from jaxgen.layers.glow import ActNorm, EdgeConv, InvertibleConv, NormalisedConv, Standardise, ZeroConv

IMAGE, VECTOR = (4, 2, 3), (5,)


class Conditioner(nn.Module):
    """A coupling's network of Glow's convolutions."""

    features: int

    @nn.compact
    def __call__(self, x, condition=None):
        y = nn.relu(NormalisedConv(4, 3)(x))
        return ZeroConv(self.features)(nn.relu(NormalisedConv(4, 1)(y)))


LAYERS = {
    "actnorm": (ActNorm(), IMAGE),
    "actnorm of vectors": (ActNorm(), VECTOR),
    "convolution": (InvertibleConv(), IMAGE),
    "convolution, LU": (InvertibleConv(lu=True), IMAGE),
    "permutation": (InvertibleConv(lu=True), VECTOR),
    "coupling": (Coupling(Conditioner, Affine), IMAGE),
    "coupling, checkerboard": (Coupling(Conditioner, partial(RationalQuadratic, 5), "checkerboard"), IMAGE),
}


@pytest.mark.parametrize("name", LAYERS)
def test_inverse_and_log_determinant(name, check_inverse):
    check_inverse(*LAYERS[name])


def test_actnorm_takes_mean_and_variance_from_the_data_that_it_is_given():
    x = 3 * jax.random.normal(jax.random.key(1), (64, 4, 4, 2)) + jnp.array([5.0, -7.0])
    layer = ActNorm()
    variables = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(variables, x)[0], x)  # initialising reads shapes only
    _, variables = layer.apply(variables, x, mutable=["params"])
    y, _ = layer.apply(variables, x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), 1, rtol=1e-4)


def test_the_learnt_prior_is_that_gaussian(drawn, jacobian_log_det):
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
