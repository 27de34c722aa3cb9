"""Inception score (Salimans et al. 2016, arXiv:1606.03498)."""

import numpy as np
from jaxtyping import Array, Float

__all__ = ["inception_score"]


def inception_score(logits: Float[Array | np.ndarray, "n k"], splits: int = 10) -> tuple[float, float]:
    """Returns exp E KL(p(y | x) ‖ p(y)) for a classifier's logits: mean and standard deviation over consecutive splits.

    Between 1 (all samples read alike) and k (each surely of one class, all classes alike).

    Raises:
        ValueError: no split, fewer samples than splits, or logits that are NaN.
    """
    logits = np.asarray(logits, np.float64)
    if not 1 <= splits <= len(logits):
        raise ValueError(f"{splits} splits of {len(logits)} samples: each needs at least one")
    if np.isnan(logits).any():
        raise ValueError("the logits are not all numbers")
    log_p = logits - _log_sum_exp(logits, axis=1)
    scores = [_score(part) for part in np.array_split(log_p, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(log_p: np.ndarray) -> float:
    p = np.exp(log_p)
    log_marginal = _log_sum_exp(log_p, axis=0) - np.log(len(log_p))
    ratio = np.subtract(log_p, log_marginal, out=np.zeros_like(p), where=p > 0)  # 0 log 0 = 0
    return float(np.exp((p * ratio).sum(1).mean()))


def _log_sum_exp(x: np.ndarray, axis: int) -> np.ndarray:
    top = np.maximum(x.max(axis, keepdims=True), np.finfo(x.dtype).min)  # finite where all are -inf
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(x - top).sum(axis, keepdims=True))
