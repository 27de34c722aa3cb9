"""CycleGAN's generator: parameters, shapes, sizes that are refused."""

import jax.numpy as jnp
import pytest

from jaxgen.networks import CycleGANGenerator


def test_parameters_of_the_published_network(count):
    assert count(CycleGANGenerator(), jnp.zeros((1, 256, 256, 3))) == 11_378_179


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_it_keeps_the_size_and_changes_the_channels(upsampling, shapes):
    network = CycleGANGenerator(2, width=2, blocks=1, upsampling=upsampling)
    assert shapes(network, jnp.zeros((2, 12, 20, 3)))[0].shape == (2, 12, 20, 2)


@pytest.mark.parametrize(("size", "message"), [((30, 32), "multiples of 4"), ((4, 8), "multiples of 4, at least 8")])
def test_sizes_that_it_cannot_take(size, message, check_refused):
    check_refused(CycleGANGenerator(), size, message, jnp.zeros((1, *size, 3)))
