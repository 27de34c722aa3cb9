"""The picture of a density in the plane."""

from pathlib import Path

import jax
import numpy as np

from jaxgen.data import Curves, Mixture
from jaxgen.evaluation import density
from jaxgen.evaluation.density import LogDensity, in_parts, lattice
from jaxgen.report import plot_densities
from jaxgen.types import State

__all__ = ["draw_density"]


def draw_density(log_density: LogDensity, world: Mixture | Curves, state: State, folder: Path) -> None:
    """Draws density.png: the truth and the model's density side by side."""
    side = density.SIDE // 2
    places, area = lattice(world, side)
    compiled = jax.jit(log_density)
    found = {}
    for name, log_prob in {"truth": world.log_prob, "model": lambda points: compiled(state, points)}.items():
        values = np.exp(np.concatenate([np.asarray(log_prob(part)) for part in in_parts(places)]))
        found[name] = values.reshape(side, side)
    (left, right), (bottom, top) = area.tolist()
    plot_densities(folder / "density.png", found, (left, right, bottom, top))
