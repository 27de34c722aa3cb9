"""The perceptrons for points: parameter counts, shapes, precision, and what reaches the denoiser's output."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from jaxgen.networks import PointDenoiser, PointDiscriminator, PointGenerator

UNROLLED = {"hidden": (128, 128), "activation": nn.tanh, "kernel_init": nn.initializers.orthogonal(1.4)}


@pytest.mark.parametrize(
    ("network", "inputs", "parameters"),
    [
        (PointGenerator(), 2, 527_874),
        (PointDiscriminator(), 2, 527_361),
        (PointGenerator(**UNROLLED), 256, 49_666),
        (PointDiscriminator(**UNROLLED), 2, 17_025),
    ],
)
def test_parameter_counts(network, inputs, parameters, count):
    assert count(network, jnp.zeros((2, inputs))) == parameters


def test_points_of_any_number_of_features(check_players):
    check_players(PointGenerator(5, (4,)), PointDiscriminator((4, 4)), (5,))


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32(check_bfloat16):
    check_bfloat16(PointGenerator(hidden=(16,), dtype=jnp.bfloat16), jnp.zeros((2, 7)), products="dot_general")
    check_bfloat16(PointDiscriminator((16,), dtype=jnp.bfloat16), jnp.zeros((2, 2)), products="dot_general")


def test_point_time_and_label_reach_every_output_of_the_denoiser(drawn):
    network = PointDenoiser((16,), outputs=2, classes=2)
    x, time, label = jnp.ones((2, 3)), jnp.array([0.0, 500.0]), jnp.array([0, 2])
    variables, apply = drawn(network, x, time, label), jax.jit(network.apply)
    made = apply(variables, x, time, label)
    assert made.shape == (2, 6) and made.dtype == jnp.float32
    for others in ((x + 1, time, label), (x, time + 100, label), (x, time, jnp.array([1, 0]))):
        assert (jnp.abs(made - apply(variables, *others)) > 1e-4).all()
