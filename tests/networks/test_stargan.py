"""StarGAN's players: parameters, shapes, label maps, sizes that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import StarGANDiscriminator, StarGANGenerator


def test_parameters_of_the_published_networks(count):
    image = jnp.zeros((1, 128, 128, 3))
    assert count(StarGANGenerator(), image, jnp.zeros((1, 5))) == 8_430_528
    assert count(StarGANDiscriminator(5), image) == 44_762_048


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_other_sizes(upsampling, shapes):
    image, generator = jnp.zeros((2, 16, 48, 1)), StarGANGenerator(1, width=2, blocks=1, upsampling=upsampling)
    assert shapes(generator, image, jnp.zeros((2, 3)))[0].shape == image.shape
    values, logits = shapes(StarGANDiscriminator(7, width=2), image)[0]
    assert values.shape == (2, 2, 6)
    assert logits.shape == (2, 7)


def test_label_maps_follow_the_image():
    """The first kernel of StarGAN's generator sees the image in its first channels, then each attribute, a constant."""
    network = StarGANGenerator(1, width=2, blocks=1)
    image, attributes = jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, 3))
    variables = network.init(jax.random.key(0), image, attributes)
    kernel = variables["params"]["Conv_0"]["kernel"]
    assert kernel.shape == (7, 7, 4, 2)

    def first(image, attributes):
        _, kept = network.apply(variables, image, attributes, capture_intermediates=True)
        return kept["intermediates"]["Conv_0"]["__call__"][0][0, 4, 4]  # all of its window is inside

    for i in range(3):
        made = first(image, attributes.at[0, i].set(1))
        np.testing.assert_allclose(made, kernel[:, :, 1 + i].sum((0, 1)), atol=1e-5)


def test_sizes_that_they_cannot_take(check_refused):
    check_refused(StarGANDiscriminator(3), (20, 24), "multiples of 8", jnp.zeros((1, 20, 24, 3)))
    check_refused(StarGANGenerator(), (30, 32), "multiples of 4", jnp.zeros((1, 30, 32, 3)), jnp.zeros((1, 5)))
