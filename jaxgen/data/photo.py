"""`photo:NAME`: scikit-learn's two sample photographs; `image:FILE`: one image; `patches:SOURCE`: images cut into
squares."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxgen.data.dataset import Dataset
from jaxgen.data.images import read_image, resize
from jaxgen.data.options import Loader, Options
from jaxgen.data.splits import check_split
from jaxgen.optional import require

__all__ = ["load", "load_image", "load_patches"]

PHOTOS = ("china", "flower")
PATCH = 64  # pixels a side


def load(name: str, split: str, options: Options) -> Dataset:
    """Returns one photograph, 427×640 pixels, the same in every split."""
    if name not in PHOTOS:
        raise ValueError(f"there is no photo {name!r}; allowed are {', '.join(PHOTOS)}")
    check_split(split, f"photo:{name}")
    require("PIL.Image", f"the source photo:{name}", "pillow")
    datasets = require("sklearn.datasets", f"the source photo:{name}", "scikit-learn")
    image = datasets.load_sample_image(f"{name}.jpg")[None]
    return Dataset({"image": resize(image, options.image_size, options.channels)}, name=f"photo:{name}")


def load_image(path: str, split: str, options: Options) -> Dataset:
    """Returns one image, from a file, grey or RGB, the same in every split."""
    check_split(split, f"image:{path}")
    size = (options.image_size, options.image_size) if options.image_size else None
    image = read_image(Path(path).expanduser(), options.channels, size)
    return Dataset({"image": image[None]}, name=f"image:{path}")


def load_patches(read: Loader, source: str, split: str, options: Options) -> Dataset:
    """Returns squares of `image_size` pixels (64 by default) from the images of `source`, which keep their size.

    The squares are cut at steps of half their side. The right fifth of a single image is "test", the
    remainder "train", and "all" the whole; several images have the splits of the source.

    Raises `ValueError` for images that are smaller than a patch, or not in memory.
    """
    name, size = f"patches:{source}", options.image_size or PATCH
    whole = read(source, split, replace(options, image_size=None))
    if not isinstance(whole, Dataset) or "image" not in whole.arrays:
        raise ValueError(f"{name}: {whole.name} has no images in memory, which are needed")
    images = whole.arrays["image"]
    if len(images) == 1 and split != "all":
        border = images.shape[2] * 4 // 5
        images = images[:, :, border:] if split == "test" else images[:, :, :border]
    if size > min(images.shape[1:3]):
        raise ValueError(f"{name}: patches of {size} pixels, but the images have {images.shape[1]}×{images.shape[2]}")
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    step = max(1, size // 2)
    patches = np.moveaxis(windows[:, ::step, ::step], 3, -1).reshape(-1, size, size, images.shape[-1])
    if patches.nbytes > options.memory_limit:
        raise ValueError(f"{name}: {len(patches)} patches exceed {options.memory_limit} bytes of memory")
    return Dataset({"image": patches}, name=name)
