"""BigGAN-deep's players: published parameter counts, and what reaches image and logit."""

import jax
import jax.numpy as jnp

from jaxgen.networks import BigGANDeepDiscriminator, BigGANDeepGenerator
from jaxgen.networks.biggan import widths

label = jnp.array([0, 1], jnp.int32)


def test_parameter_counts_of_google_compare_gan(count):
    make, judge = widths(128, 128)
    latent, image = jnp.zeros((2, 128)), jnp.zeros((2, 128, 128, 3))
    assert count(BigGANDeepGenerator((128, 128, 3), make, 1000), latent, label) == 50_244_484
    assert count(BigGANDeepDiscriminator(judge, 1000), image, label) == 34_590_210


def test_every_unit_of_the_latent_and_the_class_reach_the_image(drawn):
    network = BigGANDeepGenerator((8, 8, 1), (8, 8, 8), 2, embedding=3, attention=8)
    variables, apply = drawn(network, jnp.zeros((2, 6)), label), jax.jit(network.apply)
    latent = jax.random.normal(jax.random.key(1), (2, 6))
    base = apply(variables, latent, label)
    for unit in range(6):
        assert float(jnp.abs(apply(variables, latent.at[:, unit].add(1.0), label) - base).max()) > 1e-4
    assert float(jnp.abs(apply(variables, latent, 1 - label) - base).max()) > 1e-4


def test_class_and_pixels_reach_the_logit(drawn):
    network = BigGANDeepDiscriminator((4, 8), 2, attention=4)
    image = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    variables, apply = drawn(network, image, label), jax.jit(network.apply)
    base = apply(variables, image, label)
    assert base.shape == (2,)
    assert float(jnp.abs(apply(variables, image, 1 - label) - base).min()) > 1e-4
    assert float(jnp.abs(apply(variables, -image, label) - base).min()) > 1e-4
