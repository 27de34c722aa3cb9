"""Two-dimensional convolution as a closed algebra of three bilinear maps, fast on every platform.

With stride s, padding p and a kernel w, the convolution (NHWC × HWIO → NHWC) sums over j and i

    y[n, q, o] = x[n, s q + j - p, i] w[j, i, o]                    conv(x, w)

It is linear in x and in w, so it has two adjoints:

    x[n, r, i] = Σ_{s q + j - p = r} y[n, q, o] w[j, i, o]          conv_transpose(y, w)
    w[j, i, o] = Σ_{n, q} x[n, s q + j - p, i] y[n, q, o]           conv_kernel(x, y)

    ⟨conv(x, w), y⟩ = ⟨x, conv_transpose(y, w)⟩ = ⟨w, conv_kernel(x, y)⟩

The three are closed: the adjoints of each, in either argument, are the other two. Each is one JAX
primitive whose derivative rules say just that, so derivatives of any order, forward and reverse, are made
of these three.

Why not `lax.conv_general_dilated`? On accelerators it is: each map lowers to the native operation. XLA's
CPU backend, however, is fast only for convolutions written as NHWC × HWIO → NHWC, and JAX's own derivatives
are not; in a loop body nothing puts them right. On the CPU each map lowers to that canonical form.

Under `jax.shard_map` use `check_vma=False`, or give both operands the same varying axes: unlike the native
operation, these do not mark a replicated kernel as varying by themselves.
"""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.typing import DTypeLike
from jaxtyping import Array, Float

__all__ = ["Conv", "ConvTranspose", "conv", "conv_kernel", "conv_transpose"]

Pair = tuple[int, int]
Padding = str | int | Sequence[Sequence[int]]

# ---- The three maps --------------------------------------------------------------------------------------


def conv(
    x: Float[Array, "b h w i"],
    w: Float[Array, "kh kw j o"],
    strides: int | Pair = 1,
    padding: Padding = "SAME",
) -> Float[Array, "b p q o"]:
    """Convolve images x with the kernel w (as in all of deep learning, a cross-correlation).

    `padding` is 'SAME' (the output's size is ⌈h / stride⌉), 'VALID' (none), the number of zeros on every
    side, or ((top, bottom), (left, right)), where negative numbers crop. Raises ValueError for what does not
    fit together.
    """
    x, w = _operands(x, w)
    if x.shape[3] != w.shape[2]:
        raise ValueError(
            f"x of shape {x.shape} has {x.shape[3]} channels, but the kernel of shape {w.shape} "
            f"(height, width, in, out) takes {w.shape[2]}; feature groups are not supported"
        )
    size, kernel_size, strides = x.shape[1:3], w.shape[:2], _pair("strides", strides)
    padding = _exact(_pads(padding, size, kernel_size, strides), size, kernel_size, strides)
    return _conv_p.bind(x, w, strides=strides, padding=padding)


def conv_transpose(
    y: Float[Array, "b p q o"],
    w: Float[Array, "kh kw i j"],
    strides: int | Pair = 1,
    padding: Padding = "SAME",
) -> Float[Array, "b h w i"]:
    """The adjoint of `conv` in x, known as transposed convolution: from the output's shape to the input's.

    The kernel is laid out as for `conv`, so its last axis meets the channels of y. `padding` is the forward
    convolution's, as in PyTorch: the size is (p - 1) stride + kernel - pads, and p stride for 'SAME'.
    Kernel 4, stride 2, padding 1 doubles the size. PyTorch's padding=a, output_padding=r is ((a, a - r),
    (a, a - r)). Raises ValueError for what does not fit together.
    """
    y, w = _operands(y, w)
    if y.shape[3] != w.shape[3]:
        raise ValueError(
            f"y of shape {y.shape} has {y.shape[3]} channels, but the kernel of shape {w.shape} "
            f"(height, width, out, in) takes {w.shape[3]}; feature groups are not supported"
        )
    kernel_size, strides = w.shape[:2], _pair("strides", strides)
    size = tuple(m * s for m, s in zip(y.shape[1:3], strides, strict=True))
    padding = _pads(padding, size, kernel_size, strides)
    if min(_input_size(y.shape[1:3], kernel_size, strides, padding)) < 1:
        raise ValueError(f"padding {padding} crops all of y, shape {y.shape}, kernel {w.shape}")
    return _conv_transpose_p.bind(y, w, strides=strides, padding=padding)


def conv_kernel(
    x: Float[Array, "b h w i"],
    y: Float[Array, "b p q o"],
    kernel_size: int | Pair,
    strides: int | Pair = 1,
    padding: Padding = "SAME",
) -> Float[Array, "kh kw i o"]:
    """The adjoint of `conv` in w: the gradient of ⟨conv(x, w), y⟩ with respect to a kernel of this size."""
    x, y = _operands(x, y)
    size, kernel_size, strides = x.shape[1:3], _pair("kernel_size", kernel_size), _pair("strides", strides)
    padding = _exact(_pads(padding, size, kernel_size, strides), size, kernel_size, strides)
    expected = (x.shape[0], *_output_size(size, kernel_size, strides, padding))
    if y.shape[:3] != expected:
        raise ValueError(f"for x of shape {x.shape}, y must be {(*expected, 'channels')}: got shape {y.shape}")
    return _conv_kernel_p.bind(x, y, strides=strides, padding=padding)


# ---- Checks, sizes and padding ---------------------------------------------------------------------------


def _operands(a: Array, b: Array) -> tuple[Array, Array]:
    if jnp.ndim(a) != 4 or jnp.ndim(b) != 4:
        raise ValueError(
            "images are (batch, height, width, channels) and kernels (height, width, in, out), "
            f"four axes each: got shapes {jnp.shape(a)} and {jnp.shape(b)}"
        )
    dtype = jnp.result_type(a, b)
    return jnp.asarray(a, dtype), jnp.asarray(b, dtype)


def _pair(name: str, value: int | Sequence[int]) -> Pair:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= 1 for v in pair):
        raise ValueError(f"{name} must be a positive integer or a pair of them: got {value!r}")
    return pair


def _pads(padding: Padding, size: Pair, kernel_size: Pair, strides: Pair) -> tuple[Pair, Pair]:
    """The padding as ((top, bottom), (left, right)) for images of this size."""
    if padding == "SAME":
        outputs = (-(-n // s) for n, s in zip(size, strides, strict=True))
        totals = ((m - 1) * s + k - n for m, n, k, s in zip(outputs, size, kernel_size, strides, strict=True))
        return tuple((max(t, 0) // 2, t - max(t, 0) // 2) for t in totals)
    if padding == "VALID":
        padding = 0
    if isinstance(padding, int):
        return ((padding, padding),) * 2
    pads = () if isinstance(padding, str) else tuple(p if isinstance(p, int) else tuple(p) for p in padding)
    if len(pads) != 2 or not all(isinstance(p, tuple) and len(p) == 2 for p in pads):
        raise ValueError(
            f"padding must be 'SAME', 'VALID', an integer or ((top, bottom), (left, right)): got {padding!r}"
        )
    return pads


def _exact(pads: tuple[Pair, Pair], size: Pair, kernel_size: Pair, strides: Pair) -> tuple[Pair, Pair]:
    """The padding of the same convolution after which the last window ends where the padded image does.

    What no window reaches is cropped. Thus two of the three sizes always determine the third.
    """
    output = _output_size(size, kernel_size, strides, pads)
    if min(output) < 1:
        raise ValueError(f"kernel size {kernel_size} does not fit into size {size} with padding {pads}")
    spare = zip(_input_size(output, kernel_size, strides, pads), size, pads, strict=True)
    return tuple((lo, hi + used - n) for used, n, (lo, hi) in spare)


# On each axis: input + pads = (output - 1) stride + kernel.


def _output_size(size: Pair, kernel: Pair, strides: Pair, pads: tuple[Pair, Pair]) -> Pair:
    return tuple((n + sum(p) - k) // s + 1 for n, k, s, p in zip(size, kernel, strides, pads, strict=True))


def _input_size(output: Pair, kernel: Pair, strides: Pair, pads: tuple[Pair, Pair]) -> Pair:
    return tuple((m - 1) * s + k - sum(p) for m, k, s, p in zip(output, kernel, strides, pads, strict=True))


def _kernel_size(size: Pair, output: Pair, strides: Pair, pads: tuple[Pair, Pair]) -> Pair:
    return tuple(n + sum(p) - (m - 1) * s for n, m, s, p in zip(size, output, strides, pads, strict=True))


# ---- How accelerators compute them: natively -------------------------------------------------------------

_canonical = partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"))


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


# ---- How the CPU computes them: in canonical form --------------------------------------------------------


def _pointwise(kernel_size, strides, padding):
    """Whether the convolution is a matrix product at every pixel, which XLA's convolutions do not notice."""
    return kernel_size == strides == (1, 1) and padding == ((0, 0), (0, 0))


def _cpu(x, w, strides, padding):
    if _pointwise(w.shape[:2], strides, padding):
        return jnp.tensordot(x, w[0, 0], 1)
    return _canonical(x, w, strides, padding)


def _cpu_transpose(y, w, strides, padding):
    """Convolve y, zeros between its pixels, with the reversed kernel; or, without the zeros, by phases."""
    if _pointwise(w.shape[:2], strides, padding):
        return jnp.tensordot(y, w[0, 0], ((3,), (1,)))
    (kh, kw, i, o), (sh, sw) = w.shape, strides
    # XLA exchanges the operands of a convolution whose kernel is larger than the image, out of canonical form.
    exchanged = kh * kw > y.shape[1] * y.shape[2]
    if sh * sw > 1 and i >= 8 and (kh % sh == kw % sw == 0 or exchanged):
        # A pixel of the result meets only the part of the kernel at its own phase (row mod sh, column mod sw):
        # convolve with all parts at once, as so many channels, and interleave the phases. Zeros after the kernel
        # make the parts equal in size.
        more = -kh % sh, -kw % sw
        w = jnp.pad(w, ((0, more[0]), (0, more[1]), (0, 0), (0, 0)))
        (kh, kw), padding = w.shape[:2], [(lo, hi + m) for (lo, hi), m in zip(padding, more, strict=True)]
        parts = w.reshape(kh // sh, sh, kw // sw, sw, i, o)[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
        parts = parts.reshape(kh // sh, kw // sw, o, sh * sw * i)
        x = _canonical(y, parts, (1, 1), [(k // s - 1,) * 2 for k, s in ((kh, sh), (kw, sw))])
        n, p, q = x.shape[:3]
        x = x.reshape(n, p, q, sh, sw, i).swapaxes(2, 3).reshape(n, p * sh, q * sw, i)
        crop = [(-lo, -hi, 0) for lo, hi in padding]
        return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *crop, (0, 0, 0)))
    pads = [(k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip((kh, kw), padding, strict=True)]
    if strides == (1, 1) and i * o >= 2**16 and w.size // (i + o) > y.size // o and np.min(pads) >= 0:
        # To rearrange so large a kernel takes longer than to convolve few pixels with it: a matrix product for each of
        # its positions.
        (p, q), y = _input_size(y.shape[1:3], (kh, kw), strides, padding), jnp.pad(y, ((0, 0), *pads, (0, 0)))
        at = np.ndindex(kh, kw)
        return sum(jnp.tensordot(y[:, j : j + p, k : k + q], w[kh - 1 - j, kw - 1 - k], ((3,), (1,))) for j, k in at)
    return _canonical(y, w[::-1, ::-1].swapaxes(2, 3), (1, 1), pads, lhs_dilation=strides)


def _cpu_kernel(x, y, strides, padding):
    """Convolve x with y, the batch in the role of the channels, a few images at a time."""
    if _pointwise(_kernel_size(x.shape[1:3], y.shape[1:3], strides, padding), strides, padding):
        return jnp.tensordot(x, y, ((0, 1, 2), (0, 1, 2)))[None, None]
    part = _correlate_few if y.shape[3] < min(8, x.shape[3]) else _correlate
    part = partial(part, strides=strides, padding=padding)
    # Each sum runs over all the pixels of a group; about this many fit the cache (8 times faster at 32×32).
    n, pixels = x.shape[0], y.shape[1] * y.shape[2]
    group = next(d for d in range(1, n + 1) if n % d == 0 and (d * pixels >= 2048 or d == n))

    def part_of(i):
        # Every group takes images from all of the batch, so a batch sharded over devices stays where it is.
        pick = (a.reshape(group, n // group, *a.shape[1:]) for a in (x, y))
        return part(*(lax.dynamic_index_in_dim(a, i, axis=1, keepdims=False) for a in pick))

    return lax.fori_loop(1, n // group, lambda i, total: total + part_of(i), part_of(0))


def _correlate(x, y, strides, padding):
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    return _canonical(x, y, (1, 1), padding, rhs_dilation=strides).transpose(1, 2, 0, 3)


def _correlate_few(x, y, strides, padding):
    """The same with the roles of x and y exchanged, which finds the kernel reversed: y has few channels."""
    kernel_size = _kernel_size(x.shape[1:3], y.shape[1:3], strides, padding)
    pads = [(k - 1 - lo, k - 1 - hi, s - 1) for k, s, (lo, hi) in zip(kernel_size, strides, padding, strict=True)]
    y = lax.pad(y, jnp.zeros((), y.dtype), ((0, 0, 0), *pads, (0, 0, 0)))
    w = _canonical(y.transpose(3, 1, 2, 0), x.transpose(1, 2, 0, 3), (1, 1), "VALID")
    return w[:, ::-1, ::-1].transpose(1, 2, 3, 0)


# ---- The primitives --------------------------------------------------------------------------------------


def _bilinear(name: str, native: Callable, cpu: Callable, folds: tuple[Pair, Pair]) -> Primitive:
    """One of the maps as a primitive, of two operands of rank 4, or of rank 5: a list of independent pairs.

    A batch of operand i alone folds into its axis `folds[i][0]` and reappears in the result's axis
    `folds[i][1]` (counted from the end), along which the results are independent.
    """
    primitive = Primitive(name)

    def over_pairs(f, each):
        return lambda a, b, **p: partial(f, **p)(a, b) if a.ndim == 4 else each(partial(f, **p))(a, b)

    # XLA's grouped convolutions, which vmap makes, are slow on the CPU; 12 β-VAEs on a GPU were twice as slow by them.
    cpu = over_pairs(cpu, lambda f: lambda a, b: lax.map(lambda ab: f(*ab), (a, b)))
    gpu = over_pairs(native, lambda f: lambda a, b: jnp.stack([f(*ab) for ab in zip(a, b, strict=True)]))
    native = over_pairs(native, jax.vmap)

    def batch(operands, dims, **params):
        if None not in dims:
            pairs = [jnp.moveaxis(a, d, 0) for a, d in zip(operands, dims, strict=True)]
            out = primitive.bind(*(a.reshape(-1, *a.shape[-4:]) for a in pairs), **params)
            return out.reshape(*pairs[0].shape[:-4], *out.shape[1:]), 0
        i = 0 if dims[1] is None else 1
        axis, out_axis = folds[i]
        a = jnp.moveaxis(operands[i], dims[i], axis - 1)
        members = a.shape[axis - 1]
        a = lax.collapse(a, a.ndim + axis - 1, a.ndim + axis + 1)
        out = primitive.bind(*((a, operands[1]) if i == 0 else (operands[0], a)), **params)
        at = out.ndim + out_axis
        return out.reshape(*out.shape[:at], members, -1, *out.shape[at + 1 :]), at

    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("strides", "padding")))
    primitive.def_abstract_eval(lambda a, b, **p: jax.make_jaxpr(partial(native, **p))(a, b).out_avals[0])
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(native, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(cpu, multiple_results=False), platform="cpu")
    mlir.register_lowering(primitive, mlir.lower_fun(gpu, multiple_results=False), platform="cuda")
    return primitive


_conv_p = _bilinear("conv", _native, _cpu, ((-4, -4), (-1, -1)))
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


# ---- The layers ------------------------------------------------------------------------------------------


class Conv(nn.Module):
    """A convolution layer: `conv(x, kernel) + bias`, the kernel (height, width, in, features).

    `padding_mode='reflect'` continues the image by its mirror image, the edge not repeated, instead of
    zeros. `dtype` is the computation's; None takes the common type of input and parameters. Raises
    ValueError as `conv`.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding = "SAME"
    padding_mode: str = "zeros"
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q o"]:
        kernel_size, strides = _pair("kernel_size", self.kernel_size), _pair("strides", self.strides)
        shape = (*kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, shape[-1:], self.param_dtype) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        padding = self.padding
        if self.padding_mode == "reflect":
            pads = _pads(padding, x.shape[1:3], kernel_size, strides)
            pads = tuple((max(lo, 0), max(hi, 0)) for lo, hi in pads)
            x, padding = jnp.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect"), "VALID"
        elif self.padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' or 'reflect': got {self.padding_mode!r}")
        y = conv(x, kernel, strides, padding)
        return y if bias is None else y + bias


class ConvTranspose(nn.Module):
    """A transposed convolution layer: `conv_transpose(x, kernel) + bias`, kernel (height, width, features, in).

    That is the kernel of the convolution whose adjoint this is (Flax's `transpose_kernel=True`), so its
    fan-in is height × width × the last axis, as the default initialiser counts. The padding is the
    convolution's too, as in PyTorch: kernel 4, stride 2, padding 1 doubles the size; 'SAME' multiplies it by
    the stride.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    kernel_init: Callable = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q o"]:
        shape = (*_pair("kernel_size", self.kernel_size), self.features, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv_transpose(x, kernel, self.strides, self.padding)
        return y if bias is None else y + bias
