"""The growing players: the paper's parameter counts, every size from one set of parameters, precision, fading."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.layers import enlarge
from jaxgen.networks import ProgressiveDiscriminator, ProgressiveGenerator
from jaxgen.networks.sizes import growth


def image(side, channels=3):
    return jax.ShapeDtypeStruct((4, side, side, channels), jnp.float32)


def test_parameters_at_the_papers_size(count):
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


def test_alpha_fades_from_the_smaller_image_to_the_newest_block(drawn):
    make, latent = ProgressiveGenerator((8, 8, 1), 2, 4), jnp.ones((2, 3))
    variables = drawn(make, latent)
    small, old, new, half = (
        make.clone(side=side, alpha=alpha).apply(variables, latent)
        for side, alpha in ((4, 1.0), (8, 0.0), (8, 1.0), (8, 0.5))
    )
    np.testing.assert_allclose(old, enlarge(small), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(half, (old + new) / 2, rtol=1e-5, atol=1e-6)
    assert float(jnp.abs(new - old).max()) > 1e-3


def test_bfloat16_answers_in_float32():
    made = ProgressiveGenerator((8, 8, 1), 2, dtype=jnp.bfloat16)
    judge = ProgressiveDiscriminator(8, 2, dtype=jnp.bfloat16)
    image, variables = made.init_with_output(jax.random.key(0), jnp.ones((2, 3)))
    logits, more = judge.init_with_output(jax.random.key(0), image)
    assert image.dtype == logits.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves([variables, more])} == {jnp.dtype("float32")}
    exact = made.clone(dtype=None).apply(variables, jnp.ones((2, 3)))
    np.testing.assert_allclose(image, exact, rtol=0.1, atol=0.1)
