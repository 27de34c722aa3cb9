"""The programs of the maps on the CPU against the native ones, and what other platforms get."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxgen.layers import conv, conv_transpose
from jaxgen.layers.convolution import lowering
from jaxgen.layers.convolution.padding import exact

pytestmark = pytest.mark.usefixtures("x64")

# The mathematics needs no optimised code, and compiling is most of the time here.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def normal(seed, *shape, dtype=np.float64):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def energy(f, strides, padding):
    """A scalar of (x, w) none of whose derivatives vanish."""
    return lambda x, w: jnp.mean(jnp.sin(f(x, w, strides, padding)) ** 2)


def penalty(loss):
    """A scalar that contains the gradient: its own gradient is a double backward."""
    return lambda *a: sum(jnp.sum(jnp.tanh(g) ** 2) for g in jax.grad(loss, (0, 1))(*a))


SHAPES = [  # size, channels, kernel, strides, padding: one case for each form
    ((5, 4), (3, 4), (1, 1), (1, 1), ((0, 0), (0, 0))),  # a matrix product
    ((6, 5), (3, 4), (3, 2), (1, 1), ((1, 1), (0, 1))),  # the reversed kernel
    ((7, 9), (3, 4), (3, 3), (2, 2), ((1, 1), (1, 1))),  # zeros between the pixels
    ((8, 6), (8, 4), (4, 2), (2, 2), ((1, 1), (0, 0))),  # phases
    ((5, 7), (9, 4), (5, 5), (2, 3), ((2, 2), (2, 1))),  # phases of a kernel that is larger than the image
    ((6, 6), (9, 2), (3, 3), (1, 1), ((1, 1), (1, 1))),  # few channels
]


@pytest.mark.parametrize(("size", "channels", "kernel", "strides", "padding"), SHAPES, ids=str)
def test_every_form_on_the_cpu_is_the_native_operation(assert_close, size, channels, kernel, strides, padding):
    padding = exact(padding, size, kernel, strides)
    x, w = normal(0, 2, *size, channels[0]), normal(1, *kernel, *channels)
    y = normal(2, *jax.eval_shape(lambda: lowering.native_conv(x, w, strides, padding)).shape)
    for ours, theirs, operands in (
        (lowering.cpu_conv, lowering.native_conv, (x, w)),
        (lowering.cpu_conv_transpose, lowering.native_conv_transpose, (y, w)),
        (lowering.cpu_conv_kernel, lowering.native_conv_kernel, (x, y)),
    ):
        both = (jit(partial(f, strides=strides, padding=padding))(*operands) for f in (ours, theirs))
        assert_close(*both)


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), "SAME"), ((2, 3), "VALID"), ((3, 2), ((0, 2), (1, 0)))])
def test_transpose_by_a_kernel_larger_than_the_image(kernel, padding, native, assert_close):
    """It has a form of its own: a matrix product for each position of the kernel."""
    x, w = normal(0, 2, 4, 3, 256), normal(1, *kernel, 256, 260)
    y = normal(2, *conv(x, w, 1, padding).shape)
    found = jit(partial(conv_transpose, padding=padding))(y, w)
    assert_close(found, jax.linear_transpose(lambda x: native(x, w, (1, 1), padding), x)(y)[0])


@pytest.mark.parametrize("few", [False, True])
def test_kernel_gradient_in_groups(few, native, assert_close):
    """The batch has enough pixels for the CPU to sum the kernel's gradient over groups of images."""
    x, w = normal(0, 6, 32, 33, 9), normal(1, 3, 4, 9, 2 if few else 10)
    gradient = lambda f: jit(jax.grad(energy(f, 1, "SAME"), (0, 1)))(x, w)  # noqa: E731
    assert_close(gradient(conv), gradient(native))


def test_lowers_for_other_platforms(assert_close):
    def grad(x, w):
        return jax.grad(penalty(energy(conv, 2, "SAME")), (0, 1))(x, w)

    args = normal(0, 2, 8, 8, 3, dtype=np.float32), normal(1, 3, 3, 3, 4, dtype=np.float32)
    exported = export.export(jit(grad), platforms=("cpu", "cuda", "tpu"))(*args)
    assert_close(exported.call(*args), grad(*args), tolerance=1e-5)


def test_accelerators_get_the_native_operations(native):
    def text(f):
        def ours(x, w):
            return jax.grad(penalty(energy(f, 2, "SAME")), (0, 1))(x, w)

        x, w = jax.ShapeDtypeStruct((2, 8, 8, 3), np.float32), jax.ShapeDtypeStruct((3, 3, 3, 4), np.float32)
        module = jit(ours).trace(x, w).lower(lowering_platforms=("tpu",)).as_text()
        return module.count("stablehlo.convolution"), module.count("stablehlo.while")

    assert text(conv) == text(native)


def test_a_population_has_a_convolution_for_each_member_on_gpus():
    """`vmap` alone would turn them into one grouped convolution."""
    x, w = jnp.zeros((3, 4, 8, 8, 5)), jnp.zeros((3, 4, 4, 5, 6))
    gradient = jax.vmap(jax.grad(lambda x, w: jnp.square(conv(x, w, 2, 1)).sum(), (0, 1)))
    lowered = {p: export.export(jax.jit(gradient), platforms=[p])(x, w).mlir_module() for p in ("cuda", "tpu")}
    assert {p: text.count("stablehlo.convolution") for p, text in lowered.items()} == {"cuda": 9, "tpu": 3}
    assert "feature_group_count = 3" in lowered["tpu"] and "feature_group_count = 3" not in lowered["cuda"]
