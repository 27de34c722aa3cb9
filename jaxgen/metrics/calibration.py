"""Whether a classifier's probabilities are what they say."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

__all__ = ["Reliability", "reliability"]


class Reliability(NamedTuple):
    """How far the probabilities of a classifier on labelled examples can be relied on."""

    accuracy: float
    """The share of the examples whose most probable class is right."""
    nll: float
    """The mean of -log p(label), in nats."""
    ece: float
    """The expected calibration error: the mean over the examples of |accuracy - confidence| in their bin."""
    share: Float[np.ndarray, "bins"]
    confidence: Float[np.ndarray, "bins"]
    correct: Float[np.ndarray, "bins"]


def reliability(
    log_probability: Float[Array | np.ndarray, "n k"], label: Int[Array | np.ndarray, "n"], bins: int = 15
) -> Reliability:
    """Returns the reliability of a classifier (Guo et al. 2017, arXiv:1706.04599, eqs. 2, 3 and 5), with bins of equal
    width.

    Args:
        log_probability: log p(y | x) of each class.
        label: the right classes.
        bins: the number of bins of confidence.

    Raises:
        ValueError: the probabilities of a row do not sum to 1.
    """
    log_probability, label = np.asarray(log_probability, float), np.asarray(label)
    if not np.allclose(total := np.exp(log_probability).sum(1), 1, atol=1e-3):
        raise ValueError(f"probabilities that sum to {total[np.abs(total - 1).argmax()]:.4g}: log_softmax them first")
    confidence, right = np.exp(log_probability.max(1)), log_probability.argmax(1) == label
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, correct = (np.bincount(place, x, bins) / count for x in (confidence, right))
    ece = np.nansum(count * np.abs(correct - mean)) / len(label)
    nll = -log_probability[np.arange(len(label)), label].mean()
    return Reliability(float(right.mean()), float(nll), float(ece), count / len(label), mean, correct)
