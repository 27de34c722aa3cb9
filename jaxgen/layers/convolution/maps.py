"""Two-dimensional convolution as a closed algebra of three bilinear maps.

With stride s, padding p and a kernel w, the convolution (NHWC × HWIO → NHWC) sums over j and i

    y[n, q, o] = x[n, s q + j - p, i] w[j, i, o]                    conv(x, w)

It is linear in x and in w, so it has two adjoints:

    x[n, r, i] = Σ_{s q + j - p = r} y[n, q, o] w[j, i, o]          conv_transpose(y, w)
    w[j, i, o] = Σ_{n, q} x[n, s q + j - p, i] y[n, q, o]           conv_kernel(x, y)

    ⟨conv(x, w), y⟩ = ⟨x, conv_transpose(y, w)⟩ = ⟨w, conv_kernel(x, y)⟩

The adjoints of each map, in either argument, are the other two. Each map is one JAX primitive whose derivative rules
say just that, so derivatives of any order, forward and reverse, are made of these three, and all of them are as fast
as the programs in `lowering`.

Under `jax.shard_map` use `check_vma=False`, or give both operands the same varying axes: unlike the native operation,
these maps do not mark a replicated kernel as varying by themselves.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jaxtyping import Array, Float

from jaxgen.layers.convolution import lowering
from jaxgen.layers.convolution.padding import Padding, Pair, as_pads, as_pair, exact, input_size, output_size

__all__ = ["conv", "conv_kernel", "conv_transpose"]


def conv(
    x: Float[Array, "b h w i"],
    w: Float[Array, "kh kw j o"],
    strides: int | Pair = 1,
    padding: Padding = "SAME",
) -> Float[Array, "b p q o"]:
    """Convolves images x with the kernel w (a cross-correlation, as everywhere in deep learning).

    `padding` is 'SAME' (the output's size is ⌈h / stride⌉), 'VALID' (none), the number of zeros on every side, or
    ((top, bottom), (left, right)), where negative numbers crop. Raises ValueError for operands, strides or padding that
    do not fit together.
    """
    x, w = _operands(x, w)
    if x.shape[3] != w.shape[2]:
        raise ValueError(
            f"x of shape {x.shape} has {x.shape[3]} channels, but the kernel of shape {w.shape} "
            f"(height, width, in, out) takes {w.shape[2]}; feature groups are not supported"
        )
    size, kernel, strides = x.shape[1:3], w.shape[:2], as_pair("strides", strides)
    pads = exact(as_pads(padding, size, kernel, strides), size, kernel, strides)
    return _conv_p.bind(x, w, strides=strides, padding=pads)


def conv_transpose(
    y: Float[Array, "b p q o"],
    w: Float[Array, "kh kw i j"],
    strides: int | Pair = 1,
    padding: Padding = "SAME",
) -> Float[Array, "b h w i"]:
    """Computes the adjoint of `conv` in x, the transposed convolution: from the output's shape to the input's.

    The kernel is laid out as for `conv`, so its last axis meets the channels of y. `padding` is that of the forward
    convolution, as in PyTorch: the size is (p - 1) · stride + kernel - pads, and p · stride for 'SAME'. Kernel 4,
    stride 2 and padding 1 double the size. PyTorch's padding=a, output_padding=r is ((a, a - r), (a, a - r)). Raises
    ValueError for operands, strides or padding that do not fit together.
    """
    y, w = _operands(y, w)
    if y.shape[3] != w.shape[3]:
        raise ValueError(
            f"y of shape {y.shape} has {y.shape[3]} channels, but the kernel of shape {w.shape} "
            f"(height, width, out, in) takes {w.shape[3]}; feature groups are not supported"
        )
    kernel, strides = w.shape[:2], as_pair("strides", strides)
    size = [m * s for m, s in zip(y.shape[1:3], strides, strict=True)]
    pads = as_pads(padding, size, kernel, strides)
    if min(input_size(y.shape[1:3], kernel, strides, pads)) < 1:
        raise ValueError(f"padding {pads} crops all of y, shape {y.shape}, kernel {w.shape}")
    return _conv_transpose_p.bind(y, w, strides=strides, padding=pads)


def conv_kernel(
    x: Float[Array, "b h w i"],
    y: Float[Array, "b p q o"],
    kernel_size: int | Pair,
    strides: int | Pair = 1,
    padding: Padding = "SAME",
) -> Float[Array, "kh kw i o"]:
    """Computes the adjoint of `conv` in w: the gradient of ⟨conv(x, w), y⟩ with respect to a kernel of this size.

    Raises ValueError where y has not the shape of the convolution's output.
    """
    x, y = _operands(x, y)
    size, kernel, strides = x.shape[1:3], as_pair("kernel_size", kernel_size), as_pair("strides", strides)
    pads = exact(as_pads(padding, size, kernel, strides), size, kernel, strides)
    expected = (x.shape[0], *output_size(size, kernel, strides, pads))
    if y.shape[:3] != expected:
        raise ValueError(f"for x of shape {x.shape}, y must be {(*expected, 'channels')}: got shape {y.shape}")
    return _conv_kernel_p.bind(x, y, strides=strides, padding=pads)


def _operands(a: Array, b: Array) -> tuple[Array, Array]:
    """Returns both in their common type. Raises ValueError unless both have four axes."""
    if jnp.ndim(a) != 4 or jnp.ndim(b) != 4:
        raise ValueError(
            "images are (batch, height, width, channels) and kernels (height, width, in, out), "
            f"four axes each: got shapes {jnp.shape(a)} and {jnp.shape(b)}"
        )
    dtype = jnp.result_type(a, b)
    return jnp.asarray(a, dtype), jnp.asarray(b, dtype)


# ---- The primitives --------------------------------------------------------------------------------------


def _bilinear(
    name: str, native: Callable[..., Array], cpu: Callable[..., Array], folds: tuple[Pair, Pair]
) -> Primitive:
    """Makes one of the maps a primitive of two operands of rank 4, or of rank 5 for a list of independent pairs.

    Where only operand i is batched by `vmap`, its batch folds into its axis `folds[i][0]` and reappears in the result's
    axis `folds[i][1]` (counted from the end), along which the results are independent.
    """
    primitive = Primitive(name)

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

    lowering.lower(primitive, native, cpu)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames=("strides", "padding")))
    batching.primitive_batchers[primitive] = batch
    return primitive


_conv_p = _bilinear("conv", lowering.native_conv, lowering.cpu_conv, ((-4, -4), (-1, -1)))
_conv_transpose_p = _bilinear(
    "conv_transpose", lowering.native_conv_transpose, lowering.cpu_conv_transpose, ((-4, -4), (-2, -1))
)
_conv_kernel_p = _bilinear("conv_kernel", lowering.native_conv_kernel, lowering.cpu_conv_kernel, ((-1, -2), (-1, -1)))

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
