"""Two-dimensional convolution as a closed algebra of three bilinear maps, fast on every platform.

With stride s, padding p and a kernel w, summing over repeated indices, the convolution (NHWC × HWIO → NHWC) is

    y[n, q, o] = x[n, s q + j - p, i] w[j, i, o]                                                 conv(x, w)

It is linear in x and in w, and so has two adjoints with respect to the inner product ⟨a, b⟩ = Σ a b:

    x[n, s q + j - p, i] = y[n, q, o] w[j, i, o]        the transposed convolution               conv_transpose(y, w)
    w[j, i, o]           = x[n, s q + j - p, i] y[n, q, o]      the kernel's gradient            conv_kernel(x, y)

    ⟨conv(x, w), y⟩ = ⟨x, conv_transpose(y, w)⟩ = ⟨w, conv_kernel(x, y)⟩

These three are closed: the adjoints of each, in either argument, are the other two. Each is one JAX primitive whose
derivative rules say just that, so derivatives of every order, forward and reverse, consist of these three alone.

Why not leave it to `lax.conv_general_dilated`? On accelerators we do: there each map lowers to the native operation.
XLA's CPU backend, however, is fast only for convolutions written as NHWC × HWIO → NHWC, and JAX's own derivatives are
not; inside a `lax.scan` nothing puts them right. There each map lowers to canonical convolutions.
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, DTypeLike, Float

__all__ = ["Conv", "ConvTranspose", "conv", "conv_kernel", "conv_transpose"]

Pair = tuple[int, int]
Padding = str | int | Sequence[Sequence[int]]

_canonical = partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"))


# The three maps ------------------------------------------------------------------------------------------------------


def conv(
    x: Float[Array, "b h w c"], w: Float[Array, "kh kw i o"], strides: int | Pair = 1, padding: Padding = "SAME"
) -> Float[Array, "b p q o"]:
    """Convolve the images x with the kernel w (as all of deep learning does: a cross-correlation).

    `padding` is 'SAME' (output size ⌈h / stride⌉), 'VALID' (none), the number of zeros on every side, or
    ((top, bottom), (left, right)); negative numbers crop. Raises ValueError on shapes and settings that do not fit.
    """
    x, w = _operands(x, w)
    if x.shape[3] != w.shape[2]:
        raise ValueError(
            f"the kernel takes {w.shape[2]} input channels but x has {x.shape[3]}: got x of shape {x.shape} and kernel of "
            f"shape {w.shape} (height, width, in, out); feature groups are not supported"
        )
    strides = _pair("strides", strides)
    pads = _pads(padding, x.shape[1:3], w.shape[:2], strides)
    return _conv_p.bind(x, w, strides=strides, padding=_exact(x.shape[1:3], w.shape[:2], strides, pads))


def conv_transpose(
    y: Float[Array, "b p q c"], w: Float[Array, "kh kw i o"], strides: int | Pair = 1, padding: Padding = "SAME"
) -> Float[Array, "b h w i"]:
    """The adjoint of `conv` in x, known as transposed convolution: from the output's shape back to the input's.

    The kernel is laid out as for `conv`: its last axis meets the channels of y. `padding` is that of the forward
    convolution, as in PyTorch: the size is (p - 1) stride + kernel - pads, and p stride with 'SAME'. So kernel 4,
    stride 2, padding 1 doubles the size. PyTorch's `output_padding=r` is the padding (pad, pad - r).
    """
    y, w = _operands(y, w)
    if y.shape[3] != w.shape[3]:
        raise ValueError(
            f"the kernel takes {w.shape[3]} input channels but y has {y.shape[3]}: got y of shape {y.shape} and kernel of "
            f"shape {w.shape} (height, width, out, in); feature groups are not supported"
        )
    strides = _pair("strides", strides)
    pads = _pads(padding, [n * s for n, s in zip(y.shape[1:3], strides, strict=True)], w.shape[:2], strides)
    if min(_input_size(y.shape[1:3], w.shape[:2], strides, pads)) < 1:
        raise ValueError(f"padding {padding} leaves nothing of y of shape {y.shape} and kernel of shape {w.shape}")
    return _conv_transpose_p.bind(y, w, strides=strides, padding=pads)


def conv_kernel(
    x: Float[Array, "b h w i"],
    y: Float[Array, "b p q o"],
    kernel_size: int | Pair,
    strides: int | Pair = 1,
    padding: Padding = "SAME",
) -> Float[Array, "kh kw i o"]:
    """The adjoint of `conv` in w: the gradient of ⟨conv(x, w), y⟩ with respect to a kernel w of the given size."""
    x, y = _operands(x, y)
    strides, kernel_size = _pair("strides", strides), _pair("kernel_size", kernel_size)
    pads = _pads(padding, x.shape[1:3], kernel_size, strides)
    pads = _exact(x.shape[1:3], kernel_size, strides, pads)
    expected = (x.shape[0], *_output_size(x.shape[1:3], kernel_size, strides, pads))
    if y.shape[:3] != expected:
        raise ValueError(f"y must have shape {(*expected, 'channels')} for x of shape {x.shape}: got {y.shape}")
    return _conv_kernel_p.bind(x, y, strides=strides, padding=pads)


# Sizes and padding ---------------------------------------------------------------------------------------------------


def _operands(a, b):
    if a.ndim != 4 or b.ndim != 4:
        raise ValueError(
            "images are (batch, height, width, channels) and kernels (height, width, in, out), four axes each: "
            f"got shapes {a.shape} and {b.shape}"
        )
    dtype = jnp.result_type(a, b)
    return jnp.asarray(a, dtype), jnp.asarray(b, dtype)


def _pair(name: str, value: int | Sequence[int]) -> Pair:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= 1 for v in pair):
        raise ValueError(f"{name} must be a positive integer or a pair of them: got {value!r}")
    return pair


def _pads(padding: Padding, size, kernel_size, strides) -> tuple[Pair, Pair]:
    """The padding as ((top, bottom), (left, right)), for images of this size."""
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding == "SAME":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel_size, strides, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(padding, int):
        return ((padding, padding),) * 2
    if not isinstance(padding, str):
        pads = tuple(tuple(p) if isinstance(p, Sequence) else p for p in padding)
        if len(pads) == 2 and all(isinstance(p, tuple) and len(p) == 2 for p in pads):
            return pads
    raise ValueError(
        f"padding must be 'SAME', 'VALID', an integer or ((top, bottom), (left, right)): got {padding!r}"
    )


def _exact(size, kernel_size, strides, pads) -> tuple[Pair, Pair]:
    """The same convolution with the far padding such that the last window ends where the padded image does.

    Rows that no window reaches are cropped. Input, output and kernel size then determine one another.
    """
    out = [(n + sum(p) - k) // s + 1 for n, k, s, p in zip(size, kernel_size, strides, pads, strict=True)]
    if min(out) < 1:
        raise ValueError(f"kernel size {kernel_size} does not fit into size {tuple(size)} with padding {pads}")
    return tuple(
        (p[0], (m - 1) * s + k - n - p[0]) for m, n, k, s, p in zip(out, size, kernel_size, strides, pads, strict=True)
    )


def _output_size(size, kernel_size, strides, pads):
    return tuple((n + sum(p) - k) // s + 1 for n, k, s, p in zip(size, kernel_size, strides, pads, strict=True))


def _input_size(size, kernel_size, strides, pads):
    return tuple((m - 1) * s + k - sum(p) for m, k, s, p in zip(size, kernel_size, strides, pads, strict=True))


def _kernel_size(size, output_size, strides, pads):
    return tuple(n + sum(p) - (m - 1) * s for n, m, s, p in zip(size, output_size, strides, pads, strict=True))


# The native operations, for accelerators -----------------------------------------------------------------------------


def _native(x, w, strides, padding):
    return _canonical(x, w, strides, padding)


def _native_transpose(y, w, strides, padding):
    size = _input_size(y.shape[1:3], w.shape[:2], strides, padding)
    x = jax.ShapeDtypeStruct((y.shape[0], *size, w.shape[2]), y.dtype)
    return jax.linear_transpose(lambda x: _native(x, w, strides, padding), x)(y)[0]


def _native_kernel(x, y, strides, padding):
    size = _kernel_size(x.shape[1:3], y.shape[1:3], strides, padding)
    w = jax.ShapeDtypeStruct((*size, x.shape[3], y.shape[3]), x.dtype)
    return jax.linear_transpose(lambda w: _native(x, w, strides, padding), w)(y)[0]


# The canonical forms, for the CPU ------------------------------------------------------------------------------------


def _cpu_transpose(y, w, strides, padding):
    """Convolve y, with zeros between its pixels, with the reversed kernel."""
    pads = [(k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(w.shape[:2], padding, strict=True)]
    return _canonical(y, w[::-1, ::-1].swapaxes(2, 3), (1, 1), pads, lhs_dilation=strides)


def _cpu_kernel(x, y, strides, padding):
    """Convolve x with y as the kernel: channels of x are the batch, and the batch is what is summed over."""
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    return _canonical(x, y, (1, 1), padding, rhs_dilation=strides).transpose(1, 2, 0, 3)


# The primitives ------------------------------------------------------------------------------------------------------


def _bilinear(name: str, native: Callable, cpu: Callable, folds: tuple[Pair, Pair]) -> Primitive:
    """A primitive for one of the maps, on operands of rank 4, or 5: then the first axis is one of independent pairs.

    `folds[i]` are the axes of operand i and of the result (counted from the end) along which the map is a mere list
    of independent results: a batch of operands i alone is folded into it.
    """
    primitive = Primitive(name)

    def on_pairs(f: Callable, map_pairs: Callable) -> Callable:
        return lambda a, b, **p: f(a, b, **p) if a.ndim == 4 else map_pairs(lambda ab: f(*ab, **p))((a, b))

    native = on_pairs(native, jax.vmap)
    cpu = on_pairs(cpu, lambda f: partial(lax.map, f))  # XLA's grouped convolutions are slow on the CPU

    def batch(operands, dims, **params):
        if None not in dims:
            a, b = (jnp.moveaxis(x, d, 0) for x, d in zip(operands, dims, strict=True))
            pairs = a.shape[:-4]
            a, b = (x.reshape(-1, *x.shape[-4:]) for x in (a, b))
            out = primitive.bind(a, b, **params)
            return out.reshape(*pairs, *out.shape[1:]), 0
        i = dims.index(None) ^ 1
        axis, out_axis = folds[i]
        operand = jnp.moveaxis(operands[i], dims[i], axis - 1)
        members = operand.shape[axis - 1]
        operand = lax.collapse(operand, operand.ndim + axis - 1, operand.ndim + axis + 1)
        out = primitive.bind(*(operand if i == j else operands[j] for j in (0, 1)), **params)
        at = out.ndim + out_axis
        return out.reshape(*out.shape[:at], members, -1, *out.shape[at + 1 :]), at

    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("strides", "padding")))
    primitive.def_abstract_eval(lambda a, b, **p: jax.make_jaxpr(partial(native, **p))(a, b).out_avals[0])
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(native, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(cpu, multiple_results=False), platform="cpu")
    return primitive


_conv_p = _bilinear("conv", _native, _native, ((-4, -4), (-1, -1)))
_conv_transpose_p = _bilinear("conv_transpose", _native_transpose, _cpu_transpose, ((-4, -4), (-2, -1)))
_conv_kernel_p = _bilinear("conv_kernel", _native_kernel, _cpu_kernel, ((-1, -2), (-1, -1)))

ad.defbilinear(
    _conv_p,
    lambda y, x, w, **p: _conv_transpose_p.bind(y, w, **p),
    lambda y, x, w, **p: _conv_kernel_p.bind(x, y, **p),
)
ad.defbilinear(
    _conv_transpose_p,
    lambda x, y, w, **p: _conv_p.bind(x, w, **p),
    lambda x, y, w, **p: _conv_kernel_p.bind(x, y, **p),
)
ad.defbilinear(
    _conv_kernel_p,
    lambda w, x, y, **p: _conv_transpose_p.bind(y, w, **p),
    lambda w, x, y, **p: _conv_p.bind(x, w, **p),
)


# The layers ----------------------------------------------------------------------------------------------------------


class Conv(nn.Module):
    """A convolution layer: `conv(x, kernel) + bias`, with kernel (height, width, in, features).

    With `padding_mode='reflect'` the image is continued by its mirror image (without repeating the edge) instead of
    zeros. `dtype` is the computation's; None takes the widest of input and parameters.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding = "SAME"
    padding_mode: str = "zeros"
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q o"]:
        kernel_size, padding = _pair("kernel_size", self.kernel_size), self.padding
        kernel = self.param("kernel", self.kernel_init, (*kernel_size, x.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        if self.padding_mode == "reflect":
            pads = _pads(padding, x.shape[1:3], kernel_size, _pair("strides", self.strides))
            x, padding = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect"), "VALID"
        elif self.padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' or 'reflect': got {self.padding_mode!r}")
        y = conv(x, kernel, self.strides, padding)
        return y if bias is None else y + bias


class ConvTranspose(nn.Module):
    """A transposed convolution layer: `conv_transpose(x, kernel) + bias`, with kernel (height, width, features, in).

    The kernel is that of the convolution whose adjoint this is (Flax's `transpose_kernel=True`), so its fan-in is
    height × width × its last axis, and the default initialiser counts so. The padding is the forward convolution's, as
    in PyTorch: kernel 4, stride 2, padding 1 doubles the size; 'SAME' multiplies it by the stride.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q o"]:
        kernel_size = _pair("kernel_size", self.kernel_size)
        kernel = self.param("kernel", self.kernel_init, (*kernel_size, self.features, x.shape[-1]), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv_transpose(x, kernel, self.strides, self.padding)
        return y if bias is None else y + bias
