"""What the tests of convolution share: JAX's native operation, and comparison of trees of arrays."""

import jax
import numpy as np
import pytest
from jax import lax


@pytest.fixture
def native():
    """JAX's native convolution, called as `conv` is."""

    def conv(x, w, strides, padding):
        strides = (strides, strides) if isinstance(strides, int) else strides
        padding = [(padding, padding)] * 2 if isinstance(padding, int) else padding
        return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    return conv


@pytest.fixture
def assert_close():
    """A check that two trees of arrays agree in structure, shapes, types and values."""

    def check(ours, theirs, tolerance=1e-9):
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))

    return check
