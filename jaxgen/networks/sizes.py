"""The arithmetic of image sizes that the networks share: how often a side can be halved, and what is left.

Sizes are (height, width) in pixels. Every ValueError names the size that was given and what is allowed.
"""

import math
from collections.abc import Sequence

__all__ = ["exact_halvings", "growth", "halve", "pyramid", "rounded_pyramid", "squeezed"]


def halve(height: int, width: int, times: int, least: int = 1) -> tuple[int, int]:
    """Returns the size after a number of halvings. Raises ValueError where they are not exact, and for sides of less
    than `least` pixels before them."""
    scale = 2**times
    if height % scale or width % scale or min(height, width) < least:
        limit = f", at least {least}" if least > scale else ""
        raise ValueError(
            f"image size {height}×{width}: {times} halvings need sides that are multiples of {scale}{limit}"
        )
    return height // scale, width // scale


def exact_halvings(height: int, width: int) -> int:
    """Returns how often both sides can be halved exactly: 5 times for 32×96."""
    common = math.gcd(height, width)
    return (common & -common).bit_length() - 1


def pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Returns the sizes met by halving an image while both sides are even and stay at least 4, the largest first.

    28×28 gives 28, 14, 7; 64×64 gives 64, 32, 16, 8, 4. Raises ValueError where not even one halving is possible.
    """
    sizes = [(height, width)]
    while all(side % 2 == 0 and side >= 8 for side in sizes[-1]):
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    if len(sizes) == 1:
        raise ValueError(f"image size {height}×{width}: a convolutional network needs even sides of at least 8 pixels")
    return sizes


def rounded_pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Returns the sizes met by halving an image, rounded up, until a side is 4 pixels or less, the largest first.

    28×28 gives 28, 14, 7, 4. Raises ValueError where not even one halving is needed.
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > 4:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    if len(sizes) == 1:
        raise ValueError(f"image size {height}×{width}: this network needs sides of at least 5 pixels")
    return sizes


def growth(height: int, width: int) -> tuple[int, ...]:
    """Returns the sides 4, 8, ... up to that of a square image, the sizes of progressive growing.

    Raises ValueError for an image that is no square, and for a side that is no power of two from 8 on.
    """
    if height != width or height < 8 or height & (height - 1):
        raise ValueError(f"image size {height}×{width}: progressive growing needs a square of 8, 16, 32, ... pixels")
    return tuple(2**i for i in range(2, height.bit_length()))


def squeezed(shape: Sequence[int], squeezes: int, splits: int) -> tuple[int, int, int]:
    """Returns the shape (h, w, c) of an image in a flow, after squeezes, each of which turns squares of 2×2 pixels into
    channels, and splits, at each of which half the channels leave the flow."""
    height, width, channels = shape
    return height >> squeezes, width >> squeezes, channels << (2 * squeezes - splits)
