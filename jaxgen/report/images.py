"""Image grids and animations."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxgen.pixels import to_uint8
from jaxgen.report.figures import scatter_picture

__all__ = ["draw_samples", "image_grid", "save_animation", "save_image"]


def draw_samples(
    samples: Float[Array, "n h w c"] | Float[Array, "n 2"], columns: int = 8
) -> UInt8[np.ndarray, "H W c"]:
    """Returns the picture of a model's samples: a grid of images, or points in the plane."""
    return image_grid(samples, columns) if samples.ndim == 4 else scatter_picture(np.asarray(samples))


def image_grid(
    images: UInt8[np.ndarray | Array, "n h w c"] | Float[np.ndarray | Array, "n h w c"],
    columns: int = 8,
    gap: int = 2,
    smallest: int = 32,
    names: Sequence[str] = (),
    row_names: Sequence[str] = (),
) -> UInt8[np.ndarray, "H W c"]:
    """Returns images (uint8, or float in [-1, 1]) row by row on a white page.

    Args:
        images: the images.
        columns: the number of images in a row.
        gap: white pixels between them.
        smallest: the least size of the shorter side on the page; smaller images are enlarged by a whole factor.
        names: what stands above the images, in their order; those of the first row alone name the columns.
        row_names: what stands left of the rows. Both kinds of names may have several lines.
    """
    if not np.issubdtype(images.dtype, np.integer):
        images = to_uint8(jnp.asarray(images))
    images = np.asarray(images)
    n, height, width, channels = images.shape
    zoom = max(1, -(-smallest // min(height, width)))
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = height * zoom + gap, width * zoom + gap
    columns = min(columns, n)
    rows = -(-n // columns)
    (above, broad), (_, margin) = _extent(names), _extent(row_names)
    headed = -(-len(names) // columns)  # rows with names above
    width, inset = max(width, broad), max(0, broad - width) // 2
    size = (gap + rows * height + headed * above, gap + margin + columns * width)
    page = np.full((*size, channels), 255, np.uint8)
    corners = [
        (gap + row * height + min(row + 1, headed) * above, gap + margin + column * width)
        for row in range(rows)
        for column in range(columns)
    ]
    for (top, left), image in zip(corners, images, strict=False):
        page[top : top + image.shape[0], left + inset : left + inset + image.shape[1]] = image
    if not names and not row_names:
        return page
    drawn = _picture(page)
    text = partial(ImageDraw.Draw(drawn).multiline_text, fill="black", font=_font())
    for (top, left), name in zip(corners, names, strict=False):
        text((left + (width - gap) // 2, top - 2), name, anchor="md", align="center")
    for (top, left), name in zip(corners[::columns], row_names, strict=False):
        text((left - 6, top + (height - gap) // 2), name, anchor="rm", align="right")
    return np.asarray(drawn).reshape(page.shape)


def _extent(names: Sequence[str]) -> tuple[int, int]:
    """Height and width in pixels of the largest name, with what keeps it clear; (0, 0) where there is none."""
    if not names:
        return 0, 0
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    boxes = [draw.multiline_textbbox((0, 0), name, _font()) for name in names]
    return int(max(box[3] for box in boxes)) + 6, int(max(box[2] for box in boxes)) + 10


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)


def _picture(image: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def save_image(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Writes an image of 1 or 3 channels as a PNG, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _picture(image).save(path, optimize=True)


def save_animation(
    path: Path, frames: Sequence[UInt8[np.ndarray, "h w c"]], milliseconds: int = 100, colours: int = 16
) -> None:
    """Writes frames of 1 or 3 channels as a GIF that goes forth and back without end, making the folder.

    Each frame is shown for `milliseconds`, in one palette of `colours` colours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    strip = _picture(np.concatenate(frames)).quantize(colours, dither=Image.Dither.NONE)
    width, height = strip.width, len(frames[0])
    first, *rest = (strip.crop((0, i * height, width, (i + 1) * height)) for i in range(len(frames)))
    back = rest[-2::-1]
    first.save(path, save_all=True, append_images=[*rest, *back], duration=milliseconds, loop=0)
