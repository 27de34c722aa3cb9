"""Images from files and bytes to uint8 arrays (h w c) with one channel (grey) or three (RGB).

- Transparent images are laid on white.
- 16-bit grey keeps its high byte.
- Palette images become RGB; CMYK and others too.
- The orientation that a camera wrote into the file is applied; of an animation the first frame counts.
- Resizing brings the shorter side to the size and crops the middle, bicubic and antialiased.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

__all__ = ["channels_of", "resize", "size_of", "to_array"]

GREY = ("1", "L", "LA", "La", "I", "F")
ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 exchange width and height


def channels_of(image: Image.Image) -> int:
    """1 for a grey image, 3 for any other; reads only the header."""
    return 1 if image.mode in GREY or image.mode.startswith("I;16") else 3


def size_of(image: Image.Image) -> tuple[int, int]:
    """(height, width) of the image as it is to be seen; reads only the header."""
    width, height = image.size
    turned = "exif" in image.info and image.getexif().get(ORIENTATION, 1) >= 5
    return (width, height) if turned else (height, width)


def to_array(
    image: Image.Image, channels: int, size: int | tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w c"]:
    """The pixels with 1 or 3 `channels`, resized to `size` (height, width; one number is both) where that is given."""
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        high_byte = np.clip(np.asarray(image).astype(np.int32) >> 8, 0, 255)
        image = Image.fromarray(high_byte.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != (mode := "L" if channels == 1 else "RGB"):
        image = image.convert(mode)
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image.height, image.width, channels)


def resize(
    images: UInt8[np.ndarray, "n h w c"], size: int | None = None, channels: int | None = None
) -> UInt8[np.ndarray, "n h2 w2 c2"]:
    """A stack of images brought to `size` and `channels`, where they are given."""
    channels = channels or images.shape[-1]
    if channels == images.shape[-1] and (size is None or images.shape[1:3] == (size, size)):
        return images
    pictures = [Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in images]
    return np.stack([to_array(picture, channels, size) for picture in pictures])
