"""Points in the plane with a known density: `ring`, `grid`, `moons`, `swissroll`.

data  = load("ring")                                # image (100000, 2) float32, label: the mode
world = toy_world("ring")                           # the truth: world.modes (8, 2), world.scale, world.log_prob
points, label = world.sample(seed=7, n=2500)        # fresh points from it
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen.data.dataset import Dataset
from jaxgen.data.options import Options
from jaxgen.data.splits import check_split

__all__ = ["Curves", "Mixture", "load", "toy_world"]

SIZES = {"train": 100_000, "test": 10_000}
NODES = 512  # points of the quadrature along a curve, less than 0.6 `scale` apart on the curves below

Sample = tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, "n"]]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equally likely Gaussians N(mode, scale² I)."""

    modes: Float[np.ndarray, "k 2"]
    """The means."""
    scale: float
    """The standard deviation in each direction."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The position of each mode, written "(x, y)"."""
        return tuple(f"({x:g}, {y:g})" for x, y in self.modes.astype(float).round(2) + 0.0)  # + 0.0: no "-0"

    def sample(self, seed: int, n: int) -> Sample:
        """Draws n points (n, 2) and the mode (n,) of each: a pure function of the seed."""
        where, noise = _randomness(seed, n)
        label = (where * len(self.modes)).astype(np.int32)
        return (self.modes[label] + self.scale * noise).astype(np.float32), label

    def log_prob(self, points: Float[Array | np.ndarray, "*b 2"]) -> Float[Array, "*b"]:
        """Returns the exact log density, in nats."""
        return _log_prob(points, self.modes, np.full(len(self.modes), 1 / len(self.modes), np.float32), self.scale)


@dataclass(frozen=True, eq=False)
class Curves:
    """Gaussian noise N(0, scale² I) about equally likely curves, on each of which the position is uniform."""

    curves: Mapping[str, Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "n 2"]]]
    """Functions from positions in [0, 1] to points, by name."""
    scale: float
    """The standard deviation of the noise in each direction."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the curves."""
        return tuple(self.curves)

    def sample(self, seed: int, n: int) -> Sample:
        """Draws n points (n, 2) and the curve (n,) of each: a pure function of the seed."""
        where, noise = _randomness(seed, n)
        position, curve = np.modf(where * len(self.curves))
        label = curve.astype(np.int32)
        on_curve = np.stack([points(position) for points in self.curves.values()])[label, np.arange(n)]
        return (on_curve + self.scale * noise).astype(np.float32), label

    def log_prob(self, points: Float[Array | np.ndarray, "*b 2"]) -> Float[Array, "*b"]:
        """Returns the log density, in nats: the noise integrated along the curves by Gauss-Legendre quadrature."""
        nodes, weights = np.polynomial.legendre.leggauss(NODES)  # on [-1, 1], where the weights sum to 2
        centres = np.concatenate([points((nodes + 1) / 2) for points in self.curves.values()])
        weights = np.tile(weights / (2 * len(self.curves)), len(self.curves))
        return _log_prob(points, centres.astype(np.float32), weights.astype(np.float32), self.scale)


@jax.jit
def _log_prob(points: Array, centres: Array, weights: Array, scale: Float[Array, ""]) -> Array:
    squares = jnp.square((points[..., None, :] - centres) / scale).sum(-1)
    return jax.nn.logsumexp(-0.5 * squares, axis=-1, b=weights) - jnp.log(2 * math.pi * scale**2)


def _randomness(seed: int, n: int) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 2"]]:
    """Uniform in [0, 1), and standard normal by Box & Muller (1958)."""
    # NumPy keeps raw bits the same in all versions; `Generator.normal` may change.
    uniform = (np.random.PCG64(seed).random_raw(3 * n) >> np.uint64(11)).reshape(n, 3) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log1p(-uniform[:, 1])), 2 * np.pi * uniform[:, 2]
    return uniform[:, 0], np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def _ring(modes: int = 8, radius: float = 2.0) -> Float[np.ndarray, "k 2"]:
    angle = np.linspace(0, 2 * np.pi, modes, endpoint=False)  # with the endpoint two modes would be one
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


def _grid() -> Float[np.ndarray, "k 2"]:
    ticks = np.arange(-4, 5, 2, dtype=np.float32)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)


def _upper_moon(position):
    return np.stack([np.cos(np.pi * position), np.sin(np.pi * position)], axis=-1)


def _lower_moon(position):
    return np.array([1.0, 0.5]) - _upper_moon(position)


def _roll(position):
    angle = 1.5 * np.pi * (1 + 2 * position)
    return angle[..., None] / 10 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


WORLDS = MappingProxyType(
    {
        "ring": Mixture(_ring(), 0.02),  # Metz et al. (2017)
        "grid": Mixture(_grid(), 0.05),  # Srivastava et al. (2017), Lin et al. (2018)
        # Both follow scikit-learn: the moons as they are there, and two axes of its roll divided by 10.
        "moons": Curves(MappingProxyType({"upper": _upper_moon, "lower": _lower_moon}), 0.1),
        "swissroll": Curves(MappingProxyType({"roll": _roll}), 0.05),
    }
)


def toy_world(name: str) -> Mixture | Curves:
    """Returns the distribution behind a source of points: `ring`, `grid`, `moons`, `swissroll`.

    Raises `ValueError` for any other name.
    """
    if name not in WORLDS:
        raise ValueError(f"unknown toy world {name!r}; allowed are {', '.join(WORLDS)}")
    return WORLDS[name]


def load(name: str, _: str, split: str, options: Options) -> Dataset:
    """Returns 100,000 points to train and 10,000 to test, drawn separately, the same in every run.

    `image` is float32 (n, 2); `label` is the mode or moon (a single curve has none).
    """
    check_split(split, name, tuple(SIZES))
    for option, value in (("image_size", options.image_size), ("channels", options.channels)):
        if value is not None:
            raise ValueError(f"{name} has points, not images: {option}={value} is not possible")
    world = toy_world(name)
    points, label = world.sample(list(SIZES).index(split), SIZES[split])
    if len(world.label_names) == 1:
        return Dataset({"image": points}, name=name)
    return Dataset({"image": points, "label": label}, world.label_names, name=name)
