import jax
import jax.numpy as jnp
import pytest

from jaxgen.networks import (
    ConvDecoder,
    ConvEncoder,
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDecoder,
    MLPDiscriminator,
    MLPEncoder,
    MLPGenerator,
)
from jaxgen.networks.convolutional import pyramid

MNIST = (28, 28, 1)


def count(network, *inputs):
    params = jax.eval_shape(network.init, jax.random.key(0), *inputs)["params"]
    return sum(x.size for x in jax.tree.leaves(params))


def images(shape, n=2):
    return jnp.zeros((n, *shape))


label = jnp.zeros(2, jnp.int32)


@pytest.mark.parametrize(
    ("networks", "parameters"),
    [
        ((MLPEncoder(20, (500,)), images(MNIST), MLPDecoder(MNIST, (500,)), jnp.zeros((2, 20))), 815_824),
        ((MLPEncoder(40, (400,)), images(MNIST), MLPDecoder(MNIST, (400,)), jnp.zeros((2, 40))), 676_864),
    ],
)
def test_vae_parameter_counts(networks, parameters):
    encoder, image, decoder, z = networks
    assert count(encoder, image) + count(decoder, z) == parameters


def test_gan_parameter_counts():
    assert count(MLPGenerator(MNIST, classes=10), jnp.zeros((2, 100)), label) == 548_112
    assert count(MLPDiscriminator(classes=10), images(MNIST), label) == 477_249
    assert count(DCGANGenerator((64, 64, 3)), jnp.zeros((2, 100))) == 3_576_704
    assert count(DCGANDiscriminator(), images((64, 64, 3))) == 2_765_568


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (28, 28, 1), (12, 20, 2), (64, 64, 3), (32, 16, 4)])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes_at_every_size(shape, classes):
    given = (label,) if classes else ()

    def output(network, *inputs):
        return jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs)[0]

    z = jnp.zeros((2, 7))
    for encoder in (MLPEncoder(7, classes=classes), ConvEncoder(7, width=4, classes=classes)):
        assert [x.shape for x in output(encoder, images(shape), *given)] == [(2, 7), (2, 7)]
    for network in (
        MLPDecoder(shape, classes=classes),
        ConvDecoder(shape, width=4, classes=classes),
        MLPGenerator(shape, classes=classes),
        DCGANGenerator(shape, width=4, classes=classes),
    ):
        assert output(network, z, *given).shape == (2, *shape)
    for network in (MLPDiscriminator(classes=classes), DCGANDiscriminator(width=4, classes=classes)):
        assert output(network, images(shape), *given).shape == (2,)


@pytest.mark.parametrize("shape", [(7, 7), (6, 6), (28, 27), (4, 8)])
def test_sizes_that_cannot_be_halved_are_refused_by_name(shape):
    with pytest.raises(ValueError, match=f"image size {shape[0]}×{shape[1]}"):
        pyramid(*shape)


def test_labels_reach_every_conditional_network():
    z, image = jax.random.normal(jax.random.key(1), (4, 7)), images((8, 8, 1), 4)
    zeros, ones = jnp.zeros(4, jnp.int32), jnp.ones(4, jnp.int32)
    for network, x in (
        (MLPDecoder((8, 8, 1), classes=2), z),
        (ConvDecoder((8, 8, 1), classes=2), z),
        (MLPGenerator((8, 8, 1), classes=2), z),
        (DCGANGenerator((8, 8, 1), classes=2), z),
        (MLPDiscriminator(classes=2), image),
        (DCGANDiscriminator(classes=2), image),
    ):
        variables = network.init(jax.random.key(0), x, zeros)
        assert float(jnp.abs(network.apply(variables, x, zeros) - network.apply(variables, x, ones)).max()) > 0


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32():
    network = DCGANGenerator((16, 16, 1), width=4, dtype=jnp.bfloat16)
    z = jax.random.normal(jax.random.key(1), (4, 7))
    variables = network.init(jax.random.key(0), z)
    image = network.apply(variables, z)
    exact = DCGANGenerator((16, 16, 1), width=4).apply(variables, z)
    assert image.dtype == jnp.float32 and {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert 0 < float(jnp.abs(image - exact).max()) < 0.05
