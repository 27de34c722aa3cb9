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

__all__ = ["load_pairs", "load_tinted"]

Images = UInt8[np.ndarray, "n h w _"]
EDGE, FAINT = 0.25, 100.0  # of the steepest slope in the image; and what is no edge anyway
PAPER, INK = np.array([255, 220, 90]), np.array([40, 30, 140])


def edges(image: Images) -> tuple[Images, Images]:
    """White where the image is steep (Sobel's operator, of its grey values), and the image."""
    grey = np.pad(resize(image, channels=1)[..., 0].astype(np.float32), ((0, 0), (1, 1), (1, 1)), "edge")
    across = grey[:, :, 2:] - grey[:, :, :-2]
    down = grey[:, 2:] - grey[:, :-2]
    x = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
    y = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
    slope = np.hypot(x, y)
    steep = slope > np.maximum(EDGE * slope.max(axis=(1, 2), keepdims=True), FAINT)
    return np.where(steep, 255, 0).astype(np.uint8)[..., None], image


def outline(image: Images) -> tuple[Images, Images]:
    """The outline, one pixel wide, of what is bright in the image, and all of it."""
    bright = np.pad(resize(image, channels=1)[..., 0] > 127, ((0, 0), (1, 1), (1, 1)))
    inside = bright[:, :-2, 1:-1] & bright[:, 2:, 1:-1] & bright[:, 1:-1, :-2] & bright[:, 1:-1, 2:]
    bright = bright[:, 1:-1, 1:-1]
    return tuple(np.where(x, 255, 0).astype(np.uint8)[..., None] for x in (bright & ~inside, bright))


def grey(image: Images) -> tuple[Images, Images]:
    """The image without its colours, and with them."""
    return resize(image, channels=1), image


def load_pairs(
    make: Callable[[Images], tuple[Images, Images]], read: Loader, source: str, split: str, options: Options
) -> Dataset:
    """`source` and `target` as `make` finds them in the images of `source`."""
    images = _images(read, make.__name__, source, split, options)
    found = make(images.arrays["image"])
    arrays = dict(zip(("source", "target"), found, strict=True))
    return replace(images, arrays=_labels(images) | arrays, name=f"{make.__name__}:{source}")


def load_tinted(read: Loader, source: str, split: str, options: Options) -> Dataset:
    """`a`: images in grey, as RGB; `b`: in ink on paper, dark blue where they are bright and yellow where dark.

    To train, every other image is in `a` and the rest in `b`; to test, all are in both, row by row.
    """
    images = _images(read, "tint", source, split, replace(options, channels=1))
    bright = images.arrays["image"].astype(np.float32) / 255
    a = np.repeat(images.arrays["image"], 3, axis=-1)
    b = np.rint(PAPER + bright * (INK - PAPER)).astype(np.uint8)
    if split == "train":
        return Dataset({"a": a[::2], "b": b[1::2]}, name=f"tint:{source}", unpaired=True)
    return replace(images, arrays=_labels(images) | {"a": a, "b": b}, name=f"tint:{source}")


def _images(read: Loader, task: str, source: str, split: str, options: Options) -> Dataset:
    images = read(source, split, options)
    if not isinstance(images, Dataset) or "image" not in images.arrays or images.arrays["image"].ndim != 4:
        raise ValueError(f"{task}:{source}: a source of images that fit in memory is needed")
    return images


def _labels(images: Dataset) -> dict[str, np.ndarray]:
    return {name: array for name, array in images.arrays.items() if name == "label"}
