"""The residual players, and what the conditional ones have in common."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.layers import enlarge, shrink
from jaxgen.networks import (
    DeepConvDiscriminator,
    DeepConvGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    WGANGPDiscriminator,
    WGANGPGenerator,
)

zeros, ones = jnp.zeros(4, jnp.int32), jnp.ones(4, jnp.int32)
image = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
latent = jax.random.normal(jax.random.key(2), (4, 7))


def drawn(network, *inputs):
    """Variables of the network's shapes: random parameters, all else 1. (Initialising would be slow to compile.)"""
    variables = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(0.3 * random.normal(size=x.shape), x.dtype), variables["params"])
    return jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), variables) | {"params": params}


def initial(network, x, *path):
    """One parameter as initialised; the compiler drops the others."""

    def leaf(key):
        params = network.init(key, x)["params"]
        for name in path:
            params = params[name]
        return params

    return jax.jit(leaf)(jax.random.key(0))


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (ResNetGenerator((8, 8, 1), (4, 4), classes=2), latent),
        (WGANGPGenerator((8, 8, 1), 4, classes=2), latent),
        (DeepConvGenerator((8, 8, 1), 4, classes=2), latent),
        (ResNetDiscriminator((4, 4), 1, classes=2), image),
        (WGANGPDiscriminator(4, classes=2), image),
        (DeepConvDiscriminator(4, classes=2), image),
    ],
)
def test_labels_reach_every_conditional_network(network, x):
    variables, apply = drawn(network, x, zeros), jax.jit(network.apply)
    assert float(jnp.abs(apply(variables, x, zeros) - apply(variables, x, ones)).max()) > 1e-3


def test_resampling():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert enlarge(jnp.asarray(x)).shape == (2, 6, 8, 5)
    np.testing.assert_array_equal(enlarge(jnp.asarray(x))[:, 1::2, ::2], x)
    corners = [x[:, i:2:2, j::2] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(shrink(jnp.asarray(x[:, :2])), sum(corners) / 4, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("pooling", "pixels"), [(jnp.sum, 1), (jnp.mean, 16)])
def test_the_projection_discriminator_by_hand(pooling, pixels):
    """D(x, y) = a(φ) + ⟨b_y, φ⟩ (Miyato & Koyama 2018), the sum-pooled φ read back through the head."""
    network = ResNetDiscriminator((4, 5), 1, False, pooling, classes=2)
    unconditional = jax.jit(ResNetDiscriminator((4, 5), 1, False).apply)
    params = drawn(network, image, zeros)["params"]
    heads = ({"kernel": row[:, None], "bias": jnp.zeros(1)} for row in jnp.eye(5))
    phi = jnp.stack([unconditional({"params": {**params, "Dense_0": head}}, image) for head in heads], -1) / pixels
    assert 0 <= float(phi.min()) < float(phi.max())
    head, embedding = params["Dense_0"], params["Dense_1"]["kernel"]
    label = jnp.array([0, 1, 1, 0])
    expected = phi @ head["kernel"][:, 0] + head["bias"] + (phi * embedding[label]).sum(-1)
    np.testing.assert_allclose(jax.jit(network.apply)({"params": params}, image, label), expected, rtol=1e-4)


def test_every_layer_of_the_spectral_discriminator_is_constrained_and_moves_in_training():
    network = ResNetDiscriminator((4, 4, 4), 1, classes=2)
    variables = drawn(network, image, zeros)
    kernels = [path for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"]) if path[-1].key == "kernel"]
    _, updated = jax.jit(lambda v: network.apply(v, image, zeros, train=True, mutable=["spectral"]))(variables)
    before, after = (jax.tree.leaves(v["spectral"]) for v in (variables, updated))
    assert len(before) == 2 * len(kernels) == 2 * 9  # u and σ of 3 + 2 + 2 convolutions, the head, the embedding
    assert all(jnp.abs(a - b).max() > 1e-3 for a, b in zip(before, after, strict=True) if a.size > 1)
    plain = ResNetDiscriminator((4, 4, 4), 1, spectral_norm=False, classes=2)
    params = jax.eval_shape(plain.init, jax.random.key(0), image, zeros)["params"]
    assert jax.tree.structure(params) == jax.tree.structure(variables["params"])


def test_residual_weights_start_with_twice_xaviers_variance_and_shortcuts_with_once():
    discriminator = ResNetDiscriminator((32, 32), 1, spectral_norm=False)
    shapes = jax.eval_shape(discriminator.init, jax.random.key(0), image)["params"]
    assert shapes["DiscriminatorBlock_1"].keys() == {"Conv_0", "Conv_1"}  # nothing changes: the shortcut is x itself
    kernel = initial(discriminator, image, "DiscriminatorBlock_1", "Conv_1", "kernel")
    np.testing.assert_allclose(jnp.var(kernel), 2 / (9 * 32), rtol=0.05)
    kernel = initial(ResNetGenerator((8, 8, 1), (64, 64)), latent, "GeneratorBlock_0", "Conv_2", "kernel")
    np.testing.assert_allclose(jnp.var(kernel), 1 / 64, rtol=0.05)


def test_wgan_gp_weights_start_with_the_authors_variance():
    kernel = initial(WGANGPDiscriminator(64), image, "Conv_0", "kernel")
    np.testing.assert_allclose(jnp.var(kernel), 4 / (25 + 25 * 64 / 4), rtol=0.1)
    kernel = initial(WGANGPGenerator((16, 16, 64), 32), latent, "ConvTranspose_0", "kernel")
    assert kernel.shape == (5, 5, 32, 64)  # from 64 channels to 32 at twice the size
    np.testing.assert_allclose(jnp.var(kernel), 4 / (25 * 64 / 4 + 25 * 32), rtol=0.05)


@pytest.mark.parametrize("network", [WGANGPDiscriminator(4), ResNetDiscriminator((4, 4), 1, spectral_norm=False)])
def test_the_critics_of_wgan_gp_have_no_statistics_of_the_batch(network):
    assert jax.eval_shape(network.init, jax.random.key(0), image).keys() == {"params"}
