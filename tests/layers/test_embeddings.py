"""Labels and times as networks read them."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.layers import time_embedding, with_label


@pytest.mark.parametrize("space", [(), (3, 2)])
def test_a_label_is_one_hot_channels_at_every_pixel(space):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *space, 4)), jnp.bfloat16)
    found = with_label(x, jnp.array([2, 0]), 3)
    assert found.shape == (2, *space, 7) and found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found[..., :4], x)
    np.testing.assert_array_equal(
        found[..., 4:], np.broadcast_to(np.eye(3)[[2, 0]].reshape(2, *(1,) * len(space), 3), found[..., 4:].shape)
    )


def test_without_classes_the_label_is_ignored():
    x = jnp.ones((2, 4))
    assert with_label(x, None, 0) is x and with_label(x, jnp.array([0, 1]), 0) is x


def test_classes_need_a_label():
    with pytest.raises(ValueError, match="label=None: a network of 3 classes needs a label"):
        with_label(jnp.ones((2, 4)), None, 3)


def test_the_embedding_of_time_is_sines_and_cosines():
    found = time_embedding(jnp.array([3.0]), 8)
    frequencies = 10_000.0 ** (-np.arange(4) / 3)
    np.testing.assert_allclose(found[0], [*np.sin(3 * frequencies), *np.cos(3 * frequencies)], rtol=1e-5)
