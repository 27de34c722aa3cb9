import jax
import numpy as np
import pytest

from jaxgen.metrics import ms_ssim, ms_ssim_diversity, ssim

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def images(n, size, channels=1, seed=0):
    """Smooth uint8 images."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (n, 6, 6, channels))
    fine = coarse.repeat(-(-size // 6), 1).repeat(-(-size // 6), 2)[:, :size, :size]
    return np.clip(fine + random.normal(0, 10, fine.shape), 0, 255).astype(np.uint8)


def by_hand(x, y):
    """SSIM and its contrast-structure part of two grey images in [0, 1], window by window."""
    i = np.arange(11) - 5
    g = np.exp(-(i**2) / (2 * 1.5**2))
    w = np.outer(g, g) / np.outer(g, g).sum()
    whole, contrast = [], []
    for r in range(x.shape[0] - 10):
        for c in range(x.shape[1] - 10):
            p, q = x[r : r + 11, c : c + 11], y[r : r + 11, c : c + 11]
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq, pq = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum(), (w * (p - mp) * (q - mq)).sum()
            contrast.append((2 * pq + 0.0009) / (vp + vq + 0.0009))
            whole.append(contrast[-1] * (2 * mp * mq + 0.0001) / (mp**2 + mq**2 + 0.0001))
    return np.mean(whole), np.mean(contrast)


def test_is_the_sum_by_hand():
    a, b = images(2, 16, 2), images(2, 16, 2, seed=1)
    expected = [[by_hand(a[i, ..., c] / 255, b[i, ..., c] / 255)[0] for c in (0, 1)] for i in (0, 1)]
    np.testing.assert_allclose(ssim(a, b), np.mean(expected, axis=1), atol=2e-6)


def test_over_two_scales_is_the_product_by_hand():
    a = images(2, 22)
    b = np.clip(a + np.random.default_rng(2).normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    weights = WEIGHTS[:2] / WEIGHTS[:2].sum()
    for x, y, found in zip(a[..., 0] / 255, b[..., 0] / 255, ms_ssim(a, b), strict=True):
        halves = [z.reshape(11, 2, 11, 2).mean((1, 3)) for z in (x, y)]
        expected = by_hand(x, y)[1] ** weights[0] * by_hand(*halves)[0] ** weights[1]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [11, 45])
def test_identities(size):
    """1 of equal images, symmetric, between 0 and 1, the same of uint8 and of [-1, 1], falling with noise."""
    a = images(3, size, 3)
    noisy = [np.clip(a + np.random.default_rng(1).normal(0, s, a.shape), 0, 255).astype(np.uint8) for s in (10, 60)]
    np.testing.assert_allclose(ms_ssim(a, a), 1, atol=1e-6)
    np.testing.assert_allclose(ssim(a, a), 1, atol=1e-6)
    near, far = (np.asarray(ms_ssim(a, b)) for b in noisy)
    assert (far >= 0).all() and (far < near).all() and (near < 1).all()
    np.testing.assert_allclose(ms_ssim(noisy[0], a), near, rtol=1e-5)
    floats = [x.astype(np.float32) / 127.5 - 1 for x in (a, noisy[0])]
    np.testing.assert_allclose(jax.jit(ms_ssim)(*floats), near, atol=1e-5)
    assert (np.asarray(ssim(a, 255 - a)) < 0).all() and (np.asarray(ms_ssim(a, 255 - a)) == 0).all()


def test_flat_images_differ_by_luminance_alone():
    """(2 x y + c) / (x² + y² + c) of the intensities, to the weight of the coarsest of the scales."""
    a, b = np.full((1, 32, 32, 1), 51, np.uint8), np.full((1, 32, 32, 1), 204, np.uint8)
    luminance = (2 * 0.2 * 0.8 + 1e-4) / (0.2**2 + 0.8**2 + 1e-4)
    np.testing.assert_allclose(ssim(a, b), luminance, rtol=1e-4)
    np.testing.assert_allclose(ms_ssim(a, b), luminance ** (0.2856 / (0.0448 + 0.2856)), rtol=1e-4)


def test_diversity_is_the_mean_over_pairs_of_different_images():
    two = images(2, 16)
    expected = float(ms_ssim(two[:1], two[1:])[0])
    np.testing.assert_allclose(ms_ssim_diversity(two, pairs=7), expected, rtol=1e-5)  # no image meets itself
    many = images(30, 16)
    assert ms_ssim_diversity(many, pairs=300, seed=1) == ms_ssim_diversity(many, pairs=300, seed=1)
    assert ms_ssim_diversity(many, pairs=300, seed=1) != ms_ssim_diversity(many, pairs=300, seed=2)
    collapsed = np.repeat(many[:1], 30, axis=0)
    assert ms_ssim_diversity(many, pairs=300) < 0.5 < ms_ssim_diversity(collapsed, pairs=300)


def test_bad_input():
    with pytest.raises(ValueError, match="at least 11×11"):
        ssim(images(1, 8), images(1, 8))
    with pytest.raises(ValueError, match="of one shape"):
        ms_ssim(images(1, 16), images(1, 17))
    with pytest.raises(ValueError, match="pairs of 1 images"):
        ms_ssim_diversity(images(1, 16))
