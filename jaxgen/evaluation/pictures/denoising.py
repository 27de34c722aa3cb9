"""Pictures of models that make images from noise step by step: the way there, and images completed on it."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from jaxgen.pixels import to_uint8
from jaxgen.report import image_grid, save_image, scatter_picture
from jaxgen.types import Label, State

__all__ = ["draw_inpainting", "draw_trajectory"]

POINTS = 1000
POINT_FRAMES = 6


def draw_trajectory(frames: Float[Array, "t n ..."], folder: Path) -> None:
    """Draws trajectory.png: one row for each image with the frames from noise to it, or one scatter for each frame of
    points in the plane."""
    if frames.ndim == 3:
        picture = np.concatenate([scatter_picture(np.asarray(x)) for x in frames], axis=1)
    else:
        picture = image_grid(jnp.swapaxes(frames, 0, 1).reshape(-1, *frames.shape[2:]), len(frames))
    save_image(folder / "trajectory.png", picture)


def draw_inpainting(
    inpaint: Callable[[State, Key[Array, ""], UInt8[Array, "b h w c"], Array, Label], Float[Array, "b h w c"]],
    state: State,
    image: UInt8[np.ndarray | Array, "b h w c"],
    label: Label,
    folder: Path,
    *,
    draws: int = 3,
) -> None:
    """Draws inpainting.png: images, their left halves, which are known, and several completions of each.

    `inpaint` is a function from a state, a key, images, a mask (h, w, 1) that is 1 where the image is known, and labels
    to completed images.
    """
    image = jnp.asarray(image)
    width = image.shape[2]
    mask = (jnp.arange(width) < width // 2)[:, None].astype(jnp.float32)
    complete = jax.jit(inpaint)
    made = [complete(state, jax.random.key(i), image, mask, label) for i in range(draws)]
    known = jnp.where(mask > 0, image, 127).astype(jnp.uint8)
    shown = jnp.stack([image, known, *(to_uint8(x) for x in made)], axis=1)
    names = ("image", "known", *["made"] * draws)
    save_image(folder / "inpainting.png", image_grid(shown.reshape(-1, *image.shape[1:]), len(names), names=names))
