"""DiscoGAN's players: parameters, shapes, features, sizes that are refused."""

import jax.numpy as jnp
import pytest

from jaxgen.networks import DiscoGANDiscriminator, DiscoGANGenerator


def test_parameters_of_the_published_networks(count):
    image = jnp.zeros((1, 64, 64, 3))
    assert count(DiscoGANGenerator(), image) == 5_513_856
    assert count(DiscoGANDiscriminator(), image) == 2_765_568


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_the_generator_keeps_the_size_and_changes_the_channels(upsampling, shapes):
    network = DiscoGANGenerator(2, width=2, upsampling=upsampling)
    assert shapes(network, jnp.zeros((2, 12, 20, 3)))[0].shape == (2, 12, 20, 2)


def test_features_are_the_activations_of_all_layers_but_the_first(shapes):
    logit, features = shapes(DiscoGANDiscriminator(width=2), jnp.zeros((3, 32, 16, 3)))[0]
    assert logit.shape == (3,)
    assert [x.shape for x in features] == [(3, 8, 4, 4)]


def test_sizes_that_they_cannot_take(check_refused):
    for network in (DiscoGANGenerator(), DiscoGANDiscriminator()):
        check_refused(network, (7, 7), "a convolutional network needs even sides", jnp.zeros((1, 7, 7, 3)))
