import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.optimisers import add_orthogonal_regularisation, clip_weights, orthogonality


def test_clipped_weights_stay_within_the_limit():
    params = {"a": jnp.array([0.005, -0.02, 0.0]), "b": jnp.array(0.009)}
    gradient = {"a": jnp.array([1.0, -2.0, 0.001]), "b": jnp.array(-1.0)}
    optimiser = optax.chain(optax.sgd(1.0), clip_weights(0.01))
    state = optimiser.init(params)
    updates, _ = optimiser.update(gradient, state, params)
    after = optax.apply_updates(params, updates)
    np.testing.assert_allclose(after["a"], [-0.01, 0.01, -0.001], rtol=1e-6)
    np.testing.assert_allclose(after["b"], 0.01, rtol=1e-6)


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_clip_of_nothing_is_refused(limit):
    with pytest.raises(ValueError, match="positive limit"):
        clip_weights(limit)


def test_orthogonality_counts_what_is_off_the_diagonal():
    orthogonal = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (6, 4)))[0]
    kernel = jnp.array([[1.0, 2.0], [3.0, 4.0]])  # gram [[10, 14], [14, 20]]
    assert float(orthogonality({"x": {"kernel": 3 * orthogonal, "bias": jnp.ones(4)}})) < 1e-8
    assert float(orthogonality({"x": {"kernel": kernel}})) == pytest.approx(2 * 14**2)
    convolution = {"x": {"kernel": jnp.stack([kernel, kernel]).reshape(2, 1, 2, 2)}}
    assert float(orthogonality(convolution)) == pytest.approx(2 * 28**2)
    with pytest.raises(ValueError, match="'kernel'"):
        orthogonality({"bias": jnp.ones(2)})


def test_orthogonal_regularisation_makes_kernels_orthogonal():
    params = {"kernel": jax.random.normal(jax.random.key(0), (8, 4)) / 3}
    optimiser = optax.chain(add_orthogonal_regularisation(1.0), optax.sgd(0.05))
    state = optimiser.init(params)
    for _ in range(200):
        updates, state = optimiser.update({"kernel": jnp.zeros((8, 4))}, state, params)
        params = optax.apply_updates(params, updates)
    assert float(orthogonality(params)) < 1e-3
    assert float(jnp.linalg.norm(params["kernel"], axis=0).min()) > 0.1
