"""The programs that compute the three maps: native operations on accelerators, and a fast form on the CPU.

XLA's CPU backend is fast only for convolutions written as NHWC × HWIO → NHWC. JAX's own derivatives of a convolution
are not of this canonical form, and inside a loop nothing brings them into it. The functions `cpu_*` therefore write
each map in canonical form with explicit transposes, and choose among several such forms by the shapes of the operands.

All functions here take operands of rank 4, the strides, and a padding that is exact (see `padding.exact`).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jaxtyping import Array, Float

from jaxgen.layers.convolution.padding import Pads, Pair, input_size, kernel_size

__all__ = [
    "cpu_conv",
    "cpu_conv_kernel",
    "cpu_conv_transpose",
    "lower",
    "native_conv",
    "native_conv_kernel",
    "native_conv_transpose",
]

Images = Float[Array, "b _ _ _"]
"""Images (batch, height, width, channels): the operand x or y of a map."""

Kernel = Float[Array, "_ _ _ _"]
"""A kernel (height, width, in, out): the operand w of a map."""

canonical: Callable[..., Array] = partial(lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"))
"""XLA's convolution, the operands in canonical form."""


def lower(primitive: Primitive, native: Callable[..., Array], cpu: Callable[..., Array]) -> None:
    """Gives a primitive its output's shape and its programs for all platforms.

    `native` and `cpu` are functions of two operands of rank 4, strides and padding. Operands of rank 5 are a list of
    independent pairs, which are computed one after the other on the CPU (XLA's grouped convolutions, which `vmap`
    makes, are slow there), as one convolution each on an Nvidia GPU (the grouped one took twice the time for 12
    β-VAEs), and as a grouped convolution elsewhere.
    """

    def over_pairs(f, each):
        return lambda a, b, **p: partial(f, **p)(a, b) if a.ndim == 4 else each(partial(f, **p))(a, b)

    cpu = over_pairs(cpu, lambda f: lambda a, b: lax.map(lambda ab: f(*ab), (a, b)))
    gpu = over_pairs(native, lambda f: lambda a, b: jnp.stack([f(*ab) for ab in zip(a, b, strict=True)]))
    native = over_pairs(native, jax.vmap)
    primitive.def_abstract_eval(lambda a, b, **p: jax.make_jaxpr(partial(native, **p))(a, b).out_avals[0])
    mlir.register_lowering(primitive, mlir.lower_fun(native, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(cpu, multiple_results=False), platform="cpu")
    mlir.register_lowering(primitive, mlir.lower_fun(gpu, multiple_results=False), platform="cuda")


# ---- Accelerators ----------------------------------------------------------------------------------------


def native_conv(x: Images, w: Kernel, strides: Pair, padding: Pads) -> Array:
    """Computes `conv` by XLA's convolution."""
    return canonical(x, w, strides, padding)


def native_conv_transpose(y: Images, w: Kernel, strides: Pair, padding: Pads) -> Array:
    """Computes `conv_transpose` by JAX's own transpose of the convolution."""
    size = input_size(y.shape[1:3], w.shape[:2], strides, padding)
    x = jax.ShapeDtypeStruct((y.shape[0], *size, w.shape[2]), y.dtype)
    return jax.linear_transpose(lambda x: native_conv(x, w, strides, padding), x)(y)[0]


def native_conv_kernel(x: Images, y: Images, strides: Pair, padding: Pads) -> Array:
    """Computes `conv_kernel` by JAX's own transpose of the convolution."""
    size = kernel_size(x.shape[1:3], y.shape[1:3], strides, padding)
    w = jax.ShapeDtypeStruct((*size, x.shape[3], y.shape[3]), x.dtype)
    return jax.linear_transpose(lambda w: native_conv(x, w, strides, padding), w)(y)[0]


# ---- The CPU ---------------------------------------------------------------------------------------------


def cpu_conv(x: Images, w: Kernel, strides: Pair, padding: Pads) -> Array:
    """Computes `conv` as a canonical convolution, or as a matrix product where it is one at every pixel."""
    if _pointwise(w.shape[:2], strides, padding):
        return jnp.tensordot(x, w[0, 0], 1)
    return canonical(x, w, strides, padding)


def cpu_conv_transpose(y: Images, w: Kernel, strides: Pair, padding: Pads) -> Array:
    """Computes `conv_transpose` by the form that suits the shapes: a matrix product at every pixel, by phases, a matrix
    product for each position of the kernel, or a convolution of y, zeros between its pixels, with the reversed
    kernel."""
    if _pointwise(w.shape[:2], strides, padding):
        return jnp.tensordot(y, w[0, 0], ((3,), (1,)))
    (kh, kw, i, o), (sh, sw) = w.shape, strides
    # XLA exchanges the operands of a convolution whose kernel is larger than the image, out of canonical form.
    exchanged = kh * kw > y.shape[1] * y.shape[2]
    if sh * sw > 1 and i >= 8 and (kh % sh == kw % sw == 0 or exchanged):
        return _transpose_by_phases(y, w, strides, padding)
    pads = [(k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip((kh, kw), padding, strict=True)]
    if strides == (1, 1) and i * o >= 2**16 and w.size // (i + o) > y.size // o and np.min(pads) >= 0:
        # Rearranging such a large kernel takes longer than convolving few pixels with it.
        (p, q), y = input_size(y.shape[1:3], (kh, kw), strides, padding), jnp.pad(y, ((0, 0), *pads, (0, 0)))
        parts = (
            jnp.tensordot(y[:, j : j + p, k : k + q], w[kh - 1 - j, kw - 1 - k], ((3,), (1,)))
            for j, k in np.ndindex(kh, kw)
        )
        return sum(parts, start=jnp.zeros((), y.dtype))
    return canonical(y, w[::-1, ::-1].swapaxes(2, 3), (1, 1), pads, lhs_dilation=strides)


def cpu_conv_kernel(x: Images, y: Images, strides: Pair, padding: Pads) -> Array:
    """Computes `conv_kernel` by convolving x with y, the batch in the role of the channels, a few images at a time."""
    if _pointwise(kernel_size(x.shape[1:3], y.shape[1:3], strides, padding), strides, padding):
        return jnp.tensordot(x, y, ((0, 1, 2), (0, 1, 2)))[None, None]
    part = _correlate_few if y.shape[3] < min(8, x.shape[3]) else _correlate
    # Each sum runs over all the pixels of a group; about 2048 of them fit the cache (8 times faster at 32×32).
    n, pixels = x.shape[0], y.shape[1] * y.shape[2]
    group = next(d for d in range(1, n + 1) if n % d == 0 and (d * pixels >= 2048 or d == n))

    def part_of(i):
        # Every group takes images from all of the batch, so a batch sharded over devices stays where it is.
        images, cotangents = (
            lax.dynamic_index_in_dim(a.reshape(group, n // group, *a.shape[1:]), i, axis=1, keepdims=False)
            for a in (x, y)
        )
        return part(images, cotangents, strides, padding)

    return lax.fori_loop(1, n // group, lambda i, total: total + part_of(i), part_of(0))


def _pointwise(kernel: tuple[int, ...], strides: Pair, padding: Pads) -> bool:
    """Whether the convolution is a matrix product at every pixel, which XLA's convolutions do not notice."""
    return kernel == strides == (1, 1) and padding == ((0, 0), (0, 0))


def _transpose_by_phases(y: Images, w: Kernel, strides: Pair, padding: Pads) -> Array:
    """Computes `conv_transpose` without zeros between the pixels.

    A pixel of the result meets only the part of the kernel at its own phase (row mod sh, column mod sw). One
    convolution with all parts, side by side as channels, gives all phases, which are then interleaved. Zeros after the
    kernel make the parts equal in size.
    """
    (kh, kw, i, o), (sh, sw) = w.shape, strides
    more = -kh % sh, -kw % sw
    w = jnp.pad(w, ((0, more[0]), (0, more[1]), (0, 0), (0, 0)))
    kh, kw = w.shape[:2]
    parts = w.reshape(kh // sh, sh, kw // sw, sw, i, o)[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
    parts = parts.reshape(kh // sh, kw // sw, o, sh * sw * i)
    x = canonical(y, parts, (1, 1), [(k // s - 1, k // s - 1) for k, s in ((kh, sh), (kw, sw))])
    n, p, q = x.shape[:3]
    x = x.reshape(n, p, q, sh, sw, i).swapaxes(2, 3).reshape(n, p * sh, q * sw, i)
    crop = [(-lo, -hi - m, 0) for (lo, hi), m in zip(padding, more, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *crop, (0, 0, 0)))


def _correlate(x: Images, y: Images, strides: Pair, padding: Pads) -> Array:
    """Computes `conv_kernel` of a few images in one convolution, with y in the role of the kernel."""
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    return canonical(x, y, (1, 1), padding, rhs_dilation=strides).transpose(1, 2, 0, 3)


def _correlate_few(x: Images, y: Images, strides: Pair, padding: Pads) -> Array:
    """Does the same with the roles of x and y exchanged, which finds the kernel reversed: it suits a y of few
    channels."""
    kernel = kernel_size(x.shape[1:3], y.shape[1:3], strides, padding)
    pads = [(k - 1 - lo, k - 1 - hi, s - 1) for k, s, (lo, hi) in zip(kernel, strides, padding, strict=True)]
    y = lax.pad(y, jnp.zeros((), y.dtype), ((0, 0, 0), *pads, (0, 0, 0)))
    w = canonical(y.transpose(3, 1, 2, 0), x.transpose(1, 2, 0, 3), (1, 1), "VALID")
    return w[:, ::-1, ::-1].transpose(1, 2, 3, 0)
