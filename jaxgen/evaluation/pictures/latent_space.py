"""Pictures of a latent space: how much each unit is used, where the examples lie, what walks through it look like."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Float, Int

from jaxgen.data import Dataset, FactorWorld, StreamedDataset, order
from jaxgen.evaluation.interpolation import slerp
from jaxgen.evaluation.latent_space import ACTIVE, Codes, Factor, codes_of, factors_of
from jaxgen.metrics import mutual_information
from jaxgen.models import VAE
from jaxgen.report import image_grid, plot_heat_map, plot_kl_per_unit, plot_scatter, save_animation, save_image
from jaxgen.types import State

__all__ = [
    "SAMPLED",
    "SHOWN_IMAGES",
    "draw_arithmetic",
    "draw_information",
    "draw_interpolations",
    "draw_latent_space",
    "draw_scatter",
    "draw_traversals",
]

SHOWN = 2000  # test examples at most whose codes are looked at
SHOWN_IMAGES = 32  # test examples whose images are shown
SAMPLED = 5000  # training examples at most from which factors are judged
BINS = 20  # the bins of each unit, for mutual information

DataSet = Dataset | StreamedDataset
Decode = Callable[[np.ndarray, Any], np.ndarray]
"""(codes (..., z), the labels that go with them) -> images (..., h, w, c)."""


def draw_latent_space(
    model: VAE,
    state: State,
    train: DataSet,
    test: DataSet,
    folder: Path,
    *,
    world: FactorWorld | None = None,
) -> None:
    """Draws the KL term of each unit, the scatter of posterior means by class, reconstructions, interpolations,
    traversals, and for 2 units the manifold; for data with labels or known factors, which `world` has, also what the
    units tell about them, and arithmetic on codes."""
    encode, decode_flat = jax.jit(model.encode), jax.jit(model.decode)

    def look(data: DataSet, index: np.ndarray, shown: np.ndarray) -> tuple[Codes, np.ndarray]:
        """The codes of the examples `index`, and the images of those at the places `shown`."""

        def posterior(image, label):
            return encode(state, image, label if model.classes else None)

        return codes_of(posterior, data, index, shown)

    def decode(z: np.ndarray, label: Any) -> np.ndarray:
        """The images of any array of codes and the labels that go with them."""
        labels = np.broadcast_to(label, z.shape[:-1]).reshape(-1)
        images = decode_flat(state, z.reshape(-1, model.latent), labels if model.classes else None)
        return np.asarray(images).reshape(*z.shape[:-1], *images.shape[1:])

    index = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).astype(int)
    some = np.linspace(0, len(index) - 1, SHOWN_IMAGES).astype(int)  # the data may be in the order of the classes
    codes, image = look(test, index, some)
    mean, label = codes.mean[some], codes.label[some]
    kl = codes.kl.mean(0)
    most_used = np.argsort(-kl, kind="stable")
    plot_kl_per_unit(folder / "kl_per_unit.png", kl, ACTIVE)
    draw_scatter(codes, test, folder)
    pairs = np.stack([image, decode(mean, label)], axis=1)
    save_image(folder / "reconstructions.png", _grid(pairs.reshape(8, 8, *image.shape[1:]), ("image", "decoded") * 4))
    draw_interpolations(decode, mean, label, folder)
    draw_traversals(decode, mean[0], label[0], kl, most_used, folder)
    if model.latent == 2 and not model.classes:
        side = norm.ppf(np.linspace(0.03, 0.97, 20))
        plane = np.stack(np.meshgrid(side, side[::-1]), -1)
        save_image(folder / "manifold.png", image_grid(decode(plane, 0).reshape(-1, *image.shape[1:]), 20, gap=0))

    index = order(0, 0, min(SAMPLED, len(train)), len(train))
    codes, image = look(train, index, np.arange(min(8, len(index))))
    factors = factors_of(train, codes, world)
    if factors:
        draw_information(codes, factors, most_used, folder)
        draw_arithmetic(decode, image, codes, factors, folder)


def draw_scatter(codes: Codes, data: DataSet, folder: Path) -> None:
    """Draws latent_scatter.png: the posterior means by class, along the two units that vary most."""
    first, second = np.argsort(-codes.mean.std(0))[:2] if codes.mean.shape[1] > 1 else (0, 0)
    plot_scatter(
        folder / "latent_scatter.png",
        codes.mean[:, [first, second]],
        codes.about.get("label"),
        data.label_names,
        "posterior means of the test set",
        (f"latent {first}", f"latent {second}"),
    )


def draw_interpolations(
    decode: Decode, mean: Float[np.ndarray, "n z"], label: Int[np.ndarray, "n"], folder: Path
) -> None:
    """Draws interpolations.png: walks between four pairs of 32 codes, along the straight line and along the sphere. A
    conditional model keeps the label of the first."""
    weight = np.linspace(0, 1, 11, dtype=np.float32)[:, None]
    start, end = np.split(mean[::4, None], 2)
    paths = np.stack([(1 - weight) * start + weight * end, jax.jit(slerp)(start, end, weight)], axis=1)
    images = decode(paths.reshape(8, len(weight), -1), label[:16:4].repeat(2)[:, None])
    names = [f"{x:.1f}" for x in weight[:, 0]]
    save_image(folder / "interpolations.png", _grid(images, names, ("linear", "spherical") * 4))


def draw_traversals(
    decode: Decode,
    mean: Float[np.ndarray, "z"],
    label: Any,
    kl: Float[np.ndarray, "z"],
    most_used: Int[np.ndarray, "z"],
    folder: Path,
) -> None:
    """Draws traversals.png: one row for each latent unit, the most used first; the unit goes from -3 to 3, the others
    stay at one image's code, `mean`. The animation traversals.gif shows the units in use, or else the first."""
    values = np.linspace(-3, 3, 13)
    codes = np.tile(mean, (len(kl), len(values), 1))
    for row, unit in zip(codes, most_used, strict=True):
        row[:, unit] = values
    images = decode(codes, label)
    rows = [f"unit {unit}\n{kl[unit]:.2g} nats" for unit in most_used]
    save_image(folder / "traversals.png", _grid(images, [f"{value:.1f}" for value in values], rows))
    used = max(1, (kl >= ACTIVE).sum())
    names = [f"unit {unit}" for unit in most_used[:used]]
    frames = [image_grid(frame, 10, smallest=48, names=names) for frame in images[:used].swapaxes(0, 1)]
    save_animation(folder / "traversals.gif", frames)


def draw_information(codes: Codes, factors: Sequence[Factor], most_used: Int[np.ndarray, "z"], folder: Path) -> None:
    """Draws mutual_information.png: the mutual information of each unit and factor. Fewer points than bins have
    none."""
    if len(codes.mean) < BINS:
        return
    classes = np.stack([factor.classes for factor in factors], axis=1)
    shares = [np.unique(column, return_counts=True)[1] / len(column) for column in classes.T]
    plot_heat_map(
        folder / "mutual_information.png",
        mutual_information(codes.mean, classes, BINS)[most_used],
        [f"unit {unit}" for unit in most_used],
        [f"{factor.name}\n({-(p * np.log(p)).sum():.2f})" for factor, p in zip(factors, shares, strict=True)],
        "what the mean of each latent unit tells of each factor\n(in brackets: all that can be told, its entropy)",
        "mutual information (nats)",
    )


def draw_arithmetic(
    decode: Decode, image: Float[np.ndarray, "n h w c"], codes: Codes, factors: Sequence[Factor], folder: Path
) -> None:
    """Draws arithmetic.png: the images of the first codes with one factor changed, which is code - mean code of its own
    value + mean code of the new value. A conditional model is given the new class too."""
    n, most = len(image), 10 if len(factors) == 1 else 3
    columns, labels, names = [codes.mean[:n]], [codes.label[:n]], ["image", "decoded"]
    for factor in factors:
        labelled = np.array_equal(factor.classes, codes.label)
        there, which = np.unique(factor.classes, return_inverse=True)
        means = np.stack([codes.mean[which == i].mean(0) for i in range(len(there))])
        for i in np.linspace(0, len(there) - 1, min(most, len(there))).astype(int):
            columns.append(codes.mean[:n] - means[which[:n]] + means[i])
            labels.append(np.full(n, there[i]) if labelled else labels[0])
            names.append(factor.column(int(there[i])))
    images = decode(np.stack(columns, axis=1), np.stack(labels, axis=1))
    save_image(folder / "arithmetic.png", _grid(np.concatenate([image[:, None], images], axis=1), names))


def _grid(images: np.ndarray, names: Sequence[str], row_names: Sequence[str] = ()) -> np.ndarray:
    """The grid of images (rows, columns, h, w, c)."""
    columns = images.shape[1]
    return image_grid(images.reshape(-1, *images.shape[2:]), columns, smallest=48, names=names, row_names=row_names)
