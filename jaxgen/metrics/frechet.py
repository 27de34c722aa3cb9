"""The Fréchet distance between Gaussians, and of features: FID (Heusel et al. 2017, arXiv:1706.08500)."""

import warnings

import numpy as np
from jaxtyping import Array, Float

from jaxgen.metrics.checks import Features, feature_pair

__all__ = ["fid", "frechet_distance"]

Mean = Float[Array | np.ndarray, "d"]
Covariance = Float[Array | np.ndarray, "d d"]


def frechet_distance(mean1: Mean, covariance1: Covariance, mean2: Mean, covariance2: Covariance) -> float:
    """Returns |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁^½ C₂ C₁^½)^½), the squared 2-Wasserstein distance (Dowson & Landau
    1982)."""
    mean1, mean2 = np.asarray(mean1, np.float64), np.asarray(mean2, np.float64)
    root1, root2 = _root(covariance1), _root(covariance2)
    # The eigenvalues of the square root are the singular values of C₁^½ C₂^½. Found as those they keep the precision
    # that the square root of a small, rounded eigenvalue loses; covariances may be singular.
    cross = np.linalg.svd(root1 @ root2, compute_uv=False).sum()
    distance = np.square(mean1 - mean2).sum() + np.trace(covariance1) + np.trace(covariance2) - 2 * cross
    return float(distance)


def fid(real: Features, fake: Features) -> float:
    """Returns the Fréchet distance between Gaussians fitted to the features; lower is better, 0 at best.

    Its bias falls with the number of samples, so only figures at equal numbers compare. Warns when there are no more
    samples than features: the covariance is singular then, and the bias large.

    Raises:
        ValueError: fewer than two samples, or features that do not fit together.
    """
    real, fake = feature_pair(real, fake, least=2)
    few = min(len(real), len(fake))
    if few <= real.shape[1]:
        warnings.warn(
            f"FID of {few} samples with {real.shape[1]} features: the covariance is singular and the figure strongly "
            f"biased upwards; take more than {real.shape[1]} samples",
            stacklevel=2,
        )
    return frechet_distance(*_moments(real), *_moments(fake))


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def _root(covariance: Array | np.ndarray) -> np.ndarray:
    """The symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
