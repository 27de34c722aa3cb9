"""Tasks from images to images with a known answer, made of the images of any source.

`edges:SOURCE`, `outline:SOURCE` and `grey:SOURCE` are pairs; `tint:SOURCE` is two domains without pairs.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.dataset import Dataset
from jaxgen.data.images import resize
from jaxgen.data.options import Loader, Options

__all__ = ["Task", "edges", "grey", "load_pairs", "load_tinted", "outline"]

Images = UInt8[np.ndarray, "n h w _"]
EDGE = 0.25  # a slope counts as an edge above this share of the steepest slope in the image,
FAINT = 100.0  # and above this slope
PAPER, INK = np.array([255, 220, 90]), np.array([40, 30, 140])


Task = Callable[[Images], tuple[Images, Images]]
"""A function from images to pairs of source and target, each uint8 (n, h, w, c)."""


def edges(image: Images) -> tuple[Images, Images]:
    """Returns the edges, white where the grey values are steep by Sobel's operator, and the image."""
    grey = np.pad(resize(image, channels=1)[..., 0].astype(np.float32), ((0, 0), (1, 1), (1, 1)), "edge")
    across = grey[:, :, 2:] - grey[:, :, :-2]
    down = grey[:, 2:] - grey[:, :-2]
    x = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    y = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    slope = np.hypot(x, y)
    steep = slope > np.maximum(EDGE * slope.max(axis=(1, 2), keepdims=True), FAINT)
    return _black_and_white(steep), image


def outline(image: Images) -> tuple[Images, Images]:
    """Returns the outline, one pixel wide, of the bright part of the image, and the whole bright part."""
    bright = np.pad(resize(image, channels=1)[..., 0] > 127, ((0, 0), (1, 1), (1, 1)))
    inside = bright[:, :-2, 1:-1] & bright[:, 2:, 1:-1] & bright[:, 1:-1, :-2] & bright[:, 1:-1, 2:]
    bright = bright[:, 1:-1, 1:-1]
    return _black_and_white(bright & ~inside), _black_and_white(bright)


def grey(image: Images) -> tuple[Images, Images]:
    """Returns the image without its colours, and with them."""
    return resize(image, channels=1), image


def load_pairs(make: Task, read: Loader, source: str, split: str, options: Options) -> Dataset:
    """Returns `source` and `target`, which `make` finds in the images of `source`; the splits are those of `source`.

    Raises `ValueError` for a source without images, or one that does not fit in memory.
    """
    images = _images(read, make.__name__, source, split, options)
    found = make(images.arrays["image"])
    arrays = dict(zip(("source", "target"), found, strict=True))
    return replace(images, arrays=_labels(images) | arrays, name=f"{make.__name__}:{source}")


def load_tinted(read: Loader, source: str, split: str, options: Options) -> Dataset:
    """Returns `a`, the images in grey, as RGB, and `b`, in ink on paper: dark blue where bright and yellow where dark.

    In "train" every other image is in `a` and the rest in `b`; in any other split all are in both, row by row.

    Raises `ValueError` for a source without images, or one that does not fit in memory.
    """
    images = _images(read, "tint", source, split, replace(options, channels=1))
    bright = images.arrays["image"].astype(np.float32) / 255
    a = np.repeat(images.arrays["image"], 3, axis=-1)
    b = np.rint(PAPER + bright * (INK - PAPER)).astype(np.uint8)
    if split == "train":
        return Dataset({"a": a[::2], "b": b[1::2]}, name=f"tint:{source}", unpaired=True)
    return replace(images, arrays=_labels(images) | {"a": a, "b": b}, name=f"tint:{source}")


def _black_and_white(white: np.ndarray) -> np.ndarray:
    return np.where(white, 255, 0).astype(np.uint8)[..., None]


def _images(read: Loader, task: str, source: str, split: str, options: Options) -> Dataset:
    images = read(source, split, options)
    if not isinstance(images, Dataset) or "image" not in images.arrays or images.arrays["image"].ndim != 4:
        raise ValueError(f"{task}:{source}: a source of images that fit in memory is needed")
    if images.arrays["image"].dtype != np.uint8:
        raise ValueError(f"{task}:{source}: uint8 images are needed; these are {images.arrays['image'].dtype}")
    return images


def _labels(images: Dataset) -> dict[str, np.ndarray]:
    return {name: array for name, array in images.arrays.items() if name == "label"}
