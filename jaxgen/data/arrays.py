"""Plain arrays of a user, checked and brought into the form in which data sets hold them."""

from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Array, Float, Int, UInt8

__all__ = ["Values", "check_labels", "to_images"]

Values = Literal["uint8", "unit", "symmetric"]
"""What the values of images mean: integers 0 to 255, numbers in [0, 1], or numbers in [-1, 1]."""

RANGES = {"uint8": (0, 255), "unit": (0, 1), "symmetric": (-1, 1)}
CHANNELS = (1, 2, 3, 4)  # sizes that are plausible for a channel axis


def to_images(
    image: Array | np.ndarray, values: str = "uint8", quantise: bool = False, name: str = "the images"
) -> UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n h w c"]:
    """Returns images (n, h, w, c) as uint8 where `values` is "uint8", and else as float32 in [-1, 1].

    - `image`: (n, h, w) or (n, h, w, c).
    - `values`: see `Values`.
    - `quantise`: rounds floats to the 256 levels of uint8.

    Raises `ValueError`, on one line, for other shapes, channels before height and width, values outside the range, and
    floats whose range `values` does not say.
    """
    image = np.asarray(image)
    if values not in get_args(Values):
        raise ValueError(f"{name}: values={values!r}; allowed are 'uint8', 'unit' ([0, 1]) and 'symmetric' ([-1, 1])")
    if image.ndim not in (3, 4):
        raise ValueError(
            f"{name} have shape {image.shape}; needed is (n, h, w) or (n, h, w, c) "
            "(points go into Dataset({'image': points}))"
        )
    if image.ndim == 4 and image.shape[-1] not in CHANNELS and image.shape[1] in CHANNELS:
        raise ValueError(
            f"{name} have shape {image.shape}, which looks like channels first (NCHW); "
            "needed is (n, h, w, c): np.moveaxis(image, 1, -1)"
        )
    if image.dtype.kind not in "buif":
        raise ValueError(f"{name} are {image.dtype}; needed are numbers")
    if values == "uint8" and image.dtype.kind == "f":
        raise ValueError(
            f"{name} are {image.dtype}: say values='unit' for [0, 1] or values='symmetric' for [-1, 1], "
            "or convert them to uint8"
        )
    low, high = RANGES[values]
    if image.size and not (image.min() >= low and image.max() <= high):  # so written, it is true of NaN
        raise ValueError(
            f"{name} have values from {image.min():.6g} to {image.max():.6g}; values={values!r} allows {low} to {high}"
        )
    image = image if image.ndim == 4 else image[..., None]
    if values == "uint8":
        return image.astype(np.uint8, copy=False)
    image = image.astype(np.float32, copy=False)
    if values == "unit":
        image = 2 * image - 1
    return np.rint((image + 1) * 127.5).astype(np.uint8) if quantise else image


def check_labels(
    label: Any, n: int, label_names: tuple[str, ...] = (), name: str = "the labels"
) -> tuple[Int[np.ndarray, "n"], tuple[str, ...]]:
    """Returns labels as int32 and the names of the classes, which are "0", "1", … where none are given.

    Raises `ValueError`, on one line, unless there are `n` integers from 0 to the number of names.
    """
    label = np.asarray(label)
    if label.ndim != 1 or label.dtype.kind not in "ui":
        raise ValueError(
            f"{name} are {label.dtype} of shape {label.shape}; needed is one integer for each image, ({n},)"
        )
    if len(label) != n:
        raise ValueError(f"{name} are {len(label)}, but the images are {n}; both need one length")
    if n and label.min() < 0:
        raise ValueError(f"{name} begin at {label.min()}; the classes are counted from 0")
    names = tuple(label_names) or tuple(map(str, range(int(label.max()) + 1 if n else 0)))
    if n and label.max() >= len(names):
        raise ValueError(
            f"{name} go up to {label.max()}, but there are {len(names)} label_names: 0 to {len(names) - 1}"
        )
    return label.astype(np.int32), names
