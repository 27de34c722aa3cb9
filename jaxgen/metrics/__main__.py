"""Compares two folders of images: python -m jaxgen.metrics REAL GENERATED --inception WEIGHTS"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image

from jaxgen.data import image_files, order, read_image
from jaxgen.data.images import channels_of
from jaxgen.metrics import (
    Extractor,
    features_of,
    inception_extractor,
    pixel_extractor,
    random_extractor,
    sample_figures,
)

__all__ = ["Comparison", "compare", "main"]

BATCH = 100
MOST_PIXELS = 3072  # values of an image: features of more make covariances that take minutes and gigabytes


@dataclass(frozen=True)
class Comparison:
    """Compares two folders of images by FID, KID, precision, recall, density and coverage, and with Inception's weights
    by the Inception score. Figures by different extractors, sizes or numbers of images do not compare."""

    real: Annotated[Path, tyro.conf.Positional]
    """The folder of real images; subfolders are read too."""
    generated: Annotated[Path, tyro.conf.Positional]
    """The folder of generated images."""
    inception: Path | None = None
    """The weight file pt_inception-2015-12-05 (.pth, .pt or .safetensors): figures by it compare with published ones,
    at the same number of images."""
    extractor: Literal["random", "pixels"] = "random"
    """The features without Inception: those of a random network, or the pixels. Their figures compare only with figures
    by the same extractor."""
    image_size: int | None = None
    """Bring the images to this number of pixels a side first; by default their size stays."""
    n: int | None = None
    """Take this number of images of each folder, at random but always the same; by default all."""


def compare(options: Comparison) -> tuple[dict[str, float], dict[str, str]]:
    """Returns the figures of the folders, and how they were computed: extractor, resize and counts.

    ValueError for a folder without images, images of several sizes or too few of them.
    """
    for name, value in {"n": options.n, "image-size": options.image_size}.items():
        if value is not None and value < 1:
            raise ValueError(f"--{name} {value}: at least 1 is needed")
    both = [_files(folder, options.n) for folder in (options.real, options.generated)]
    channels = max(_channels(file) for files in both for file in files)
    height, width, _ = read_image(both[0][0]).shape
    size = (height, width) if options.image_size is None else (options.image_size, options.image_size)
    extractor = _extractor(options, channels, size)
    resized = options.image_size is not None
    real, generated = (features_of(extractor, _images(files, channels, size, resized)) for files in both)
    found = sample_figures(extractor, real, generated)
    if options.inception is None:
        resize = "none" if not resized else f"to {size[0]}×{size[1]}, bicubic"
    else:
        resize = "to 299×299, bilinear" if not resized else f"to {size[0]}×{size[1]}, bicubic; to 299×299, bilinear"
    colours = "grey" if channels == 1 else "RGB"
    by = {"extractor": extractor.name, "resize": resize, "images": f"{len(real)} real, {len(generated)} generated"}
    return found, by | {"colours": colours}


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 2, with one line on stderr, for a user's mistake."""
    options = tyro.cli(Comparison, args=args, prog="python -m jaxgen.metrics")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        try:
            figures, by = compare(options)
        except ValueError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
    for name, value in figures.items():
        if not name.endswith("_samples"):
            print(f"{name.replace('_', ' '):24} {value:.5g}")
    for name, value in by.items():
        print(f"{name:24} {value}")
    if options.inception is None:
        print("These figures compare only with others by the same extractor, size and number of images.")
    return 0


def _files(folder: Path, n: int | None) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    files = [file for file, _ in image_files(folder)]
    if n is not None and n > len(files):
        raise ValueError(f"--n {n}: {folder} has {len(files)} images")
    return files if n is None else [files[i] for i in sorted(order(0, 0, n, len(files)))]


def _channels(file: Path) -> int:
    try:
        with Image.open(file) as image:
            return channels_of(image)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def _images(
    files: Sequence[Path], channels: int, size: tuple[int, int], resized: bool
) -> Iterator[UInt8[np.ndarray, "b h w c"]]:
    for start in range(0, len(files), BATCH):
        batch = []
        for file in files[start : start + BATCH]:
            image = read_image(file, channels, size if resized else None)
            if image.shape[:2] != size:
                shape = f"{image.shape[0]}×{image.shape[1]}"
                raise ValueError(f"{file} has {shape} pixels, others {size[0]}×{size[1]}: choose an --image-size")
            batch.append(image)
        yield np.stack(batch)


def _extractor(options: Comparison, channels: int, size: tuple[int, int]) -> Extractor:
    if options.inception is not None:
        return inception_extractor(options.inception)
    if options.extractor == "random":
        return random_extractor(channels)
    values = size[0] * size[1] * channels
    if values > MOST_PIXELS:
        raise ValueError(
            f"--extractor pixels: images of {values} values, of at most {MOST_PIXELS}; choose a smaller --image-size"
        )
    return pixel_extractor()


if __name__ == "__main__":
    sys.exit(main())
