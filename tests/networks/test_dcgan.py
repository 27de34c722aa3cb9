"""The players of DCGAN and of the CIFAR-10 benchmarks: parameter counts, shapes, labels, precision."""

import jax
import jax.numpy as jnp
import pytest

from jaxgen.networks import DCGANDiscriminator, DCGANGenerator, DeepConvDiscriminator, DeepConvGenerator

PLAYERS = [(DCGANGenerator, DCGANDiscriminator), (DeepConvGenerator, DeepConvDiscriminator)]


def test_parameter_counts(count):
    assert count(DCGANGenerator((64, 64, 3)), jnp.zeros((2, 100))) == 3_576_704
    assert count(DCGANDiscriminator(), jnp.zeros((2, 64, 64, 3))) == 2_765_568
    assert count(DeepConvGenerator((32, 32, 3)), jnp.zeros((2, 128))) == 3_812_355
    assert count(DeepConvDiscriminator(), jnp.zeros((2, 32, 32, 3))) == 2_931_009


@pytest.mark.parametrize(("generator", "discriminator"), PLAYERS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 16, 3), (28, 28, 1), (12, 20, 2), (64, 64, 3), (40, 16, 4)])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes_at_every_size(generator, discriminator, shape, classes, check_players):
    given = (jnp.zeros(2, jnp.int32),) if classes else ()
    check_players(generator(shape, 4, classes=classes), discriminator(4, classes=classes), shape, *given)


@pytest.mark.parametrize(("generator", "discriminator"), PLAYERS)
def test_labels_reach_both_players(generator, discriminator, check_label):
    check_label(generator((8, 8, 1), 4, classes=2), jax.random.normal(jax.random.key(2), (4, 7)))
    check_label(discriminator(4, classes=2), jax.random.normal(jax.random.key(1), (4, 8, 8, 1)))


@pytest.mark.parametrize(("generator", "discriminator"), PLAYERS)
def test_sizes_that_do_not_fit_are_refused_by_name(generator, discriminator, check_refused):
    check_refused(generator((7, 8, 1)), (7, 8), "even sides", jnp.zeros((1, 7)))
    check_refused(discriminator(), (7, 8), "even sides", jnp.zeros((1, 7, 8, 1)))


@pytest.mark.parametrize(("generator", "discriminator"), PLAYERS)
def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(generator, discriminator, check_bfloat16):
    check_bfloat16(generator((8, 8, 1), 4, dtype=jnp.bfloat16), jnp.zeros((2, 7)))
    check_bfloat16(discriminator(4, dtype=jnp.bfloat16), jnp.zeros((2, 8, 8, 1)))


def test_bfloat16_is_close_to_float32():
    network = DCGANGenerator((16, 16, 1), width=4, dtype=jnp.bfloat16)
    z = jax.random.normal(jax.random.key(1), (4, 7))
    variables = network.init(jax.random.key(0), z)
    image = network.apply(variables, z)
    exact = DCGANGenerator((16, 16, 1), width=4).apply(variables, z)
    assert 0 < float(jnp.abs(image - exact).max()) < 0.05
