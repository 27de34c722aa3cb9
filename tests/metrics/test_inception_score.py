import numpy as np
import pytest

from jaxgen.metrics import inception_score


def test_closed_forms():
    """Uniform predictions score 1; sure ones, alike over k classes, score k, however large the logits."""
    for scale in (0.0, 1e3, 1e300):
        np.testing.assert_allclose(inception_score(np.full((20, 5), scale)), (1, 0), atol=1e-12)
    for sure in (1e3, 1e300, np.inf):
        logits = np.where(np.arange(40)[:, None] % 4 == np.arange(8), 0.0, -sure)  # four of eight classes
        np.testing.assert_allclose(inception_score(logits, splits=5), (4, 0), atol=1e-12)
    np.testing.assert_allclose(inception_score(np.eye(4)[[1] * 12] * 1e4, splits=3), (1, 0), atol=1e-12)  # one class


def test_is_the_sum_by_hand_over_consecutive_splits():
    logits = np.random.default_rng(0).normal(size=(11, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    scores = [np.exp((q * np.log(q / q.mean(0))).sum(1).mean()) for q in (p[:6], p[6:])]
    np.testing.assert_allclose(inception_score(logits + 100, splits=2), (np.mean(scores), np.std(scores)), rtol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="10 splits of 9 samples"):
        inception_score(np.zeros((9, 2)))
    with pytest.raises(ValueError, match="not all numbers"):
        inception_score(np.full((10, 2), np.nan))
