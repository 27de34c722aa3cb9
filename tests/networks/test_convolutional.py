"""The convolutional encoder and decoder: shapes at many sizes, labels, sizes that are refused."""

import jax.numpy as jnp
import pytest

from jaxgen.networks import ConvDecoder, ConvEncoder


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (28, 28, 1), (12, 20, 2), (64, 64, 3), (32, 16, 4)])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes_at_every_size(shape, classes, shapes):
    given = (jnp.zeros(2, jnp.int32),) if classes else ()
    encoded = shapes(ConvEncoder(7, width=4, classes=classes), jnp.zeros((2, *shape)), *given)[0]
    assert [x.shape for x in encoded] == [(2, 7), (2, 7)]
    decoded = shapes(ConvDecoder(shape, width=4, classes=classes), jnp.zeros((2, 7)), *given)[0]
    assert decoded.shape == (2, *shape) and decoded.dtype == jnp.float32


def test_the_label_reaches_the_decoder(check_label):
    check_label(ConvDecoder((8, 8, 1), 4, 8, classes=2), jnp.ones((4, 7)))


def test_sizes_that_do_not_fit_are_refused_by_name(check_refused):
    check_refused(ConvEncoder(), (28, 27), "even sides", jnp.zeros((1, 28, 27, 1)))
    check_refused(ConvDecoder((6, 6, 1)), (6, 6), "at least 8", jnp.zeros((1, 7)))
