"""BigGAN's players, and attention."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from test_resnet import drawn

from jaxgen.layers import SelfAttention
from jaxgen.networks import BigGANDeepDiscriminator, BigGANDeepGenerator, BigGANDiscriminator, BigGANGenerator
from jaxgen.networks.biggan import widths

label = jnp.array([0, 1], jnp.int32)


def count(network, *shape):
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)), label[:1])
    return sum(math.prod(x.shape) for x in jax.tree.leaves(variables["params"]))


def test_parameter_counts_as_published():
    """By the authors, and of BigGAN-deep by a test of Google's compare_gan."""
    make, judge = widths(128, 96)
    assert count(BigGANGenerator((128, 128, 3), make, 1000), 120) == 70_433_988
    assert count(BigGANDiscriminator(judge, 5, 1000), 128, 128, 3) == 87_982_370
    assert count(BigGANGenerator((32, 32, 3), (256,) * 4, 10, None, None), 128) == 4_304_387
    assert count(BigGANDiscriminator((256,) * 4, 2, 10, None), 32, 32, 3) == 4_207_361
    make, judge = widths(128, 128)
    assert count(BigGANDeepGenerator((128, 128, 3), make, 1000), 128) == 50_244_484
    assert count(BigGANDeepDiscriminator(judge, 1000), 128, 128, 3) == 34_590_210


def test_layouts_of_appendix_b():
    assert widths(64, 1) == ((16, 16, 8, 4, 2), (1, 2, 4, 8, 16))
    assert widths(256, 1) == ((16, 16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16))
    with pytest.raises(ValueError, match="64, 128, 256 pixels"):
        widths(28, 1)


@pytest.mark.parametrize("kind", [BigGANGenerator, BigGANDeepGenerator])
def test_every_part_of_the_latent_and_the_class_reach_the_image(kind):
    network = kind((8, 8, 1), (8, 8, 8), 2, embedding=3, attention=8)
    variables, apply = drawn(network, jnp.zeros((2, 6)), label), jax.jit(network.apply)
    latent = jax.random.normal(jax.random.key(1), (2, 6))
    base = apply(variables, latent, label)
    for unit in range(6):
        assert float(jnp.abs(apply(variables, latent.at[:, unit].add(1.0), label) - base).max()) > 1e-4
    assert float(jnp.abs(apply(variables, latent, 1 - label) - base).max()) > 1e-4


def test_latent_that_the_blocks_cannot_share_is_refused():
    network = BigGANGenerator((8, 8, 1), (8, 8, 8), 2, embedding=3, attention=8)
    with pytest.raises(ValueError, match="a multiple of 3 is needed"):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((2, 7)), label)


@pytest.mark.parametrize(
    "network", [BigGANDiscriminator((8, 8), 1, 2, attention=4), BigGANDeepDiscriminator((4, 8), 2, attention=4)]
)
def test_class_and_pixels_reach_the_logit(network):
    image = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    variables, apply = drawn(network, image, label), jax.jit(network.apply)
    base = apply(variables, image, label)
    assert base.shape == (2,)
    assert float(jnp.abs(apply(variables, image, 1 - label) - base).min()) > 1e-4
    assert float(jnp.abs(apply(variables, -image, label) - base).min()) > 1e-4


def test_attention_against_its_formula():
    """By NumPy, pixel by pixel; at first, with γ = 0, the image itself."""
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 8))
    layer = _Evaluating(SelfAttention())
    variables = drawn(layer, x)
    params = variables["params"]["layer"]
    found = layer.apply(variables, x)
    kernels = []
    for i in range(4):
        kernel = np.asarray(params[f"Conv_{i}"]["kernel"], np.float64)[0, 0]
        u = np.ones(kernel.shape[1]) / np.sqrt(kernel.shape[1])  # as drawn
        v = kernel @ u / np.linalg.norm(kernel @ u)
        kernels.append(kernel / (v @ kernel @ u))
    theta, phi, g, o = kernels
    pixels = np.asarray(x, np.float64)
    pooled = pixels.reshape(2, 2, 2, 3, 2, 8)
    key, value = ((pooled @ w).max((2, 4)).reshape(2, 6, -1) for w in (phi, g))
    logits = (pixels @ theta).reshape(2, 24, -1) @ key.swapaxes(1, 2)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = pixels + float(params["gamma"]) * (weights @ value @ o).reshape(2, 4, 6, 8)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    params["gamma"] = jnp.zeros(())
    np.testing.assert_array_equal(layer.apply(variables, x), x)


class _Evaluating(nn.Module):
    """A layer with `train=False`."""

    layer: SelfAttention

    def __call__(self, x):
        return self.layer(x, train=False)


def test_attention_of_few_channels_is_refused():
    with pytest.raises(ValueError, match="at least 8"):
        jax.eval_shape(_Evaluating(SelfAttention()).init, jax.random.key(0), jnp.zeros((1, 4, 4, 4)))
