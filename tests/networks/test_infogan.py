"""InfoGAN's players: parameter counts, shapes, the shared trunk and the two heads."""

import jax
import jax.numpy as jnp
import pytest

from jaxgen.networks import InfoGANDiscriminator, InfoGANGenerator

image = jax.random.normal(jax.random.key(1), (4, 8, 12, 2))


def test_parameter_counts(count, shapes):
    assert count(InfoGANGenerator((28, 28, 1)), jnp.zeros((2, 74))) == 6_652_481
    digits = jnp.zeros((2, 28, 28, 1))
    assert count(InfoGANDiscriminator(), digits) == 6_559_169 + 133_262
    params = shapes(InfoGANDiscriminator(), digits)[1]["params"]
    assert sum(x.size for x in jax.tree.leaves(params["q"])) == 133_262


@pytest.mark.parametrize(("categorical", "continuous", "outputs"), [((10,), 2, 14), ((3, 4), 0, 7), ((), 5, 10)])
def test_shapes(categorical, continuous, outputs, shapes):
    (logit, code), _ = shapes(InfoGANDiscriminator(categorical, continuous, width=2), image)
    assert logit.shape == (4,) and code.shape == (4, outputs) and logit.dtype == code.dtype == jnp.float32
    assert shapes(InfoGANGenerator((8, 12, 2), 2), jnp.zeros((4, 9)))[0].shape == (4, 8, 12, 2)


def test_sizes_that_do_not_fit_are_refused_by_name(check_refused):
    check_refused(InfoGANGenerator((28, 30, 1)), (28, 30), "multiples of 4", jnp.zeros((1, 7)))
    check_refused(InfoGANDiscriminator(), (28, 30), "multiples of 4", jnp.zeros((1, 28, 30, 1)))


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(check_bfloat16):
    check_bfloat16(InfoGANGenerator((8, 8, 1), 2, dtype=jnp.bfloat16), jnp.zeros((2, 7)))
    check_bfloat16(InfoGANDiscriminator(width=2, dtype=jnp.bfloat16), image)


def test_logit_and_code_share_the_trunk_and_have_their_own_heads():
    network = InfoGANDiscriminator(width=2)
    variables = jax.jit(network.init)(jax.random.key(0), image)

    def gradients(params):
        outputs, pullback = jax.vjp(lambda p: network.apply({**variables, "params": p}, image), params)
        zeros = jax.tree.map(jnp.zeros_like, outputs)
        return pullback((outputs[0], zeros[1]))[0], pullback((zeros[0], outputs[1]))[0]

    logit, code = jax.tree.map(lambda g: float(jnp.abs(g).max()), jax.jit(gradients)(variables["params"]))
    assert max(jax.tree.leaves(logit["q"])) == 0 < logit["Conv_0"]["kernel"]
    assert code["Dense_1"]["kernel"] == 0 < code["Conv_0"]["kernel"]
    assert logit["Dense_1"]["kernel"] > 0 and code["q"]["Dense_1"]["kernel"] > 0
