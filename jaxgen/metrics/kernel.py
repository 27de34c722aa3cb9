"""Kernel inception distance (Bińkowski et al. 2018, arXiv:1801.01401)."""

import numpy as np

from jaxgen.metrics.checks import Features, feature_pair

__all__ = ["kid"]


def kid(
    real: Features, fake: Features, subsets: int = 10, subset_size: int | None = None, seed: int = 0
) -> tuple[float, float]:
    """Returns the squared maximum mean discrepancy under the kernel (xᵀy / d + 1)³, and its standard error.

    The mean over subsets of the unbiased estimate, which may be negative. The subsets are disjoint, so their estimates
    are independent and their standard deviation over √subsets is the error of the mean; it would be too small for
    subsets that overlap, as are common. The size changes the variance alone; by default all samples are used.

    Raises:
        ValueError: fewer than two subsets or two samples in each, or more than there are samples for.
    """
    real, fake = feature_pair(real, fake, least=4)
    fewest = min(len(real), len(fake))
    size = fewest // max(subsets, 1) if subset_size is None else subset_size
    if subsets < 2 or size < 2 or subsets * size > fewest:
        raise ValueError(
            f"{subsets} disjoint subsets of {size} out of {fewest} samples: KID needs two or more subsets, of at least "
            "two samples each"
        )
    random = np.random.default_rng(seed)
    real, fake = (x[random.permutation(len(x))[: subsets * size]].reshape(subsets, size, -1) for x in (real, fake))
    estimates = [_squared_mmd(x, y) for x, y in zip(real, fake, strict=True)]
    return float(np.mean(estimates)), float(np.std(estimates, ddof=1) / np.sqrt(subsets))


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of Gretton et al. (2012), eq. 3: no sample meets itself."""

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def among(a):
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return among(x) + among(y) - 2 * kernel(x, y).mean()
