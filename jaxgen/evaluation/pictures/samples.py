"""Pictures of samples: points beside the data, walks between latents, the training images nearest to samples."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.evaluation.interpolation import slerp
from jaxgen.evaluation.points import POINTS
from jaxgen.evaluation.samples import BATCH, Sample, nearest_training_images, sampled
from jaxgen.report import image_grid, plot_scatter, save_image
from jaxgen.types import Label, State

__all__ = ["draw_neighbours", "draw_points", "draw_walks"]

ROWS = 8
PAIRS = 32


def draw_points(
    sample: Sample, state: State, points: Float[np.ndarray, "n 2"], folder: Path, *, classes: int = 0
) -> None:
    """Draws points.png: 2,500 samples and the same number of test points in two colours."""
    real, made = points[:POINTS], np.concatenate(list(sampled(sample, state, POINTS, classes=classes)))
    whose = np.repeat(np.arange(2), [len(real), len(made)])
    plot_scatter(folder / "points.png", np.concatenate([real, made]), whose, ("data", "samples"))


def draw_walks(
    generate: Callable[[State, Float[Array, "n *z"], Label], Float[Array, "n h w c"]],
    state: State,
    latent: tuple[int, ...],
    folder: Path,
    *,
    key: Key[Array, ""],
    classes: int = 0,
    columns: int = 10,
) -> None:
    """Draws interpolations.png: each row is a walk along the sphere from one normal latent to another, of a conditional
    model one row for each class.

    Args:
        generate: from a state, latents and their labels (None without classes) to images.
        state: the state.
        latent: the shape of a latent.
        folder: where the picture is written.
        key: draws the ends of the walks.
        classes: the number of classes.
        columns: the number of images of a walk.
    """
    rows = classes or ROWS
    ends = jax.random.normal(key, (2, rows, 1, int(np.prod(latent))))
    walks = jax.jit(slerp)(*ends, jnp.linspace(0, 1, columns)[:, None])  # keeps the norm that the prior has
    label = jnp.repeat(jnp.arange(rows, dtype=jnp.int32), columns) if classes else None
    images = jax.jit(generate)(state, walks.reshape(-1, *latent), label)
    save_image(folder / "interpolations.png", image_grid(images, columns))


def draw_neighbours(
    sample: Sample, state: State, train: Dataset | StreamedDataset, folder: Path, *, classes: int = 0
) -> None:
    """Draws neighbours.png: 32 samples, and right of each the training image nearest to it, so that a copy shows
    memorising. Streamed data are not searched."""
    if not isinstance(train, Dataset):
        return
    samples = next(sampled(sample, state, BATCH, classes=classes))[:PAIRS]
    pairs = np.stack([samples, nearest_training_images(samples, train)], axis=1)
    save_image(folder / "neighbours.png", image_grid(pairs.reshape(-1, *samples.shape[1:]), 8))
