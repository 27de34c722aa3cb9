"""What holds of all the players: parameter counts, shapes at every size, float32 answers, sizes refused by name."""

import re
from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from jaxgen.networks import (
    DeepConvDiscriminator,
    DeepConvGenerator,
    InfoGANDiscriminator,
    InfoGANGenerator,
    PointDiscriminator,
    PointGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    WGANGPDiscriminator,
    WGANGPGenerator,
)

MNIST, CIFAR = (28, 28, 1), (32, 32, 3)
UNROLLED = {"hidden": (128, 128), "activation": nn.tanh, "kernel_init": nn.initializers.orthogonal(1.4)}

label = jnp.zeros(2, jnp.int32)


def zeros(*shape):
    return jnp.zeros((2, *shape))


def output(network, *inputs):
    return jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs)


def count(params):
    return sum(x.size for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("network", "inputs", "parameters"),
    [
        (WGANGPGenerator(MNIST), zeros(128), 1_554_177),
        (WGANGPDiscriminator(), zeros(*MNIST), 1_030_145),
        (WGANGPGenerator(CIFAR, 128, batch_norm=True), zeros(128), 5_179_907),
        (WGANGPDiscriminator(128), zeros(*CIFAR), 4_114_689),
        (ResNetGenerator(CIFAR, (128,) * 4), zeros(128), 1_204_483),
        (ResNetDiscriminator(spectral_norm=False, pooling=jnp.mean), zeros(*CIFAR), 1_053_825),
        (ResNetGenerator(CIFAR), zeros(128), 4_276_739),
        (ResNetDiscriminator(), zeros(*CIFAR), 1_053_825),
        (DeepConvGenerator(CIFAR), zeros(128), 3_812_355),
        (DeepConvDiscriminator(), zeros(*CIFAR), 2_931_009),
        (InfoGANGenerator(MNIST), zeros(74), 6_652_481),
        (InfoGANDiscriminator(), zeros(*MNIST), 6_559_169 + 133_262),
        (PointGenerator(), zeros(2), 527_874),
        (PointDiscriminator(), zeros(2), 527_361),
        (PointGenerator(**UNROLLED), zeros(256), 49_666),
        (PointDiscriminator(**UNROLLED), zeros(2), 17_025),
    ],
)
def test_parameter_counts(network, inputs, parameters):
    assert count(output(network, inputs)[1]["params"]) == parameters


def test_parameter_counts_of_conditional_and_larger_resnets():
    """Each of the G's 6 conditional norms has nine more scales and biases of 256, D's projection 10 rows of 128."""
    generator, discriminator = ResNetGenerator(CIFAR, classes=10), ResNetDiscriminator(classes=10)
    assert count(output(generator, zeros(128), label)[1]["params"]) == 4_276_739 + 6 * 9 * 2 * 256
    assert count(output(discriminator, zeros(*CIFAR), label)[1]["params"]) == 1_053_825 + 10 * 128

    def conv(size, i, o):
        return size * size * i * o + o

    widths = (1024, 512, 256, 128, 64)
    blocks = [2 * (i + o) + conv(3, i, o) + conv(3, o, o) + conv(1, i, o) for i, o in pairwise(widths)]
    params = output(ResNetGenerator((64, 64, 3), widths), zeros(128))[1]["params"]
    assert count(params) == 129 * 16 * 1024 + sum(blocks) + 2 * 64 + conv(3, 64, 3)
    widths = widths[::-1]
    blocks = [conv(3, i, i) + conv(3, i, o) + conv(1, i, o) for i, o in pairwise(widths)]
    params = output(ResNetDiscriminator(widths, downsamplings=5), zeros(64, 64, 3))[1]["params"]
    assert count(params) == conv(3, 3, 64) + conv(3, 64, 64) + conv(1, 3, 64) + sum(blocks) + 1025


def check_shapes_of(networks, shape, latent, *given):
    generator, discriminator = networks
    assert output(generator, zeros(latent), *given)[0].shape == (2, *shape)
    logit = output(discriminator, zeros(*shape), *given)[0]
    assert logit.shape == (2,) and logit.dtype == jnp.float32


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (12, 20, 2), (40, 16, 4)])
def test_shapes_at_every_size(shape, classes):
    given = (label,) if classes else ()
    for generator, discriminator in (
        (WGANGPGenerator, WGANGPDiscriminator),
        (DeepConvGenerator, DeepConvDiscriminator),
    ):
        check_shapes_of((generator(shape, 4, classes=classes), discriminator(4, classes=classes)), shape, 7, *given)
    check_shapes_of(
        (ResNetGenerator(shape, (6, 5, 4), classes), ResNetDiscriminator((4, 5, 5), classes=classes)), shape, 7, *given
    )


@pytest.mark.parametrize("shape", [(5, 6, 1), (27, 31, 3), (7, 50, 2)])
def test_wgan_gp_takes_odd_sizes(shape):
    check_shapes_of((WGANGPGenerator(shape, 4), WGANGPDiscriminator(4)), shape, 7)


def test_points_of_any_number_of_features():
    check_shapes_of((PointGenerator(5, (4,)), PointDiscriminator((4, 4))), (5,), 3)


@pytest.mark.parametrize(
    ("networks", "size", "message"),
    [
        ((WGANGPGenerator, WGANGPDiscriminator()), (4, 9), "at least 5"),
        ((DeepConvGenerator, DeepConvDiscriminator()), (7, 8), "even sides"),
        ((ResNetGenerator, ResNetDiscriminator(downsamplings=3)), (28, 32), "multiples of 8"),
        ((InfoGANGenerator, InfoGANDiscriminator()), (28, 30), "multiples of 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(networks, size, message):
    generator, discriminator = networks
    for network, inputs in ((generator((*size, 1)), zeros(7)), (discriminator, zeros(*size, 1))):
        with pytest.raises(ValueError, match=f"image size {size[0]}×{size[1]}: .*{message}"):
            output(network, inputs)


@pytest.mark.parametrize(
    "network",
    [
        WGANGPGenerator((8, 8, 1), 4, batch_norm=True, dtype=jnp.bfloat16),
        DeepConvGenerator((8, 8, 1), 4, dtype=jnp.bfloat16),
        ResNetGenerator((8, 8, 1), (8, 4), dtype=jnp.bfloat16),
        InfoGANGenerator((8, 8, 1), 2, dtype=jnp.bfloat16),
        PointGenerator(hidden=(16,), dtype=jnp.bfloat16),
        WGANGPDiscriminator(4, dtype=jnp.bfloat16),
        DeepConvDiscriminator(4, dtype=jnp.bfloat16),
        ResNetDiscriminator((4, 4), 1, dtype=jnp.bfloat16),
        InfoGANDiscriminator(width=2, dtype=jnp.bfloat16),
        PointDiscriminator((16,), dtype=jnp.bfloat16),
    ],
)
def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(network):
    name = type(network).__name__
    x = zeros(2) if "Point" in name else zeros(8, 8, 1) if "Discriminator" in name else zeros(7)
    y, variables = output(network, x)
    assert {leaf.dtype for leaf in jax.tree.leaves((y, variables))} == {jnp.dtype("float32")}
    products = "dot_general" if "Point" in name else "conv|conv_transpose"
    program = str(jax.make_jaxpr(network.apply)(variables, x))
    assert set(re.findall(rf":(\w+)\[\S*\] = (?:{products})\[", program)) == {"bf16"}
