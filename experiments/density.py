"""How well models of points in the plane know the density, of worlds whose density is known."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from jaxgen.data import toy_world
from jaxgen.report import plot_densities

SIDE = 500  # of the lattice on which densities are summed and drawn
BATCH = 2500  # divides the points of a lattice and of a test set

LogDensity = Callable[..., jax.Array]  # (state, points (n, 2)) -> (n,)


def density_evaluator(source: str, log_density: LogDensity, test) -> Callable:
    """A function of a state: the negative log-likelihood of test points in nats, the divergence of the model from the
    truth, KL(truth || model), by them, and the integral of the model's density."""
    points = test.arrays["image"]
    truth = float(np.mean(np.asarray(toy_world(source).log_prob(points), float)))
    places, area = lattice(source)
    log_density = jax.jit(log_density)

    def evaluate(state) -> dict[str, float]:
        found = np.concatenate([log_density(state, part) for part in in_parts(points)]).mean(dtype=float)
        density = np.exp(np.concatenate([log_density(state, part) for part in in_parts(places)]))
        (left, right), (bottom, top) = area
        integral = density.mean(dtype=float) * (right - left) * (top - bottom)
        return {"test_nll": -found, "kl_to_truth": truth - found, "integral": integral}

    return evaluate


def draw_density(source: str, log_density: LogDensity, state, run: Path) -> None:
    """density.png: the truth and the model's density side by side."""
    places, area = lattice(source, SIDE // 2)
    densities = {"truth": toy_world(source).log_prob, "model": lambda points: jax.jit(log_density)(state, points)}
    found = {}
    for name, log_prob in densities.items():
        values = np.exp(np.concatenate([np.asarray(log_prob(part)) for part in in_parts(places)]))
        found[name] = values.reshape(SIDE // 2, SIDE // 2)
    plot_densities(run / "density.png", found, tuple(float(x) for axis in area for x in axis))


def in_parts(points: np.ndarray) -> list[np.ndarray]:
    """Of equal sizes, so that one program serves all."""
    return np.split(points, max(1, len(points) // BATCH))


def lattice(source: str, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """The middles of side × side pixels over the points of a source and around them, (side², 2); the least and the
    greatest of each axis, (2, 2)."""
    points = toy_world(source).sample(2, 10_000)[0]
    low, high = points.min(0), points.max(0)
    low, high = low - 0.25 * (high - low), high + 0.25 * (high - low)
    middles = (np.arange(side) + 0.5) / side
    axes = [a + (b - a) * middles for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes), -1).reshape(-1, 2).astype(np.float32), np.stack([low, high], 1)
