"""The U-Net and the PatchGAN: parameters, receptive fields by gradient, skips, noise, sizes that are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import PatchGANDiscriminator, UNetGenerator
from jaxgen.networks.pix2pix import FIELDS


@pytest.mark.parametrize(
    ("network", "channels", "parameters"),
    [
        (UNetGenerator(), 3, 54_413_955),
        (PatchGANDiscriminator(), 6, 2_768_705),
        (PatchGANDiscriminator(norm="instance"), 3, 2_764_737),
    ],
)
def test_parameters_of_the_published_networks(network, channels, parameters, count):
    assert count(network, jnp.zeros((1, 256, 256, channels))) == parameters


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize(("levels", "size"), [(None, (32, 96)), (2, (12, 20))])
def test_the_u_net_keeps_the_size_and_changes_the_channels(levels, size, upsampling, shapes):
    network = UNetGenerator(2, width=2, levels=levels, upsampling=upsampling)
    assert shapes(network, jnp.zeros((2, *size, 3)))[0].shape == (2, *size, 2)


@pytest.mark.parametrize(
    ("network", "size", "message"),
    [
        (UNetGenerator(), (48, 64), "48×64: 5 halvings need sides that are multiples of 32"),
        (UNetGenerator(levels=3), (12, 64), "12×64: 3 halvings need sides that are multiples of 8"),
        (UNetGenerator(levels=0), (32, 32), "levels=0: 1 to 8"),
        (PatchGANDiscriminator(field=64), (32, 32), "field=64: choose from 1, 16, 34, 70, 142, 286"),
        (PatchGANDiscriminator(field=286), (64, 64), "64×64: too small for patches of 286 pixels"),
    ],
)
def test_what_they_cannot_take(network, size, message, shapes):
    with pytest.raises(ValueError, match=message):
        shapes(network, jnp.zeros((1, *size, 3)))


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
