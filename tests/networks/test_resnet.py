"""The residual players: parameter counts, shapes, projection by hand, spectral norm everywhere, initial weights."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import ResNetDiscriminator, ResNetGenerator

CIFAR = (32, 32, 3)
zeros, ones = jnp.zeros(4, jnp.int32), jnp.ones(4, jnp.int32)
image = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
latent = jax.random.normal(jax.random.key(2), (4, 7))


@pytest.mark.parametrize(
    ("network", "shape", "parameters"),
    [
        (ResNetGenerator(CIFAR, (128,) * 4), (128,), 1_204_483),
        (ResNetDiscriminator(spectral_norm=False, pooling=jnp.mean), CIFAR, 1_053_825),
        (ResNetGenerator(CIFAR), (128,), 4_276_739),
        (ResNetDiscriminator(), CIFAR, 1_053_825),
    ],
)
def test_parameter_counts(network, shape, parameters, count):
    assert count(network, jnp.zeros((2, *shape))) == parameters


def test_parameter_counts_of_conditional_and_larger_networks(count):
    """Each of G's 6 conditional norms has nine more scales and biases of 256, D's projection 10 rows of 128."""
    latents, label = jnp.zeros((2, 128)), jnp.zeros(2, jnp.int32)
    assert count(ResNetGenerator(CIFAR, classes=10), latents, label) == 4_276_739 + 6 * 9 * 2 * 256
    assert count(ResNetDiscriminator(classes=10), jnp.zeros((2, *CIFAR)), label) == 1_053_825 + 10 * 128

    def conv(size, i, o):
        return size * size * i * o + o

    widths = (1024, 512, 256, 128, 64)
    blocks = [2 * (i + o) + conv(3, i, o) + conv(3, o, o) + conv(1, i, o) for i, o in pairwise(widths)]
    expected = 129 * 16 * 1024 + sum(blocks) + 2 * 64 + conv(3, 64, 3)
    assert count(ResNetGenerator((64, 64, 3), widths), latents) == expected
    widths = widths[::-1]
    blocks = [conv(3, i, i) + conv(3, i, o) + conv(1, i, o) for i, o in pairwise(widths)]
    expected = conv(3, 3, 64) + conv(3, 64, 64) + conv(1, 3, 64) + sum(blocks) + 1025
    assert count(ResNetDiscriminator(widths, downsamplings=5), jnp.zeros((2, 64, 64, 3))) == expected


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (12, 20, 2), (40, 16, 4)])
def test_shapes_at_every_size(shape, classes, check_players):
    given = (jnp.zeros(2, jnp.int32),) if classes else ()
    generator = ResNetGenerator(shape, (6, 5, 4), classes)
    check_players(generator, ResNetDiscriminator((4, 5, 5), classes=classes), shape, *given)


def test_labels_reach_both_players(check_label):
    check_label(ResNetGenerator((8, 8, 1), (4, 4), classes=2), latent)
    check_label(ResNetDiscriminator((4, 4), 1, classes=2), image)


def test_sizes_that_do_not_fit_are_refused_by_name(check_refused):
    check_refused(ResNetGenerator((28, 36, 1)), (28, 36), "multiples of 8", latent)
    check_refused(ResNetDiscriminator(downsamplings=3), (28, 32), "multiples of 8", jnp.zeros((1, 28, 32, 1)))


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(check_bfloat16):
    check_bfloat16(ResNetGenerator((8, 8, 1), (8, 4), dtype=jnp.bfloat16), latent)
    check_bfloat16(ResNetDiscriminator((4, 4), 1, dtype=jnp.bfloat16), image)


@pytest.mark.parametrize(("pooling", "pixels"), [(jnp.sum, 1), (jnp.mean, 16)])
def test_the_projection_discriminator_by_hand(pooling, pixels, drawn):
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


def test_every_layer_of_the_spectral_discriminator_is_constrained_and_moves_in_training(drawn):
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


def test_residual_weights_start_with_twice_xaviers_variance_and_shortcuts_with_once(initial):
    discriminator = ResNetDiscriminator((32, 32), 1, spectral_norm=False)
    shapes = jax.eval_shape(discriminator.init, jax.random.key(0), image)["params"]
    assert shapes["DiscriminatorBlock_1"].keys() == {"Conv_0", "Conv_1"}  # nothing changes: the shortcut is x itself
    kernel = initial(discriminator, image, "DiscriminatorBlock_1", "Conv_1", "kernel")
    np.testing.assert_allclose(jnp.var(kernel), 2 / (9 * 32), rtol=0.05)
    kernel = initial(ResNetGenerator((8, 8, 1), (64, 64)), latent, "GeneratorBlock_0", "Conv_2", "kernel")
    np.testing.assert_allclose(jnp.var(kernel), 1 / 64, rtol=0.05)


def test_the_critic_without_spectral_norm_has_no_statistics_of_the_batch(shapes):
    assert shapes(ResNetDiscriminator((4, 4), 1, spectral_norm=False), image)[1].keys() == {"params"}
