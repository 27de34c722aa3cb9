"""Structural similarity and signal-to-noise ratio of images, and the variety of samples by the first."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from jaxgen.pixels import normalise, to_unit

__all__ = ["ms_ssim", "ms_ssim_diversity", "psnr", "ssim"]

Images = Float[Array | np.ndarray, "_ _ _ _"] | UInt8[Array | np.ndarray, "_ _ _ _"]  # NHWC
PerImage = Float[Array, "b"]

WINDOW, SIGMA = 11, 1.5
TAPS = np.exp(-np.square((np.arange(WINDOW) - WINDOW // 2) / SIGMA) / 2)
TAPS = (TAPS / TAPS.sum()).tolist()
C1, C2 = 0.01**2, 0.03**2  # for intensities in [0, 1]
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # the weights of the scales, the finest first
BATCH = 250  # pairs at once


def psnr(a: Images, b: Images) -> PerImage:
    """Returns the peak signal-to-noise ratio in decibels: -10 log10 of the mean squared error of intensities in [0, 1];
    infinite for equal images. Images are uint8, or float in [-1, 1], of one shape."""
    first, second = (to_unit(jnp.asarray(normalise(jnp.asarray(x)))) for x in (a, b))
    return -10 * jnp.log10(jnp.square(first - second).mean((1, 2, 3)))


def ssim(a: Images, b: Images) -> PerImage:
    """Returns the structural similarity in [-1, 1], 1 for equal images (Wang et al. 2004), the mean over windows and
    channels.

    A Gaussian window of 11×11 with σ = 1.5, where it fits. Images are uint8, or float in [-1, 1].

    Raises:
        ValueError: unequal shapes, or images smaller than 11×11.
    """
    first, second, _ = _intensities(a, b)
    return _similarities(first, second)[0].mean(-1)


def ms_ssim(a: Images, b: Images) -> PerImage:
    """Returns the structural similarity over scales, each half the last (Wang, Simoncelli & Bovik 2003, eq. 7), in [0,
    1].

    Those of the paper's five scales are taken that have room for the 11×11 window (all five from 176 pixels; three at
    64, two at 28 and 32, one below 22), with the first weights of the paper rescaled to the sum 1. So figures at
    unlike sizes do not compare. A negative similarity, whose power is not real, counts as 0; an odd last row or column
    is lost in halving.

    Raises:
        ValueError: unequal shapes, or images smaller than 11×11.
    """
    first, second, scales = _intensities(a, b)
    product = jnp.float32(1)
    for scale, weight in enumerate(WEIGHTS[:scales], 1):
        whole, contrast = _similarities(first, second)
        similarity = jnp.maximum(contrast if scale < scales else whole, 0)  # luminance counts at the coarsest alone
        product *= similarity ** (weight / sum(WEIGHTS[:scales]))
        first, second = (nn.avg_pool(x, (2, 2), (2, 2)) for x in (first, second))
    return product.mean(-1)


def ms_ssim_diversity(images: Images, pairs: int = 1000, seed: int = 0) -> float:
    """Returns the mean MS-SSIM of random pairs of different samples; lower is more various (Odena, Olah & Shlens 2017,
    arXiv:1610.09585, section 4.2). Compare it with that of the same number of real images, and take one class at a
    time.

    Raises:
        ValueError: fewer than two images, no pair, or images smaller than 11×11.
    """
    if len(images) < 2 or pairs < 1:
        raise ValueError(f"{pairs} pairs of {len(images)} images: at least one pair and two images are needed")
    random = np.random.default_rng(seed)
    first = random.integers(len(images), size=pairs)
    second = (first + random.integers(1, len(images), size=pairs)) % len(images)  # any other
    images, total = np.asarray(images), 0.0
    for start in range(0, pairs, BATCH):
        chunk = slice(start, start + BATCH)
        total += float(_ms_ssim(images[first[chunk]], images[second[chunk]]).sum())
    return total / pairs


_ms_ssim = jax.jit(ms_ssim)


def _intensities(a: Images, b: Images) -> tuple[Array, Array, int]:
    """Both in [0, 1], and the number of scales that they have room for."""
    if a.shape != b.shape or min(a.shape[1:3]) < WINDOW:
        raise ValueError(
            f"SSIM compares images of one shape, of at least {WINDOW}×{WINDOW} pixels: got {a.shape} and {b.shape}"
        )
    scales = sum(min(a.shape[1:3]) >> scale >= WINDOW for scale in range(len(WEIGHTS)))
    first, second = (to_unit(jnp.asarray(normalise(jnp.asarray(x)))) for x in (a, b))
    return first, second, scales


def _similarities(a: Array, b: Array) -> tuple[Float[Array, "b c"], Float[Array, "b c"]]:
    """The means over the image of SSIM, and of its factor for contrast and structure (2003, eqs. 2 to 4)."""
    mean_a, mean_b, aa, bb, ab = (_blur(_blur(x, 1), 2) for x in (a, b, a * a, b * b, a * b))
    variance_a, variance_b, covariance = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    contrast = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return (luminance * contrast).mean((1, 2)), contrast.mean((1, 2))


def _blur(x: Array, axis: int) -> Array:
    """Along one axis, without padding. XLA fuses the sum; a convolution with one channel is several times slower."""
    size = x.shape[axis] - WINDOW + 1
    parts = [tap * jax.lax.slice_in_dim(x, i, i + size, axis=axis) for i, tap in enumerate(TAPS)]
    return sum(parts, jnp.zeros(()))
