"""Self-attention against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.layers import SelfAttention


def test_attention_against_its_formula():
    """NumPy computes it pixel by pixel; at the start, with γ = 0, the output is the image itself."""
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 8))
    layer = SelfAttention()
    shapes = jax.eval_shape(lambda: layer.init(jax.random.key(0), x, train=False))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.asarray(0.3 * random.normal(size=a.shape), a.dtype), shapes["params"])
    spectral = jax.tree.map(lambda a: jnp.ones(a.shape, a.dtype), shapes["spectral"])
    found = layer.apply({"params": params, "spectral": spectral}, x, train=False)
    kernels = []
    for i in range(4):
        kernel = np.asarray(params[f"Conv_{i}"]["kernel"], np.float64)[0, 0]
        u = np.ones(kernel.shape[1]) / np.sqrt(kernel.shape[1])  # the vector of ones, at length 1
        v = kernel @ u / np.linalg.norm(kernel @ u)
        kernels.append(kernel / (v @ kernel @ u))
    theta, phi, g, o = kernels
    pixels = np.asarray(x, np.float64)
    pooled = pixels.reshape(2, 2, 2, 3, 2, 8)
    key, value = ((pooled @ w).max((2, 4)).reshape(2, 6, -1) for w in (phi, g))
    logits = (pixels @ theta).reshape(2, 24, -1) @ key.swapaxes(1, 2)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = pixels + float(params["gamma"]) * (weights @ value @ o).reshape(2, 4, 6, 8)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    start = {"params": params | {"gamma": jnp.zeros(())}, "spectral": spectral}
    np.testing.assert_array_equal(layer.apply(start, x, train=False), x)


def test_attention_of_few_channels_is_refused():
    with pytest.raises(ValueError, match="at least 8"):
        jax.eval_shape(lambda: SelfAttention().init(jax.random.key(0), jnp.zeros((1, 4, 4, 4)), train=False))
