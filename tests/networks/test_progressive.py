import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import ProgressiveDiscriminator, ProgressiveGenerator
from jaxgen.networks.progressive import growth


def count(network, *inputs):
    return sum(x.size for x in jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0), *inputs)))


def image(side, channels=3):
    return jax.ShapeDtypeStruct((4, side, side, channels), jnp.float32)


def test_parameters_at_the_papers_size():
    assert count(ProgressiveGenerator((1024, 1024, 3)), jnp.zeros((1, 512))) == 23_079_115
    assert count(ProgressiveDiscriminator(1024), image(1024)) == 23_087_249


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_size_from_one_set_of_parameters(channels):
    make, judge = ProgressiveGenerator((32, 32, channels), 4, 16), ProgressiveDiscriminator(32, 4, 16)
    made = jax.eval_shape(make.init, jax.random.key(0), jnp.zeros((2, 6)))
    judged = jax.eval_shape(judge.init, jax.random.key(0), image(32, channels))
    for side in growth(32, 32):
        shown = jax.eval_shape(make.clone(side=side).apply, made, jnp.zeros((2, 6)))
        assert shown.shape == (2, side, side, channels) and shown.dtype == jnp.float32
        assert jax.eval_shape(judge.apply, judged, image(side, channels)).shape == (4,)


def test_bfloat16_answers_in_float32():
    made = ProgressiveGenerator((8, 8, 1), 2, dtype=jnp.bfloat16)
    judge = ProgressiveDiscriminator(8, 2, dtype=jnp.bfloat16)
    image, variables = made.init_with_output(jax.random.key(0), jnp.ones((2, 3)))
    logits, more = judge.init_with_output(jax.random.key(0), image)
    assert image.dtype == logits.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves([variables, more])} == {jnp.dtype("float32")}
    exact = made.clone(dtype=None).apply(variables, jnp.ones((2, 3)))
    np.testing.assert_allclose(image, exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("size", [(4, 4), (12, 12), (16, 32), (28, 28)])
def test_sizes_that_cannot_be_grown_are_refused(size):
    with pytest.raises(ValueError, match=f"image size {size[0]}×{size[1]}: progressive growing needs a square of 8"):
        growth(*size)
