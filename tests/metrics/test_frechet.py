import warnings

import numpy as np
import pytest
import scipy.linalg

from jaxgen.metrics import fid, frechet_distance


def covariance(random, d, rank=None):
    a = random.normal(size=(rank or d, d))
    return a.T @ a


def test_of_commuting_covariances_it_is_the_closed_form():
    """|m₁ - m₂|² + Σ (σ₁ - σ₂)² where both are diagonal in one basis."""
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(6, 6)))[0]
    mean1, mean2, scale1, scale2 = random.uniform(0.5, 2, size=(4, 6))
    c1, c2 = ((basis * scale**2) @ basis.T for scale in (scale1, scale2))
    expected = np.square(mean1 - mean2).sum() + np.square(scale1 - scale2).sum()
    np.testing.assert_allclose(frechet_distance(mean1, c1, mean2, c2), expected, rtol=1e-12)


def test_is_that_of_scipys_matrix_square_root():
    random = np.random.default_rng(1)
    m1, m2 = random.normal(size=(2, 20))
    c1, c2 = covariance(random, 20), covariance(random, 20)
    root = scipy.linalg.sqrtm(c1 @ c2)
    expected = np.square(m1 - m2).sum() + np.trace(c1 + c2 - 2 * root.real)
    np.testing.assert_allclose(frechet_distance(m1, c1, m2, c2), expected, rtol=1e-10)
    np.testing.assert_allclose(frechet_distance(m2, c2, m1, c1), expected, rtol=1e-10)


def test_singular_covariances_lose_no_precision():
    """Of equal Gaussians it is 0; of two orthogonal ones of rank 2 the sum of traces."""
    c = covariance(np.random.default_rng(2), 50, rank=2)
    assert abs(frechet_distance(np.zeros(50), c, np.zeros(50), c)) < 1e-11 * np.trace(c)
    c1, c2 = np.diag([1.0, 2, 0, 0]), np.diag([0, 0, 3.0, 4])
    np.testing.assert_allclose(frechet_distance(np.zeros(4), c1, np.zeros(4), c2), 10, rtol=1e-12)


def test_fid_nears_the_distance_of_the_distributions():
    random = np.random.default_rng(3)
    scale, shift = np.array([1.0, 2.0, 0.5]), np.array([1.0, 0.0, -1.0])
    real, fake = random.normal(size=(40_000, 3)), random.normal(size=(40_000, 3)) * scale + shift
    expected = np.square(shift).sum() + np.square(scale - 1).sum()
    np.testing.assert_allclose(fid(real, fake), expected, rtol=0.02)
    np.testing.assert_allclose(fid(real, real + 1), 3, rtol=1e-9)


def test_fid_of_samples_is_that_of_their_moments_and_scales_by_the_square():
    random = np.random.default_rng(4)
    x, y = random.normal(size=(30, 4)), random.gamma(2.0, size=(20, 4))
    by_hand = frechet_distance(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T))
    np.testing.assert_allclose(fid(x, y), by_hand, rtol=1e-12)
    np.testing.assert_allclose(fid(3 * x, 3 * y), 9 * by_hand, rtol=1e-10)
    np.testing.assert_allclose(fid(x[:, :1], x[:, :1] + 2), 4, rtol=1e-9)  # one feature


def test_too_few_samples_are_refused_or_warned_of():
    x = np.random.default_rng(5).normal(size=(10, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fid(x, x)
    with pytest.warns(UserWarning, match="9 samples with 9 features: the covariance is singular"):
        fid(x, x[:9])
    with pytest.raises(ValueError, match="1 fake samples: at least 2"):
        fid(x, x[:1])
    with pytest.raises(ValueError, match="the same number in both"):
        fid(x, x[:, :3])
    with pytest.raises(ValueError, match="real samples are not all finite"):
        fid(np.where(x > 1, np.nan, x), x)
