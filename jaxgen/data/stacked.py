"""`stacked-digits`: three grey digits as the channels of one RGB image: 1,000 modes (Metz et al. 2017)."""

from dataclasses import replace

import numpy as np

from jaxgen.data.dataset import Dataset
from jaxgen.data.options import Loader, Options
from jaxgen.data.splits import check_split

__all__ = ["load"]

SIZES = {"train": 128_000, "test": 10_000}


def load(read: Loader, source: str, split: str, options: Options) -> Dataset:
    """Returns 128,000 images to train and 10,000 to test, from the digits of the same split of `source`.

    `source` is written whole, "" stands for `digits`, and `read` loads it. Red, green and blue are drawn independently;
    the label is 100 red + 10 green + blue. The images are the same in every run.

    Raises `ValueError` when `source` is not grey images of ten classes in memory, or the images do not fit there.
    """
    name = f"stacked-digits:{source}" if source else "stacked-digits"
    check_split(split, name, tuple(SIZES))
    if options.channels == 1:
        raise ValueError(f"{name} has 3 channels, a digit in each; 1 channel is not possible")
    digits = read(source or "digits", split, replace(options, channels=None))
    shape = digits.example["image"].shape if "image" in digits.example else ()
    if shape[2:] != (1,) or digits.classes != 10:
        raise ValueError(
            f"{name}: grey images of 10 classes needed; {digits.name} has shape {shape} and {digits.classes} classes"
        )
    n, height, width = SIZES[split], *shape[:2]
    if not isinstance(digits, Dataset) or 3 * n * height * width > options.memory_limit:
        raise ValueError(f"{name}: {n} images of {height}×{width} pixels exceed {options.memory_limit} bytes of memory")

    # NumPy keeps raw bits the same in all versions, as in `ordering`.
    bits = np.random.PCG64(list(SIZES).index(split)).random_raw(3 * n).reshape(n, 3)
    chosen = (bits % np.uint64(len(digits))).astype(np.int64)
    image = np.empty((n, height, width, 3), np.uint8)
    for channel in range(3):
        image[..., channel] = digits.arrays["image"][chosen[:, channel], ..., 0]
    label = digits.arrays["label"][chosen] @ np.array([100, 10, 1], np.int32)
    return Dataset({"image": image, "label": label}, tuple(f"{i:03}" for i in range(1000)), name=name)
