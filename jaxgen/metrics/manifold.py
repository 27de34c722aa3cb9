"""Samples against data by their nearest neighbours: how good, how various, how much by heart."""

import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxgen.metrics.checks import Features, feature_pair

__all__ = ["density_coverage", "nearest_neighbours", "precision_recall"]

CHUNK = 1 << 24  # distances held at once: 128 MiB


def precision_recall(real: Features, fake: Features, k: int = 3) -> tuple[float, float]:
    """Returns the share of fake samples within the real manifold, and of real ones within the fake manifold
    (Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 1).

    A manifold is the union of balls around its samples, each reaching to the k-th neighbour of its centre.

    Raises:
        ValueError: k < 1, or no more than k samples.
    """
    real, fake = _manifolds(real, fake, k)
    precision = _containing_balls(fake, real, _radii(real, k)) > 0
    recall = _containing_balls(real, fake, _radii(fake, k)) > 0
    return float(precision.mean()), float(recall.mean())


def density_coverage(real: Features, fake: Features, k: int = 5) -> tuple[float, float]:
    """Returns the mean number of real balls that hold a fake sample, in units of k, and the share of real balls that
    hold any
    (Naeem et al. 2020, arXiv:2002.09797, section 3).

    Outliers in the data inflate precision, but not density, which may exceed 1. The expected coverage of the data by
    itself is 1 - ½ᵏ.

    Raises:
        ValueError: k < 1, or no more than k samples.
    """
    real, fake = _manifolds(real, fake, k)
    radii = _radii(real, k)
    density = _containing_balls(fake, real, radii).mean() / k
    coverage = nearest_neighbours(real, fake)[0][:, 0] <= radii
    return float(density), float(coverage.mean())


def nearest_neighbours(
    queries: Num[Array | np.ndarray, "n ..."], references: Num[Array | np.ndarray, "m ..."], k: int = 1
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Returns the Euclidean distances to the k nearest references, nearest first, and their indices. Arrays of images
    or features.

    A sample learned by heart is at distance 0, exactly. The memory beyond the arguments' own, in float64, is bounded.

    Raises:
        ValueError: unequal shapes of a query and a reference, or k not in 1 .. m.
    """
    if queries.shape[1:] != references.shape[1:]:
        raise ValueError(f"queries of shape {queries.shape[1:]}, but references of shape {references.shape[1:]}")
    if not 1 <= k <= len(references):
        raise ValueError(f"k = {k}: there are {len(references)} references to choose from")
    queries, references = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (queries, references))
    found = []
    for chunk, squared in _squared_distances(queries, references):
        index = np.argpartition(squared, k - 1, axis=1)[:, :k]
        # Once more for those found, by their differences: without the cancellation of the expanded square.
        distance = np.stack([np.linalg.norm(chunk - references[column], axis=1) for column in index.T], axis=1)
        order = np.argsort(distance, axis=1, kind="stable")
        found.append([np.take_along_axis(a, order, axis=1) for a in (distance, index)])
    distances, indices = zip(*found, strict=True)
    return np.concatenate(distances), np.concatenate(indices)


def _manifolds(real: Features, fake: Features, k: int) -> tuple[np.ndarray, np.ndarray]:
    if k < 1:
        raise ValueError(f"k = {k}: at least one neighbour is needed")
    return feature_pair(real, fake, least=k + 1)


def _radii(centres: np.ndarray, k: int) -> np.ndarray:
    """The distance from each centre to its k-th neighbour; it finds itself first."""
    return nearest_neighbours(centres, centres, k + 1)[0][:, k]


def _containing_balls(points: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """The number of balls that hold each point. They are closed: the margin is for rounding."""
    reach = np.square(radii) * (1 + 1e-9)
    return np.concatenate([(squared <= reach).sum(1) for _, squared in _squared_distances(points, centres)])


def _squared_distances(points: np.ndarray, centres: np.ndarray):
    """Chunks of points, each with its squared distances to all centres."""
    origin = centres.mean(0)  # near the data the expanded square cancels least
    centres = centres - origin
    norms = np.square(centres).sum(1)
    for chunk in np.array_split(points, -(-len(points) * len(centres) // CHUNK) or 1):
        moved = chunk - origin
        yield chunk, np.maximum(np.square(moved).sum(1)[:, None] + norms - 2 * moved @ centres.T, 0)
