"""How well models of points in the plane know the density, in worlds whose density is known."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxgen.data import Curves, Mixture
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.types import State

__all__ = ["SIDE", "LogDensity", "density_evaluator", "in_parts", "lattice"]

SIDE = 500  # pixels a side of the lattice on which densities are summed and drawn
BATCH = 2500  # points at once; it divides the points of a lattice and of a test set

LogDensity = Callable[[State, Float[Array | np.ndarray, "n 2"]], Float[Array, "n"]]
"""(state, points) -> log p of each point in nats."""


def density_evaluator(log_density: LogDensity, world: Mixture | Curves, points: Float[np.ndarray, "n 2"]) -> Evaluator:
    """Returns an evaluator of a density: the negative log-likelihood `test_nll` of the test points in nats, the
    divergence of the model from the truth, KL(truth || model), estimated by them, and the `integral` of the density
    over the lattice.

    Args:
        log_density: log p of a model.
        world: the truth, from `jaxgen.data.toy_world`.
        points: test points.
    """
    truth = float(np.mean(np.asarray(world.log_prob(points), float)))
    places, area = lattice(world, SIDE)
    log_density = jax.jit(log_density)

    def evaluate(state: State) -> Evaluation:
        found = np.concatenate([log_density(state, part) for part in in_parts(points)]).mean(dtype=float)
        density = np.exp(np.concatenate([log_density(state, part) for part in in_parts(places)]))
        (left, right), (bottom, top) = area
        integral = density.mean(dtype=float) * (right - left) * (top - bottom)
        figures = {"test_nll": float(-found), "kl_to_truth": float(truth - found), "integral": float(integral)}
        return Evaluation(figures, counts={"test_points": len(points)})

    return evaluate


def in_parts(points: Float[np.ndarray, "n 2"]) -> list[Float[np.ndarray, "m 2"]]:
    """Returns the points in parts of equal sizes, so that one compiled program serves all."""
    return np.split(points, max(1, len(points) // BATCH))


def lattice(world: Mixture | Curves, side: int) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "2 2"]]:
    """Returns the middles of side × side pixels over the points of a world and around them, (side², 2); and the least
    and the greatest value of each axis, (2, 2)."""
    points = world.sample(2, 10_000)[0]
    low, high = points.min(0), points.max(0)
    low, high = low - 0.25 * (high - low), high + 0.25 * (high - low)
    middles = (np.arange(side) + 0.5) / side
    axes = [a + (b - a) * middles for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes), -1).reshape(-1, 2).astype(np.float32), np.stack([low, high], 1)
