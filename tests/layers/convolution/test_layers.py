"""The layers: padding by reflection, Flax's own layers, shapes, types and errors."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.layers import Conv, ConvTranspose

pytestmark = pytest.mark.usefixtures("x64")

# The mathematics needs no optimised code, and compiling is most of the time here.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def normal(seed, *shape, dtype=np.float64):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize(("kernel", "padding"), [(3, "SAME"), (7, 3), (4, ((1, 2), (0, 3)))])
def test_reflect_padding(kernel, padding, strides, native, assert_close):
    x = normal(0, 2, 9, 8, 3)
    layer = Conv(4, kernel, strides, padding, padding_mode="reflect", bias_init=nn.initializers.normal())
    y, variables = jit(layer.init_with_output)(jax.random.key(0), x)
    if padding == "SAME":
        totals = [max((-(-n // strides) - 1) * strides + kernel - n, 0) for n in (9, 8)]
        padding = [(t // 2, t - t // 2) for t in totals]
    pads = [(padding, padding)] * 2 if isinstance(padding, int) else padding
    mirrored = jnp.asarray(np.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect"))
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    assert_close(y, native(mirrored, kernel.astype(x.dtype), strides, "VALID") + bias)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("strides", [1, 2])
def test_layers_against_flax(strides, padding, assert_close):
    x = normal(0, 2, 8, 7, 3, dtype=np.float32)
    ours, flax = Conv(5, (3, 4), strides, padding), nn.Conv(5, (3, 4), strides, padding)
    assert_close(jit(ours.init)(jax.random.key(0), x), jit(flax.init)(jax.random.key(0), x))
    variables = jit(ours.init)(jax.random.key(0), x)
    assert_close(ours.apply(variables, x), flax.apply(variables, x), tolerance=1e-5)

    ours = ConvTranspose(5, (3, 4), strides, padding)
    flax = nn.ConvTranspose(5, (3, 4), (strides, strides), padding, transpose_kernel=True)
    variables = jit(ours.init)(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, jit(flax.init)(jax.random.key(0), x))
    assert_close(ours.apply(variables, x), flax.apply(variables, x), tolerance=1e-5)


def test_layer_shapes():
    def shapes(layer):
        y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 7, 9, 16)))
        return y.shape, sum(p.size for p in jax.tree.leaves(variables))

    assert shapes(Conv(8, 4, 2, 1)) == ((2, 3, 4, 8), 4 * 4 * 16 * 8 + 8)
    assert shapes(Conv(8, (1, 3), use_bias=False)) == ((2, 7, 9, 8), 3 * 16 * 8)
    assert shapes(ConvTranspose(8, 4, 2, 1)) == ((2, 14, 18, 8), 4 * 4 * 16 * 8 + 8)
    assert shapes(ConvTranspose(8, 3, 2, ((1, 0), (1, 0)))) == ((2, 14, 18, 8), 3 * 3 * 16 * 8 + 8)
    assert shapes(ConvTranspose(8, 2, 3, use_bias=False)) == ((2, 21, 27, 8), 2 * 2 * 16 * 8)


def test_transposed_fan_in():
    kernel = jit(ConvTranspose(4, 4).init)(jax.random.key(0), jnp.ones((1, 2, 2, 256), np.float32))["params"]["kernel"]
    assert kernel.shape == (4, 4, 4, 256)
    np.testing.assert_allclose(np.std(kernel), 1 / np.sqrt(4 * 4 * 256), rtol=0.02)


@pytest.mark.parametrize("layer", [Conv(3, 3, dtype=jnp.bfloat16), ConvTranspose(3, 3, dtype=jnp.bfloat16)])
def test_bfloat16_leaves_the_parameters_in_float32(layer):
    y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 8, 8, 4)))
    assert y.dtype == jnp.bfloat16
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(variables))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Conv(3, 0), "kernel_size must be a positive integer"),
        (ConvTranspose(3, 3, strides=(1, 0)), "strides must be a positive integer"),
        (Conv(3, 3, padding_mode="wrap"), "'zeros' or 'reflect': got 'wrap'"),
    ],
)
def test_errors(layer, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((1, 5, 5, 3)))
