import numpy as np
import pytest

from jaxgen.metrics import kid


def test_is_the_double_sum_by_hand():
    """With two subsets, each of the estimates over its own samples; their mean and half their difference."""
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(9, 3)), random.normal(size=(9, 3)) + 1
    value, error = kid(real, fake, subsets=2, subset_size=4, seed=7)

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    order = np.random.default_rng(7)
    real, fake = real[order.permutation(9)[:8]], fake[order.permutation(9)[:8]]
    estimates = []
    for x, y in ((real[:4], fake[:4]), (real[4:], fake[4:])):
        same = sum(k(x[i], x[j]) + k(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
        estimates.append(same - 2 * sum(k(x[i], y[j]) for i in range(4) for j in range(4)) / 16)
    np.testing.assert_allclose(value, np.mean(estimates), rtol=1e-12)
    np.testing.assert_allclose(error, abs(estimates[0] - estimates[1]) / 2, rtol=1e-12)


def test_is_unbiased_at_any_size_and_its_error_is_right():
    """Over 300 pairs of small samples of one distribution the mean is 0 within its error, and the errors that are
    stated agree with the deviation that is seen."""
    random = np.random.default_rng(1)
    found = np.array([kid(*random.normal(size=(2, 40, 4)), subsets=8) for _ in range(300)])
    deviation = found[:, 0].std(ddof=1)
    assert abs(found[:, 0].mean()) < 3 * deviation / np.sqrt(300)
    np.testing.assert_allclose(np.sqrt(np.square(found[:, 1]).mean()), deviation, rtol=0.15)


def test_tells_distributions_apart_by_their_polynomial_moments():
    """In one dimension (xy + 1)³ expands to Σ binom(3, j) (E xʲ - E yʲ)²."""
    random = np.random.default_rng(2)
    x, y = random.normal(size=(20_000, 1)), random.normal(size=(20_000, 1)) + 0.5
    value, error = kid(x, y, subsets=40)
    expected = 3 * 0.5**2 + 3 * 0.25**2 + (0.5**3 + 3 * 0.5) ** 2
    assert abs(value - expected) < 4 * error < 1


def test_too_few_samples_are_refused():
    x = np.ones((30, 2))
    for settings in ({"subsets": 1}, {"subsets": 16}, {"subsets": 10, "subset_size": 4}, {"subsets": 0}):
        with pytest.raises(ValueError, match="disjoint subsets"):
            kid(x, x, **settings)
