"""Layers that change the resolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.layers import Upsample, enlarge, shrink


def output(layer, x):
    return jax.jit(lambda key: layer.init_with_output(key, x)[0])(jax.random.key(0))


def test_resampling():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert enlarge(jnp.asarray(x)).shape == (2, 6, 8, 5)
    np.testing.assert_array_equal(enlarge(jnp.asarray(x))[:, 1::2, ::2], x)
    corners = [x[:, i:2:2, j::2] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(shrink(jnp.asarray(x[:, :2])), sum(corners) / 4, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by", [2, 3])
def test_shrinking_undoes_enlarging(by):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
    np.testing.assert_allclose(shrink(enlarge(x, by), by), x, rtol=1e-6)


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("mode", ["transposed", "resize"])
def test_upsample_doubles_any_size(mode, kernel_size):
    assert output(Upsample(5, kernel_size, mode), jnp.zeros((2, 3, 7, 4))).shape == (2, 6, 14, 5)


def test_resize_convolution_of_a_flat_image_is_flat_inside():
    """There is no checkerboard: every pixel meets the same weights; with a transposed convolution they differ by
    phase."""
    image = jnp.ones((1, 8, 8, 2))
    flat, chequered = (output(Upsample(3, mode=mode), image)[0, 2:-2, 2:-2] for mode in ("resize", "transposed"))
    assert float(flat.std(axis=(0, 1)).max()) < 1e-6
    assert float(chequered.std(axis=(0, 1)).min()) > 1e-3
