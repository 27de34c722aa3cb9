"""Pictures of a normalising flow of images: samples at several temperatures, and walks in its latent space."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.data import Dataset, FactorWorld, StreamedDataset, order
from jaxgen.evaluation.latent_space import codes_of, factors_of
from jaxgen.evaluation.pictures.latent_space import SAMPLED, SHOWN_IMAGES, draw_arithmetic, draw_interpolations
from jaxgen.models import NormalizingFlow
from jaxgen.report import image_grid, save_image
from jaxgen.types import State

__all__ = ["TEMPERATURES", "draw_flow", "draw_temperatures"]

TEMPERATURES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
COLUMNS = 10

DataSet = Dataset | StreamedDataset


def draw_temperatures(
    sample: Callable[[State, Float[Array, ""]], Float[Array, "n h w c"]],
    state: State,
    folder: Path,
    temperatures: Sequence[float] = TEMPERATURES,
) -> None:
    """Draws temperatures.png: one row of samples for each temperature.

    `sample` is a function from a state and a temperature to samples, which should be of the same latents each time.
    """
    draw = jax.jit(sample)
    rows = [np.asarray(draw(state, t)) for t in temperatures]
    names = [f"temperature {t:g}" for t in temperatures]
    grid = image_grid(np.concatenate(rows), len(rows[0]), smallest=48, row_names=names)
    save_image(folder / "temperatures.png", grid)


def draw_flow(
    model: NormalizingFlow,
    state: State,
    train: DataSet,
    test: DataSet,
    folder: Path,
    *,
    world: FactorWorld | None = None,
) -> None:
    """Draws samples by temperature, the same latents in a column; interpolations of test images; and for data with
    labels or known factors, which `world` has, arithmetic on latents."""
    classes = model.classes
    label = jnp.arange(COLUMNS, dtype=jnp.int32) % classes if classes else None

    def sample(state: State, temperature: Float[Array, ""]) -> Array:
        return model.sample(state, jax.random.key(0), COLUMNS, label, temperature=temperature)

    draw_temperatures(sample, state, folder)

    encode = jax.jit(lambda image, label: model.encode(state, image, label if classes else None))
    decode_flat = jax.jit(lambda z, label: model.decode(state, z, label if classes else None))

    def posterior(image: Any, label: Any) -> tuple[Array, Array]:
        z = encode(image, label)
        return z, jnp.ones_like(z)

    def decode(z: np.ndarray, label: Any) -> np.ndarray:
        labels = np.broadcast_to(label, z.shape[:-1]).reshape(-1)
        images = decode_flat(z.reshape(-1, z.shape[-1]), labels)
        return np.asarray(images).reshape(*z.shape[:-1], *images.shape[1:])

    index = np.linspace(0, len(test) - 1, SHOWN_IMAGES).astype(int)
    codes, _ = codes_of(posterior, test, index, np.arange(1))
    draw_interpolations(decode, codes.mean, codes.label, folder)
    index = order(0, 0, min(SAMPLED, len(train)), len(train))
    codes, image = codes_of(posterior, train, index, np.arange(min(8, len(index))))
    if factors := factors_of(train, codes, world):
        draw_arithmetic(decode, image, codes, factors, folder)
