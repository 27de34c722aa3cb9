"""The convolutional players of WGAN-GP: parameter counts, odd sizes, labels, initial weights, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import WGANGPDiscriminator, WGANGPGenerator

MNIST, CIFAR = (28, 28, 1), (32, 32, 3)
image = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
latent = jax.random.normal(jax.random.key(2), (4, 7))


@pytest.mark.parametrize(
    ("network", "shape", "parameters"),
    [
        (WGANGPGenerator(MNIST), (128,), 1_554_177),
        (WGANGPDiscriminator(), MNIST, 1_030_145),
        (WGANGPGenerator(CIFAR, 128, batch_norm=True), (128,), 5_179_907),
        (WGANGPDiscriminator(128), CIFAR, 4_114_689),
    ],
)
def test_parameter_counts(network, shape, parameters, count):
    assert count(network, jnp.zeros((2, *shape))) == parameters


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (40, 16, 4), (5, 6, 1), (27, 31, 3), (7, 50, 2)])
def test_shapes_at_even_and_odd_sizes(shape, classes, check_players):
    given = (jnp.zeros(2, jnp.int32),) if classes else ()
    check_players(WGANGPGenerator(shape, 4, classes=classes), WGANGPDiscriminator(4, classes=classes), shape, *given)


def test_labels_reach_both_players(check_label):
    check_label(WGANGPGenerator((8, 8, 1), 4, classes=2), latent)
    check_label(WGANGPDiscriminator(4, classes=2), image)


def test_sizes_that_do_not_fit_are_refused_by_name(check_refused):
    check_refused(WGANGPGenerator((4, 9, 1)), (4, 9), "at least 5", latent)
    check_refused(WGANGPDiscriminator(), (4, 9), "at least 5", jnp.zeros((1, 4, 9, 1)))


def test_weights_start_with_the_authors_variance(initial):
    kernel = initial(WGANGPDiscriminator(64), image, "Conv_0", "kernel")
    np.testing.assert_allclose(jnp.var(kernel), 4 / (25 + 25 * 64 / 4), rtol=0.1)
    kernel = initial(WGANGPGenerator((16, 16, 64), 32), latent, "ConvTranspose_0", "kernel")
    assert kernel.shape == (5, 5, 32, 64)  # from 64 channels to 32 at twice the size
    np.testing.assert_allclose(jnp.var(kernel), 4 / (25 * 64 / 4 + 25 * 32), rtol=0.05)


def test_the_critic_has_no_statistics_of_the_batch(shapes):
    assert shapes(WGANGPDiscriminator(4), image)[1].keys() == {"params"}


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(check_bfloat16):
    check_bfloat16(WGANGPGenerator((8, 8, 1), 4, batch_norm=True, dtype=jnp.bfloat16), latent)
    check_bfloat16(WGANGPDiscriminator(4, dtype=jnp.bfloat16), image)
