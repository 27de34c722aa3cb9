"""Figures of samples of models that learned from one image (Shaham et al. 2019, section 3.1)."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxgen.metrics.frechet import fid
from jaxgen.pixels import to_uint8

__all__ = ["diversity", "patches", "sifid"]

Images = Float[Array | np.ndarray, "_ _ _ _"] | UInt8[Array | np.ndarray, "_ _ _ _"]  # NHWC


def _intensities(images: Images) -> np.ndarray:
    """The intensities in [0, 255]."""
    images = images if images.dtype == np.uint8 else to_uint8(jnp.asarray(images))
    return np.asarray(images, np.float64)


def patches(images: Images, side: int = 5) -> Float[np.ndarray, "n p d"]:
    """Returns every patch of `side` × `side` pixels as a vector of intensities in [0, 1]: features for `sifid`.

    ValueError for images smaller than a patch.
    """
    if min(images.shape[1:3]) < side:
        raise ValueError(f"images of {images.shape[1]}×{images.shape[2]}: patches have {side} pixels a side")
    windows = np.lib.stride_tricks.sliding_window_view(_intensities(images) / 255, (side, side), axis=(1, 2))
    return windows.reshape(len(images), windows.shape[1] * windows.shape[2], -1)


def sifid(image: Images, samples: Images, features: Callable[[Images], Float[np.ndarray, "n p d"]] = patches) -> float:
    """Returns the mean over the samples of the Fréchet distance between the features of all places of the sample and of
    the training image (single image FID); 0 at best. Samples may be of another size. Figures by other features do not
    compare; the paper's are Inception's, before its second pooling layer.

    image:    the training image, (1, h, w, c)
    samples:  (n, h2, w2, c)
    features: from images to n × places × features
    """
    [real] = features(image)
    return float(np.mean([fid(real, fake) for fake in features(samples)]))


def diversity(image: Images, samples: Images) -> float:
    """Returns the standard deviation of each value over the samples, averaged over all values, in units of the standard
    deviation within the training image; 0 where all samples are the same. ValueError for fewer than two samples."""
    if len(samples) < 2:
        raise ValueError(f"{len(samples)} sample: at least two are needed to differ")
    return float(_intensities(samples).std(0).mean() / _intensities(image).std())
