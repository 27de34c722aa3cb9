"""The multi-layer perceptrons: parameter counts, shapes, labels."""

import jax.numpy as jnp
import pytest

from jaxgen.networks import MLPDecoder, MLPDiscriminator, MLPEncoder, MLPGenerator

MNIST = (28, 28, 1)
label = jnp.zeros(2, jnp.int32)


@pytest.mark.parametrize(("latent", "hidden", "parameters"), [(20, 500, 815_824), (40, 400, 676_864)])
def test_parameters_of_the_vae(latent, hidden, parameters, count):
    encoder = count(MLPEncoder(latent, (hidden,)), jnp.zeros((2, *MNIST)))
    assert encoder + count(MLPDecoder(MNIST, (hidden,)), jnp.zeros((2, latent))) == parameters


def test_parameters_of_the_gan(count):
    assert count(MLPGenerator(MNIST, classes=10), jnp.zeros((2, 100)), label) == 548_112
    assert count(MLPDiscriminator(classes=10), jnp.zeros((2, *MNIST)), label) == 477_249


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 20, 2), (7, 5, 3)])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes(shape, classes, shapes, check_players):
    given = (label,) if classes else ()
    encoded = shapes(MLPEncoder(7, classes=classes), jnp.zeros((2, *shape)), *given)[0]
    assert [x.shape for x in encoded] == [(2, 7), (2, 7)]
    assert shapes(MLPDecoder(shape, classes=classes), jnp.zeros((2, 7)), *given)[0].shape == (2, *shape)
    check_players(MLPGenerator(shape, classes=classes), MLPDiscriminator(classes=classes), shape, *given)


def test_labels_reach_every_conditional_network(check_label):
    z, image = jnp.ones((4, 7)), jnp.ones((4, 8, 8, 1))
    check_label(MLPDecoder((8, 8, 1), (8,), 2), z)
    check_label(MLPGenerator((8, 8, 1), 4, (8,), 2), z)
    check_label(MLPDiscriminator((8,), 4, 4, 2), image)
