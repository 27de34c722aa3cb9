"""The networks of the disentanglement literature: parameter counts, shapes, FactorVAE's logit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import BetaVAEDecoder, BetaVAEEncoder, FactorVAEDiscriminator


def test_parameter_counts(count):
    image, z = jnp.zeros((2, 64, 64, 1)), jnp.zeros((2, 10))
    encoder, decoder = count(BetaVAEEncoder(), image), count(BetaVAEDecoder((64, 64, 1)), z)
    assert (encoder, decoder) == (309_204, 381_313) and encoder + decoder == 690_517
    assert count(FactorVAEDiscriminator(), z) == 5_018_002


@pytest.mark.parametrize("shape", [(64, 64, 1), (16, 48, 3)])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes(shape, classes):
    label = (jnp.zeros(2, jnp.int32),) if classes else ()

    def output(network, *inputs):
        return jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs, *label)[0]

    mean, log_variance = output(BetaVAEEncoder(7, classes), jnp.zeros((2, *shape)))
    assert mean.shape == log_variance.shape == (2, 7)
    assert output(BetaVAEDecoder(shape, classes), jnp.zeros((2, 7))).shape == (2, *shape)


def test_sides_that_cannot_be_halved_four_times_are_refused():
    with pytest.raises(ValueError, match="image size 28×32: "):
        BetaVAEEncoder().init(jax.random.key(0), jnp.zeros((1, 28, 32, 1)))
    with pytest.raises(ValueError, match="image size 64×8: "):
        BetaVAEDecoder((64, 8, 1)).init(jax.random.key(0), jnp.zeros((1, 10)))


def test_discriminator_is_the_difference_of_two_logits():
    network = FactorVAEDiscriminator((8,))
    z = jax.random.normal(jax.random.key(0), (5, 3))
    found, variables = jax.jit(network.init_with_output)(jax.random.key(1), z)
    first, last = (jax.tree.map(np.asarray, variables["params"][name]) for name in ("Dense_0", "Dense_1"))
    hidden = np.asarray(z) @ first["kernel"] + first["bias"]
    logits = np.where(hidden > 0, hidden, 0.2 * hidden) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(found, logits[:, 0] - logits[:, 1], atol=1e-5)
