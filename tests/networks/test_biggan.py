"""BigGAN's players: published parameter counts, and what reaches image and logit."""

import jax
import jax.numpy as jnp
import pytest

from jaxgen.networks import BigGANDiscriminator, BigGANGenerator
from jaxgen.networks.biggan import widths

label = jnp.array([0, 1], jnp.int32)


def test_parameter_counts_as_published_by_the_authors(count):
    make, judge = widths(128, 96)
    latent, image = jnp.zeros((2, 120)), jnp.zeros((2, 128, 128, 3))
    assert count(BigGANGenerator((128, 128, 3), make, 1000), latent, label) == 70_433_988
    assert count(BigGANDiscriminator(judge, 5, 1000), image, label) == 87_982_370
    latent, image = jnp.zeros((2, 128)), jnp.zeros((2, 32, 32, 3))
    assert count(BigGANGenerator((32, 32, 3), (256,) * 4, 10, None, None), latent, label) == 4_304_387
    assert count(BigGANDiscriminator((256,) * 4, 2, 10, None), image, label) == 4_207_361


def test_layouts_of_appendix_b():
    assert widths(64, 1) == ((16, 16, 8, 4, 2), (1, 2, 4, 8, 16))
    assert widths(256, 1) == ((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16))
    with pytest.raises(ValueError, match="64, 128, 256 pixels"):
        widths(28, 1)


@pytest.mark.parametrize("embedding", [3, None])
def test_every_part_of_the_latent_and_the_class_reach_the_image(embedding, drawn):
    network = BigGANGenerator((8, 8, 1), (8, 8, 8), 2, embedding=embedding, attention=8)
    variables, apply = drawn(network, jnp.zeros((2, 6)), label), jax.jit(network.apply)
    latent = jax.random.normal(jax.random.key(1), (2, 6))
    base = apply(variables, latent, label)
    for unit in range(6):
        assert float(jnp.abs(apply(variables, latent.at[:, unit].add(1.0), label) - base).max()) > 1e-4
    assert float(jnp.abs(apply(variables, latent, 1 - label) - base).max()) > 1e-4


def test_latent_that_the_blocks_cannot_share_is_refused():
    network = BigGANGenerator((8, 8, 1), (8, 8, 8), 2, embedding=3, attention=8)
    with pytest.raises(ValueError, match="a multiple of 3 is needed"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((2, 7)), label)


def test_class_and_pixels_reach_the_logit(drawn):
    network = BigGANDiscriminator((8, 8), 1, 2, attention=4)
    image = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    variables, apply = drawn(network, image, label), jax.jit(network.apply)
    base = apply(variables, image, label)
    assert base.shape == (2,)
    assert float(jnp.abs(apply(variables, image, 1 - label) - base).min()) > 1e-4
    assert float(jnp.abs(apply(variables, -image, label) - base).min()) > 1e-4
