"""The flows of points and of noise: exact inverses and determinants."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import Dequantiser, PointFlow


@pytest.mark.parametrize(
    "flow",
    [PointFlow((2,), "spline", 2, (8,), 4), PointFlow((3,), "affine", 2, (8,), classes=3)],
    ids=["splines", "affine"],
)
def test_inverse_and_log_determinant(flow, check_flow):
    check_flow(flow)


def test_points_of_one_feature_are_refused(shapes):
    with pytest.raises(ValueError, match=r"points of shape \(1,\): a coupling needs at least 2 features"):
        shapes(PointFlow((1,)), jnp.zeros((1, 1)))


def test_the_noise_of_the_dequantiser_has_its_density():
    noise, image = jax.random.normal(jax.random.key(1), (2, 2, 2, 2, 1))
    network = Dequantiser(2, 4)
    variables = jax.jit(partial(network.init, mutable=["params"]))({"params": jax.random.key(0)}, noise, image)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: x + jnp.asarray(0.2 * random.normal(size=x.shape), x.dtype), variables)
    apply = jax.jit(network.apply)
    u, log_det = apply(variables, noise, image)
    assert 0 < float(u.min()) < float(u.max()) < 1

    def made(noise):
        return network.apply(variables, noise.reshape(1, 2, 2, 1), image[:1])[0].reshape(-1)

    jacobian = jax.jit(jax.jacfwd(made))(noise[0].reshape(-1))
    np.testing.assert_allclose(log_det[0], np.linalg.slogdet(np.asarray(jacobian))[1], atol=1e-5)
    assert float(jnp.abs(u - apply(variables, noise, image + 1)[0]).max()) > 1e-3
