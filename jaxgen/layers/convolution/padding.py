"""The arithmetic of a convolution's sizes, strides and padding.

On each axis, input + padding = (output - 1) · stride + kernel.
"""

from collections.abc import Sequence

__all__ = ["Padding", "Pads", "Pair", "as_pads", "as_pair", "exact", "input_size", "kernel_size", "output_size"]

Pair = tuple[int, int]
"""A number for the height and one for the width."""

Pads = tuple[Pair, Pair]
"""The rows and columns that are added: ((top, bottom), (left, right)). A negative number crops."""

Padding = str | int | Sequence[Sequence[int]]
"""A padding as a user gives it: 'SAME', 'VALID', a number of zeros for every side, or `Pads`."""


def as_pair(name: str, value: int | Sequence[int]) -> Pair:
    """Returns the value as a pair. Raises ValueError, which calls the value `name`, unless it is a positive integer or
    a pair of them."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= 1 for v in pair):
        raise ValueError(f"{name} must be a positive integer or a pair of them: got {value!r}")
    return pair[0], pair[1]


def as_pads(padding: Padding, size: Sequence[int], kernel: Sequence[int], strides: Pair) -> Pads:
    """Returns the padding as ((top, bottom), (left, right)) for images of this size (height, width). Raises ValueError
    for a padding of another form."""
    if padding == "SAME":
        outputs = (-(-n // s) for n, s in zip(size, strides, strict=True))
        totals = ((m - 1) * s + k - n for m, n, k, s in zip(outputs, size, kernel, strides, strict=True))
        vertical, horizontal = ((max(t, 0) // 2, t - max(t, 0) // 2) for t in totals)
        return vertical, horizontal
    if padding == "VALID":
        padding = 0
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    pads: list[tuple[int, ...]] = (
        [] if isinstance(padding, str) else [() if isinstance(p, int) else tuple(p) for p in padding]
    )
    if [len(p) for p in pads] != [2, 2]:
        raise ValueError(
            f"padding must be 'SAME', 'VALID', an integer or ((top, bottom), (left, right)): got {padding!r}"
        )
    (top, bottom), (left, right) = pads
    return (top, bottom), (left, right)


def exact(pads: Pads, size: Sequence[int], kernel: Sequence[int], strides: Pair) -> Pads:
    """Returns the padding of the same convolution after which the last window ends where the padded image ends.

    It crops what no window reaches, so that two of the three sizes always determine the third. Raises ValueError where
    the kernel does not fit into the image.
    """
    output = output_size(size, kernel, strides, pads)
    if min(output) < 1:
        raise ValueError(f"kernel size {tuple(kernel)} does not fit into size {tuple(size)} with padding {pads}")
    used = input_size(output, kernel, strides, pads)
    vertical, horizontal = ((lo, hi + m - n) for m, n, (lo, hi) in zip(used, size, pads, strict=True))
    return vertical, horizontal


def output_size(size: Sequence[int], kernel: Sequence[int], strides: Pair, pads: Pads) -> Pair:
    """Returns the height and width of the convolution's output."""
    height, width = ((n + sum(p) - k) // s + 1 for n, k, s, p in zip(size, kernel, strides, pads, strict=True))
    return height, width


def input_size(output: Sequence[int], kernel: Sequence[int], strides: Pair, pads: Pads) -> Pair:
    """Returns the height and width of the input of which the windows leave nothing out."""
    height, width = ((m - 1) * s + k - sum(p) for m, k, s, p in zip(output, kernel, strides, pads, strict=True))
    return height, width


def kernel_size(size: Sequence[int], output: Sequence[int], strides: Pair, pads: Pads) -> Pair:
    """Returns the height and width of the kernel, where the padding is exact."""
    height, width = (n + sum(p) - (m - 1) * s for n, m, s, p in zip(size, output, strides, pads, strict=True))
    return height, width
