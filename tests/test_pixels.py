import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.pixels import normalise, to_uint8, to_unit


def test_every_byte_goes_to_the_interval_and_back():
    image = jnp.arange(256, dtype=jnp.uint8)
    there = jax.jit(normalise)(image)
    assert there.dtype == jnp.float32
    assert (there[0], there[-1]) == (-1, 1)
    np.testing.assert_allclose(there, np.arange(256) / 127.5 - 1, atol=1e-7)
    np.testing.assert_array_equal(to_uint8(there), image)


def test_a_float_image_passes_as_it_is():
    points = jnp.array([[-3.5, 7.0]])
    assert normalise(points) is points


def test_to_uint8_rounds_and_clips():
    assert to_uint8(jnp.array([-2.0, -1.0, 0.0, 0.006, 1.0, 9.0])).tolist() == [0, 0, 128, 128, 255, 255]
    assert to_uint8(jnp.array([-1.0, 1.0], jnp.bfloat16)).tolist() == [0, 255]


def test_to_unit():
    assert to_unit(jnp.array([-1.0, 0.0, 1.0])).tolist() == [0, 0.5, 1]
