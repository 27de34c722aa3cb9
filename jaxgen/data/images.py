"""Images from files and bytes to uint8 arrays (h, w, c) with one channel (grey) or three (RGB).

- Transparent images are laid on white.
- 16-bit grey keeps its high byte.
- Palette images, CMYK and others become RGB.
- The orientation that a camera wrote into the file is applied. An animation gives its first frame.
- Resizing brings the shorter side to the size and crops the middle, bicubic and antialiased.

Pillow is imported when the first image is read.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from jaxgen.data.png import decode_pngs
from jaxgen.optional import require

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["channels_of", "decode", "first_line", "header", "open_image", "read_image", "resize", "size_of", "to_array"]

GREY = ("1", "L", "LA", "La", "I", "F")
ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 exchange width and height


def open_image(file: Path | bytes) -> "PIL.Image.Image":
    """Opens an image file, or the contents of one; pixels are read when they are asked for."""
    return _pillow("Image").open(io.BytesIO(file) if isinstance(file, bytes) else file)


def channels_of(image: "PIL.Image.Image") -> int:
    """Returns 1 for a grey image and 3 for any other; reads only the header."""
    return 1 if image.mode in GREY or image.mode.startswith("I;16") else 3


def size_of(image: "PIL.Image.Image") -> tuple[int, int]:
    """Returns (height, width) of the image as a viewer shows it; reads only the header."""
    width, height = image.size
    turned = "exif" in image.info and image.getexif().get(ORIENTATION, 1) >= 5
    return (width, height) if turned else (height, width)


def header(file: Path | bytes) -> tuple[int, int, int] | str:
    """Returns (height, width, channels) of an image file, or the reason why it cannot be read."""
    pillow = _pillow("Image")  # outside of `try`: a missing package is no damaged file
    try:
        with pillow.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return *size_of(image), channels_of(image)
    except Exception as error:  # a damaged file can make a decoder raise anything
        return first_line(error)


def to_array(
    image: "PIL.Image.Image", channels: int, size: int | tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w c"]:
    """Returns the pixels with 1 or 3 `channels`, resized to `size` (height, width; one number stands for both)."""
    pillow = _pillow("Image")
    if "exif" in image.info:
        image = _pillow("ImageOps").exif_transpose(image)
    if image.mode.startswith("I"):
        high_byte = np.clip(np.asarray(image).astype(np.int32) >> 8, 0, 255)
        image = pillow.fromarray(high_byte.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image)
    if image.mode != (mode := "L" if channels == 1 else "RGB"):
        image = image.convert(mode)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        if image.size != (width, height):
            image = _pillow("ImageOps").fit(image, (width, height), pillow.Resampling.BICUBIC)
    return np.asarray(image).reshape(image.height, image.width, channels)


def decode(files: Sequence[bytes], channels: int, size: int | None = None) -> list[UInt8[np.ndarray, "h w c"]]:
    """Returns the pixels of the contents of files, each as `to_array` does; small PNG files are decoded at once."""
    if (images := decode_pngs(files)) is not None:
        return list(resize(images, size, channels))
    return [to_array(open_image(file), channels, size) for file in files]


def resize(
    images: UInt8[np.ndarray, "n h w c"], size: int | None = None, channels: int | None = None
) -> UInt8[np.ndarray, "n h2 w2 c2"]:
    """Returns a stack of images with `size` pixels a side and `channels`, where they are given."""
    wanted: int = channels or images.shape[-1]
    if wanted == images.shape[-1] and (size is None or images.shape[1:3] == (size, size)):
        return images
    pillow = _pillow("Image")
    pictures = [pillow.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in images]
    return np.stack([to_array(picture, wanted, size) for picture in pictures])


def read_image(
    path: Path, channels: int | None = None, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w c"]:
    """Returns the pixels of a file with 1 or 3 channels, by default those of the file.

    Where `size` (height, width) is given, the middle of the image is brought to it. The function warns about what is
    lost: transparency, and the low byte of 16 bits. Raises `ValueError` for a file that cannot be read.
    """
    pillow = _pillow("Image")
    try:
        with pillow.open(path) as image:
            if image.has_transparency_data:
                warnings.warn(f"{path}: what is transparent becomes white", stacklevel=2)
            if image.mode.startswith("I"):
                warnings.warn(f"{path}: only the upper 8 of the 16 bits of each pixel are used", stacklevel=2)
            return to_array(image, channels or channels_of(image), size)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its type where it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _pillow(module: str) -> Any:
    return require(f"PIL.{module}", "reading and resizing images", "pillow")
