"""The three maps against JAX's native operations, in value and in derivatives of any order."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxtyping import TypeCheckError

from jaxgen.layers import conv, conv_kernel, conv_transpose

pytestmark = pytest.mark.usefixtures("x64")

# Operands are arguments, never constants: jax 0.7.2 folds the native derivatives of constants into wrong ones.
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
def test_value_and_derivatives(channels, kernel, strides, padding, size, native, assert_close):
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
def test_adjoints(kernel, strides, padding, size, native, assert_close):
    x, w = normal(0, 2, *size, 3), normal(1, *kernel, 3, 4)
    y = normal(2, *conv(x, w, strides, padding).shape)
    kernel_gradient = jax.linear_transpose(lambda w: native(x, w, strides, padding), w)(y)[0]
    assert_close(conv_kernel(x, y, kernel, strides, padding), kernel_gradient)
    back = conv_transpose(y, w, strides, padding)
    if back.shape == x.shape:  # otherwise the convolution drops the last rows, which its transpose cannot know
        assert_close(back, jax.linear_transpose(lambda x: native(x, w, strides, padding), x)(y)[0])


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel", "strides"), [((3, 3), (1, 1)), ((4, 4), (2, 2)), ((5, 3), (2, 3))])
def test_transposed_against_lax(kernel, strides, padding, assert_close):
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


def test_nested_forward_and_reverse(native, assert_close):
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
def test_vmap(axes, strides, native, assert_close):
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
def test_vmap_of_vmap(inner, native, assert_close):
    x = normal(0, 2, 3, 1, 5, 5, 2) if inner[0] == 0 else normal(0, 2, 1, 5, 5, 2)
    w = normal(1, 2, 3, 3, 3, 2, 2) if inner[1] == 0 else normal(1, 2, 3, 3, 2, 2)
    over = lambda f: jit(jax.vmap(jax.vmap(jax.grad(energy(f, 2, 1), (0, 1)), inner)))(x, w)  # noqa: E731
    assert_close(over(conv), over(native))


def test_training_in_a_loop(native, assert_close):
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


def test_gradient_through_a_loop(native, assert_close):
    x, w = normal(0, 2, 6, 5, 2), normal(1, 3, 3, 2, 3)

    def through(f):
        descend = jax.grad(energy(f, 1, "SAME"), 1)
        return lambda w: jnp.sum(lax.scan(lambda w, _: (w - descend(x, w), None), w, length=3)[0] ** 2)

    assert_close(jit(jax.grad(through(conv)))(w), jit(jax.grad(through(native)))(w))


def test_bfloat16(native, assert_close):
    x, w = normal(0, 2, 8, 8, 4, dtype=jnp.bfloat16), normal(1, 4, 4, 4, 8, dtype=jnp.bfloat16)
    loss = lambda f: jit(jax.value_and_grad(energy(f, 2, "SAME"), (0, 1)))(x, w)  # noqa: E731
    assert_close(loss(conv), loss(native), tolerance=2e-2)
    assert conv(x, w).dtype == jnp.bfloat16
    assert conv(x, w.astype(jnp.float32)).dtype == jnp.float32


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
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_rank():
    with pytest.raises((ValueError, TypeCheckError)):  # jaxtyping, on in the tests, is first to see it
        conv(X[0], W)
