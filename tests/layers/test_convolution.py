"""The convolution algebra against JAX's native operations, in value and in derivatives of any order."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jaxtyping import TypeCheckError

from jaxgen.layers import Conv, ConvTranspose, conv, conv_kernel, conv_transpose

pytestmark = pytest.mark.usefixtures("x64")

# Operands are arguments, never constants: jax 0.7.2 folds the native derivatives of constants into wrong ones.
# The mathematics needs no optimised code, and compiling is most of the time here.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def native(x, w, strides, padding):
    strides = (strides, strides) if isinstance(strides, int) else strides
    padding = [(padding, padding)] * 2 if isinstance(padding, int) else padding
    return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def normal(seed, *shape, dtype=np.float64):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def assert_close(ours, theirs, tolerance=1e-9):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))


def energy(f, strides, padding):
    """A scalar of (x, w) none of whose derivatives vanish."""
    return lambda x, w: jnp.mean(jnp.sin(f(x, w, strides, padding)) ** 2)


def penalty(loss):
    """A scalar that contains the gradient: its own gradient is a double backward."""
    return lambda *a: sum(jnp.sum(jnp.tanh(g) ** 2) for g in jax.grad(loss, (0, 1))(*a))


CASES = [  # kernel, strides, padding, size: each kernel 1-5 and stride 1-3, even, odd and non-square
    ((1, 1), 1, "SAME", (5, 6)),
    ((1, 1), 2, "SAME", (7, 6)),
    ((1, 2), 3, "VALID", (8, 9)),
    ((2, 2), 2, "VALID", (8, 9)),
    ((2, 3), 1, "SAME", (6, 5)),
    ((2, 2), 3, 1, (7, 8)),
    ((3, 3), 1, "SAME", (7, 6)),
    ((3, 3), 1, "VALID", (7, 5)),
    ((3, 3), 2, "SAME", (9, 8)),
    ((3, 3), 2, 1, (9, 8)),
    ((3, 3), 3, ((0, 2), (1, 0)), (10, 9)),
    ((3, 5), (1, 2), "SAME", (6, 9)),
    ((4, 4), 1, "SAME", (6, 7)),
    ((4, 4), 2, 1, (8, 10)),
    ((4, 4), 2, ((3, 1), (-1, 2)), (9, 8)),
    ((4, 2), (3, 2), "VALID", (11, 7)),
    ((5, 5), 2, "SAME", (7, 7)),
    ((5, 4), (2, 3), 2, (9, 11)),
    ((5, 5), 3, 4, (4, 5)),
]


@pytest.mark.parametrize(
    ("channels", "kernel", "strides", "padding", "size"),
    [((3, 4), *case) for case in CASES] + [((9, 2), *case) for case in CASES[6::2]],
    ids=str,
)
def test_value_and_derivatives(channels, kernel, strides, padding, size):
    x, w = normal(0, 2, *size, channels[0]), normal(1, *kernel, *channels)
    dx, dw = normal(2, *x.shape), normal(3, *w.shape)

    def everything(f):
        loss = energy(f, strides, padding)
        gradient = jax.grad(loss, (0, 1))

        def compute(x, w, dx, dw):
            return {
                "value": f(x, w, strides, padding),
                "gradient": gradient(x, w),
                "gradient of gradient": jax.grad(penalty(loss), (0, 1))(x, w),
                "directional derivative": jax.jvp(loss, (x, w), (dx, dw))[1],
                "Hessian-vector product": jax.jvp(gradient, (x, w), (dx, dw))[1],
            }

        return jit(compute)

    assert_close(everything(conv)(x, w, dx, dw), everything(native)(x, w, dx, dw))


@pytest.mark.parametrize(("kernel", "strides", "padding", "size"), CASES, ids=str)
def test_adjoints(kernel, strides, padding, size):
    x, w = normal(0, 2, *size, 3), normal(1, *kernel, 3, 4)
    y = normal(2, *conv(x, w, strides, padding).shape)
    kernel_gradient = jax.linear_transpose(lambda w: native(x, w, strides, padding), w)(y)[0]
    assert_close(conv_kernel(x, y, kernel, strides, padding), kernel_gradient)
    back = conv_transpose(y, w, strides, padding)
    if back.shape == x.shape:  # otherwise the convolution drops the last rows, which its transpose cannot know
        assert_close(back, jax.linear_transpose(lambda x: native(x, w, strides, padding), x)(y)[0])


@pytest.mark.parametrize(("kernel", "padding"), [((3, 3), "SAME"), ((2, 3), "VALID"), ((3, 2), ((0, 2), (1, 0)))])
def test_transpose_by_a_kernel_larger_than_the_image(kernel, padding):
    """Which is done otherwise."""
    x, w = normal(0, 2, 4, 3, 256), normal(1, *kernel, 256, 260)
    y = normal(2, *conv(x, w, 1, padding).shape)
    found = jit(partial(conv_transpose, padding=padding))(y, w)
    assert_close(found, jax.linear_transpose(lambda x: native(x, w, (1, 1), padding), x)(y)[0])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel", "strides"), [((3, 3), (1, 1)), ((4, 4), (2, 2)), ((5, 3), (2, 3))])
def test_transposed_against_lax(kernel, strides, padding):
    y, w = normal(0, 2, 5, 4, 3), normal(1, *kernel, 2, 3)

    def theirs(y, w, strides, padding):
        return lax.conv_transpose(y, w, strides, padding, transpose_kernel=True)

    def everything(f, y, w):
        loss = energy(f, strides, padding)
        return f(y, w, strides, padding), jax.grad(loss, (0, 1))(y, w), jax.grad(penalty(loss), (0, 1))(y, w)

    assert_close(jit(partial(everything, conv_transpose))(y, w), jit(partial(everything, theirs))(y, w))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_transposed_sizes(kernel, strides):
    y, w = jnp.ones((1, 5, 4, 1)), jnp.ones((kernel, kernel, 1, 1))
    assert conv_transpose(y, w, strides, "SAME").shape == (1, 5 * strides, 4 * strides, 1)
    assert conv_transpose(y, w, strides, "VALID").shape == (1, 4 * strides + kernel, 3 * strides + kernel, 1)
    x = conv_transpose(y, w, strides, "SAME")
    assert conv(x, w, strides, "SAME").shape == y.shape


def test_nested_forward_and_reverse():
    x, w, dx, dw = normal(0, 1, 5, 4, 2), normal(1, 3, 2, 2, 3), normal(2, 1, 5, 4, 2), normal(3, 3, 2, 2, 3)

    def orders(f, x, w, dx, dw):
        loss = energy(f, 2, "SAME")
        forward = lambda x, w: jax.jvp(loss, (x, w), (dx, dw))[1]  # noqa: E731
        third = lambda x, w: jax.jvp(jax.grad(forward, (0, 1)), (x, w), (dx, dw))[1]  # noqa: E731
        return (
            jax.grad(forward, (0, 1))(x, w),
            jax.jvp(forward, (x, w), (dx, dw))[1],
            third(x, w),
            jax.hessian(loss, 1)(x, w),
            jax.jacrev(jax.jacfwd(loss, 1), 1)(x, w),
        )

    ours, theirs = (jit(partial(orders, f))(x, w, dx, dw) for f in (conv, native))
    assert_close(ours, theirs)


@pytest.mark.parametrize("axes", [(0, 0), (1, None), (None, 2)], ids=str)
@pytest.mark.parametrize("strides", [1, 2])
def test_vmap(axes, strides):
    x = normal(0, 2, 3, 6, 5, 2) if axes[0] is not None else normal(0, 2, 6, 5, 2)
    x = jnp.swapaxes(x, 0, 1) if axes[0] == 0 else x  # three members along the axis given
    w = normal(1, 3, 3, 3, 2, 4) if axes[1] is not None else normal(1, 3, 3, 2, 4)

    def everything(f, x, w):
        loss = energy(f, strides, "SAME")
        over = lambda g: jax.vmap(g, axes)  # noqa: E731
        of = lambda *a: jnp.sum(over(loss)(*a) ** 2)  # noqa: E731
        return (
            over(lambda x, w: f(x, w, strides, "SAME"))(x, w),
            over(jax.grad(loss, (0, 1)))(x, w),
            over(jax.grad(penalty(loss), (0, 1)))(x, w),
            jax.grad(of, (0, 1))(x, w),
            jax.jvp(jax.grad(of, (0, 1)), (x, w), (x, w))[1],
        )

    assert_close(jit(partial(everything, conv))(x, w), jit(partial(everything, native))(x, w))


@pytest.mark.parametrize("inner", [(0, 0), (0, None), (None, 0)], ids=str)
def test_vmap_of_vmap(inner):
    x = normal(0, 2, 3, 1, 5, 5, 2) if inner[0] == 0 else normal(0, 2, 1, 5, 5, 2)
    w = normal(1, 2, 3, 3, 3, 2, 2) if inner[1] == 0 else normal(1, 2, 3, 3, 2, 2)
    over = lambda f: jit(jax.vmap(jax.vmap(jax.grad(energy(f, 2, 1), (0, 1)), inner)))(x, w)  # noqa: E731
    assert_close(over(conv), over(native))


def test_training_in_a_loop():
    x, w = normal(0, 4, 6, 6, 2), (normal(1, 3, 3, 2, 3), normal(2, 4, 4, 2, 3))

    def train(f, transpose):
        def loss(w):
            y = jnp.tanh(f(x, w[0], 2, "SAME"))
            return jnp.mean((transpose(y, w[1]) - x) ** 2)

        def step(w, _):
            value, gradient = jax.value_and_grad(loss)(w)
            return jax.tree.map(lambda w, g: w - 0.1 * g, w, gradient), value

        return jit(lambda w: lax.scan(step, w, length=4))(w)

    theirs = train(native, lambda y, w: lax.conv_transpose(y, w, (2, 2), "SAME", transpose_kernel=True))
    assert_close(train(conv, lambda y, w: conv_transpose(y, w, 2)), theirs)


def test_gradient_through_a_loop():
    x, w = normal(0, 2, 6, 5, 2), normal(1, 3, 3, 2, 3)

    def through(f):
        descend = jax.grad(energy(f, 1, "SAME"), 1)
        return lambda w: jnp.sum(lax.scan(lambda w, _: (w - descend(x, w), None), w, length=3)[0] ** 2)

    assert_close(jit(jax.grad(through(conv)))(w), jit(jax.grad(through(native)))(w))


@pytest.mark.parametrize("few", [False, True])
def test_kernel_gradient_in_groups(few):
    """A batch of so many pixels that the CPU sums the kernel's gradient over groups of images."""
    x, w = normal(0, 6, 32, 33, 9), normal(1, 3, 4, 9, 2 if few else 10)
    gradient = lambda f: jit(jax.grad(energy(f, 1, "SAME"), (0, 1)))(x, w)  # noqa: E731
    assert_close(gradient(conv), gradient(native))


def test_bfloat16():
    x, w = normal(0, 2, 8, 8, 4, dtype=jnp.bfloat16), normal(1, 4, 4, 4, 8, dtype=jnp.bfloat16)
    loss = lambda f: jit(jax.value_and_grad(energy(f, 2, "SAME"), (0, 1)))(x, w)  # noqa: E731
    assert_close(loss(conv), loss(native), tolerance=2e-2)
    assert conv(x, w).dtype == jnp.bfloat16
    assert conv(x, w.astype(jnp.float32)).dtype == jnp.float32
    for layer in (Conv(3, 3, dtype=jnp.bfloat16), ConvTranspose(3, 3, dtype=jnp.bfloat16)):
        y, variables = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.ones((2, 8, 8, 4)))
        assert y.dtype == jnp.bfloat16
        assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(variables))


def test_lowers_for_other_platforms():
    def grad(x, w):
        return jax.grad(penalty(energy(conv, 2, "SAME")), (0, 1))(x, w)

    args = normal(0, 2, 8, 8, 3, dtype=np.float32), normal(1, 3, 3, 3, 4, dtype=np.float32)
    exported = export.export(jit(grad), platforms=("cpu", "cuda", "tpu"))(*args)
    assert_close(exported.call(*args), grad(*args), tolerance=1e-5)


def test_accelerators_get_the_native_operations():
    def text(f):
        def ours(x, w):
            return jax.grad(penalty(energy(f, 2, "SAME")), (0, 1))(x, w)

        x, w = jax.ShapeDtypeStruct((2, 8, 8, 3), np.float32), jax.ShapeDtypeStruct((3, 3, 3, 4), np.float32)
        module = jit(ours).trace(x, w).lower(lowering_platforms=("tpu",)).as_text()
        return module.count("stablehlo.convolution"), module.count("stablehlo.while")

    assert text(conv) == text(native)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize(("kernel", "padding"), [(3, "SAME"), (7, 3), (4, ((1, 2), (0, 3)))])
def test_reflect_padding(kernel, padding, strides):
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
def test_layers_against_flax(strides, padding):
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


X, W = jnp.ones((1, 5, 5, 3), np.float32), jnp.ones((3, 3, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv(X, jnp.ones((3, 3, 1, 3), np.float32)), "feature groups are not supported"),
        (lambda: conv_transpose(X, W), r"takes 4; feature groups"),
        (lambda: conv(X, W, 0), "strides must be a positive integer"),
        (lambda: conv(X, W, padding="REFLECT"), "'SAME', 'VALID', an integer or .* got 'REFLECT'"),
        (lambda: conv(X, W, padding=((1, 1),)), "'SAME', 'VALID', an integer"),
        (lambda: conv(X[:, :2], W, padding="VALID"), r"does not fit into size \(2, 5\)"),
        (lambda: conv_transpose(conv(X, W), W, padding=9), "crops all"),
        (lambda: conv_kernel(X, X, 3, padding="VALID"), r"must be \(1, 3, 3, 'channels'\)"),
        (lambda: jax.eval_shape(Conv(3, 0).init, jax.random.key(0), X), "kernel_size must be a positive integer"),
        (
            lambda: jax.eval_shape(Conv(3, 3, padding_mode="wrap").init, jax.random.key(0), X),
            "'zeros' or 'reflect': got 'wrap'",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_rank():
    with pytest.raises((ValueError, TypeCheckError)):  # jaxtyping, on in the tests, is first to see it
        conv(X[0], W)


def test_a_population_has_a_convolution_for_each_member_on_gpus():
    """In place of the grouped one into which `vmap` would turn them."""
    x, w = jnp.zeros((3, 4, 8, 8, 5)), jnp.zeros((3, 4, 4, 5, 6))
    gradient = jax.vmap(jax.grad(lambda x, w: jnp.square(conv(x, w, 2, 1)).sum(), (0, 1)))
    lowered = {p: export.export(jax.jit(gradient), platforms=[p])(x, w).mlir_module() for p in ("cuda", "tpu")}
    assert {p: text.count("stablehlo.convolution") for p, text in lowered.items()} == {"cuda": 9, "tpu": 3}
    assert "feature_group_count = 3" in lowered["tpu"] and "feature_group_count = 3" not in lowered["cuda"]
