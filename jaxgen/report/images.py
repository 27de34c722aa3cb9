"""Image grids."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from jaxgen.pixels import to_uint8
from jaxgen.report.figures import scatter_picture

__all__ = ["draw_samples", "image_grid", "save_image"]


def draw_samples(
    samples: Float[Array, "n h w c"] | Float[Array, "n 2"], columns: int = 8
) -> UInt8[np.ndarray, "H W c"]:
    """The picture of a model's samples: a grid of images, or points in the plane."""
    return image_grid(samples, columns) if samples.ndim == 4 else scatter_picture(np.asarray(samples))


def image_grid(
    images: UInt8[np.ndarray | Array, "n h w c"] | Float[np.ndarray | Array, "n h w c"],
    columns: int = 8,
    gap: int = 2,
    smallest: int = 32,
) -> UInt8[np.ndarray, "H W c"]:
    """Images (uint8, or float in [-1, 1]) row by row on white; those under `smallest` pixels are enlarged to pixels
    of whole size."""
    if not np.issubdtype(images.dtype, np.integer):
        images = to_uint8(jnp.asarray(images))
    images = np.asarray(images)
    n, height, width, channels = images.shape
    zoom = max(1, -(-smallest // min(height, width)))
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = height * zoom + gap, width * zoom + gap
    columns = min(columns, n)
    rows = -(-n // columns)
    page = np.full((rows * height + gap, columns * width + gap, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * height + gap, i % columns * width + gap
        page[top : top + height - gap, left : left + width - gap] = image
    return page


def save_image(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Writes an image of 1 or 3 channels as a PNG, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path, optimize=True)
