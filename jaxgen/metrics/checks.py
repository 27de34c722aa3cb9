"""Checks that every comparison of two sets of features makes."""

import numpy as np
from jaxtyping import Array, Float

__all__ = ["Features", "feature_pair"]

Features = Float[Array | np.ndarray, "_ _"]
"""(samples, features)."""

Doubles = Float[np.ndarray, "_ _"]


def feature_pair(real: Array | np.ndarray, fake: Array | np.ndarray, least: int) -> tuple[Doubles, Doubles]:
    """Returns both as float64: these figures are small differences of large sums.

    Raises:
        ValueError: they are no two matrices (samples, features) with the same number of features, at least `least`
            samples each and finite values.
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"features are (samples, features), the same number in both: got {real.shape} and {fake.shape}"
        )
    for name, features in (("real", real), ("fake", fake)):
        if len(features) < least:
            raise ValueError(f"{len(features)} {name} samples: at least {least} are needed")
        if not np.isfinite(features).all():
            raise ValueError(f"the features of the {name} samples are not all finite")
    return real, fake
