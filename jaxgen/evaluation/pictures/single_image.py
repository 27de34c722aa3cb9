"""Pictures of a model that is trained on a single image."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.report import image_grid, save_image
from jaxgen.types import State

__all__ = ["draw_single_image"]

SAMPLES = 6


def draw_single_image(
    sample: Callable[..., Float[Array, "n h w c"]],
    reconstruct: Callable[[State], Float[Array, "1 h w c"]],
    image: Float[Array, "1 h w c"],
    state: State,
    folder: Path,
) -> None:
    """Draws image.png, the training image, its reconstruction and samples; and wide.png and tall.png, samples of twice
    the width or height.

    Args:
        sample: (state, key, n, size) -> n images of `size`, (height, width), or for None of the image's.
        reconstruct: from a state to the model's reconstruction of the image.
        image: the training image, in [-1, 1].
        state: the state.
        folder: where the pictures are written.
    """
    draw = jax.jit(sample, static_argnums=(2, 3))
    samples = draw(state, jax.random.key(1), SAMPLES, None)
    shown = jnp.concatenate([image, jax.jit(reconstruct)(state), samples])
    names = ("training image", "reconstruction", *["sample"] * SAMPLES)
    save_image(folder / "image.png", image_grid(shown, 4, names=names))
    height, width = image.shape[1:3]
    for name, size, columns in (("wide", (height, 2 * width), 1), ("tall", (2 * height, width), 2)):
        made = draw(state, jax.random.key(2), 2, size)
        save_image(folder / f"{name}.png", image_grid(made, columns))
