import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.layers import Conv, Upsample, instance_norm
from jaxgen.networks import (
    CycleGANGenerator,
    DiscoGANDiscriminator,
    DiscoGANGenerator,
    PatchGANDiscriminator,
    StarGANDiscriminator,
    StarGANGenerator,
    UNetGenerator,
)
from jaxgen.networks.pix2pix import FIELDS


def count(network, *shapes):
    inputs = [jnp.zeros(shape) for shape in shapes]
    variables = jax.eval_shape(lambda key: network.init(key, *inputs), jax.random.key(0))
    return sum(x.size for x in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
    ("network", "shapes", "parameters"),
    [
        (UNetGenerator(), [(1, 256, 256, 3)], 54_413_955),
        (PatchGANDiscriminator(), [(1, 256, 256, 6)], 2_768_705),
        (PatchGANDiscriminator(norm="instance"), [(1, 256, 256, 3)], 2_764_737),
        (CycleGANGenerator(), [(1, 256, 256, 3)], 11_378_179),
        (DiscoGANGenerator(), [(1, 64, 64, 3)], 5_513_856),
        (DiscoGANDiscriminator(), [(1, 64, 64, 3)], 2_765_568),
        (StarGANGenerator(), [(1, 128, 128, 3), (1, 5)], 8_430_528),
        (StarGANDiscriminator(5), [(1, 128, 128, 3)], 44_762_048),
    ],
)
def test_parameters_of_the_published_networks(network, shapes, parameters):
    assert count(network, *shapes) == parameters


def output(network, *inputs, key=0):
    return jax.jit(lambda key: network.init_with_output(key, *inputs)[0])(jax.random.key(key))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(
    ("network", "size"),
    [
        (UNetGenerator(2, width=2), (32, 96)),
        (UNetGenerator(2, width=2, levels=2), (12, 20)),
        (CycleGANGenerator(2, width=2, blocks=1), (12, 20)),
        (DiscoGANGenerator(2, width=2), (12, 20)),
    ],
)
def test_translators_keep_the_size_and_change_the_channels(network, size, upsampling):
    made = output(network.copy(upsampling=upsampling), jnp.zeros((2, *size, 3)))
    assert made.shape == (2, *size, 2)


def test_star_gan_at_other_sizes():
    image = jnp.zeros((2, 16, 48, 1))
    assert output(StarGANGenerator(1, width=2, blocks=1), image, jnp.zeros((2, 3))).shape == image.shape
    values, logits = output(StarGANDiscriminator(7, width=2), image)
    assert values.shape == (2, 2, 6)
    assert logits.shape == (2, 7)


@pytest.mark.parametrize(
    ("network", "size", "message"),
    [
        (UNetGenerator(), (48, 64), r"48×64: the sides must be multiples of 2\^levels = 32"),
        (UNetGenerator(levels=3), (12, 64), r"multiples of 2\^levels = 8"),
        (UNetGenerator(levels=0), (32, 32), r"levels=0: 1 to 8"),
        (CycleGANGenerator(), (30, 32), "30×32: multiples of 4"),
        (PatchGANDiscriminator(field=64), (32, 32), "field=64: choose from 1, 16, 34, 70, 142, 286"),
        (PatchGANDiscriminator(field=286), (64, 64), "64×64: too small for patches of 286 pixels"),
        (StarGANDiscriminator(3), (20, 24), r"20×24: the sides must be multiples of 2\^levels = 8"),
        (DiscoGANGenerator(), (7, 7), "7×7: a convolutional network needs even sides"),
    ],
)
def test_sizes_that_a_network_cannot_take(network, size, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *size, 3)))


def seen(network, size, variables, image):
    """The height and width of what the middle logit's gradient reaches."""

    def middle(image):
        logits = network.apply(variables, image)
        return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

    reached = np.abs(np.asarray(jax.jit(jax.grad(middle))(image))).sum(axis=(0, 3)) > 0
    return int(reached.any(1).sum()), int(reached.any(0).sum())


@pytest.mark.parametrize("field", [1, 16, 34, 70, 142])
def test_receptive_field_of_a_patch_gan_by_gradient(field):
    size = max(8, 2 * field + 2 ** FIELDS[field])
    size -= size % 2 ** FIELDS[field]
    network = PatchGANDiscriminator(width=1, field=field)  # evaluation: batch normalisation has no reach
    image = jax.random.normal(jax.random.key(1), (1, size, size, 1))
    variables = network.init(jax.random.key(0), image)
    # Leaky units pass some gradient on everywhere, and weights of one sign let none cancel.
    variables = {**variables, "params": jax.tree.map(lambda x: jnp.abs(x) + 0.1, variables["params"])}
    assert seen(network, size, variables, image) == (field, field)


def test_u_net_skips_join_equal_sizes():
    """The gradient of an output pixel at initialisation reaches every input pixel, through the innermost layer; without
    what the decoder gets from below, only those that the outermost skip sees."""
    network = UNetGenerator(1, width=2, levels=3)
    image = jax.random.normal(jax.random.key(1), (1, 32, 32, 1))
    variables = network.init(jax.random.key(0), image)
    positive = jax.tree.map(lambda x: jnp.abs(x) + 0.1, variables["params"])

    def reach(params):
        def pixel(image):
            return network.apply({**variables, "params": params}, jnp.abs(image))[0, 16, 16, 0]

        reached = np.asarray(jax.grad(pixel)(jnp.abs(image) * 1e-3))[0, :, :, 0] != 0
        return int(reached.any(1).sum())

    def cut(params, level):
        """Without what the block `level` of the decoder (0 the innermost) gives to the next: its gain and offset."""
        norms = [name for name in params if name.startswith("BatchNorm")]
        name = sorted(norms, key=lambda name: int(name.split("_")[1]))[1 + level]
        return {**params, name: jax.tree.map(jnp.zeros_like, params[name])}

    whole, inner, outer = reach(positive), reach(cut(positive, 0)), reach(cut(positive, 1))
    assert whole > inner > outer >= 3


def test_dropout_of_the_u_net_is_its_noise():
    network = UNetGenerator(1, width=2)
    image = jax.random.normal(jax.random.key(1), (1, 32, 32, 1))
    variables = network.init(jax.random.key(0), image)

    def made(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return network.apply(variables, image, train=True, rngs=rngs, mutable=["batch_stats"])[0]

    assert jnp.array_equal(made(1), made(1))
    assert float(jnp.abs(made(1) - made(2)).max()) > 1e-6


def test_reflection_padding_is_numpys():
    """An image padded by NumPy and convolved without padding is the image convolved with reflection padding."""
    image = jax.random.normal(jax.random.key(0), (2, 9, 7, 3))
    layer = Conv(4, (7, 7), padding=3, padding_mode="reflect")
    variables = layer.init(jax.random.key(1), image)
    padded = np.pad(np.asarray(image), ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    plain = Conv(4, (7, 7), padding=0).apply(variables, jnp.array(padded))
    np.testing.assert_allclose(layer.apply(variables, image), plain, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("mode", ["transposed", "resize"])
def test_upsample_doubles_any_size(mode, kernel_size):
    layer = Upsample(5, kernel_size, mode)
    assert output(layer, jnp.zeros((2, 3, 7, 4))).shape == (2, 6, 14, 5)


def test_resize_convolution_of_a_flat_image_is_flat_inside():
    """No checkerboard: every pixel meets the same weights; with a transposed convolution they differ by phase."""
    image = jnp.ones((1, 8, 8, 2))
    flat, chequered = (output(Upsample(3, mode=mode), image)[0, 2:-2, 2:-2] for mode in ("resize", "transposed"))
    assert float(flat.std(axis=(0, 1)).max()) < 1e-6
    assert float(chequered.std(axis=(0, 1)).min()) > 1e-3


def test_instance_norm_of_a_flat_image_is_zero_with_a_finite_gradient():
    layer = instance_norm(use_bias=False, use_scale=False)

    def value(image):
        return layer.apply({}, image)

    for shape in [(1, 4, 4, 2), (1, 1, 1, 2)]:
        image = jnp.full(shape, 1e3)
        assert float(jnp.abs(value(image)).max()) == 0
        gradient = jax.grad(lambda x: (value(x) * jnp.arange(x.size).reshape(x.shape)).sum())(image)
        assert bool(jnp.isfinite(gradient).all())


def test_instance_norm_by_hand():
    image = np.asarray(jax.random.normal(jax.random.key(0), (2, 5, 3, 2))) * 3 + 7
    made = instance_norm(use_bias=False, use_scale=False).apply({}, image)
    wanted = (image - image.mean((1, 2), keepdims=True)) / np.sqrt(image.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_label_maps_follow_the_image():
    """The first kernel of StarGAN's generator sees the image in its first channels, then each attribute, a constant."""
    network = StarGANGenerator(1, width=2, blocks=1)
    image, attributes = jnp.zeros((1, 8, 8, 1)), jnp.zeros((1, 3))
    variables = network.init(jax.random.key(0), image, attributes)
    kernel = variables["params"]["Conv_0"]["kernel"]
    assert kernel.shape == (7, 7, 4, 2)

    def first(image, attributes):
        _, kept = network.apply(variables, image, attributes, capture_intermediates=True)
        return kept["intermediates"]["Conv_0"]["__call__"][0][0, 4, 4]  # all of its window is inside

    for i in range(3):
        made = first(image, attributes.at[0, i].set(1))
        np.testing.assert_allclose(made, kernel[:, :, 1 + i].sum((0, 1)), atol=1e-5)
