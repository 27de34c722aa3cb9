import numpy as np
import pytest

from jaxgen.metrics import reliability


def test_by_hand():
    """Two bins: 0.6 sure and right half of the time; 0.9 sure and always right."""
    probability = np.array([[0.6, 0.4], [0.4, 0.6], [0.9, 0.1], [0.1, 0.9]])
    found = reliability(np.log(probability), np.array([0, 0, 0, 1]), bins=5)
    assert found.accuracy == 0.75
    assert found.nll == pytest.approx(-np.log([0.6, 0.4, 0.9, 0.9]).mean())
    assert found.ece == pytest.approx(0.5 * abs(0.5 - 0.6) + 0.5 * abs(1 - 0.9))
    np.testing.assert_allclose(found.share, [0, 0, 0, 0.5, 0.5])
    np.testing.assert_allclose(found.confidence[3:], [0.6, 0.9])
    np.testing.assert_allclose(found.correct[3:], [0.5, 1.0])
    assert np.isnan(found.correct[0])


def test_labels_drawn_from_the_probabilities_are_calibrated_and_sharpened_ones_are_not():
    random = np.random.default_rng(0)
    probability = random.dirichlet([0.5] * 4, 20_000)
    label = (probability.cumsum(1) > random.uniform(size=(20_000, 1))).argmax(1)
    assert reliability(np.log(probability), label).ece < 0.02
    sharp = probability**3 / (probability**3).sum(1, keepdims=True)
    assert reliability(np.log(sharp), label).ece > 0.05
    certain = reliability(np.log(np.eye(4)[label] * 0.99 + 0.0025), label)
    assert certain.accuracy == 1 and certain.ece == pytest.approx(1 - 0.9925)


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match="sum to 2"):
        reliability(np.zeros((3, 2)), np.zeros(3, int))
