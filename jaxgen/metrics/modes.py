"""Modes covered: how many of the known modes of a distribution, or of the classes of a data set, a generator reaches.

    world    = toy_world("ring")
    coverage = mode_coverage(model.sample(state, key, 2500), world.modes, world.scale)

    labels   = read_stacked(classify, model.sample(state, key, 500))        # batch by batch
    coverage = class_coverage(labels, 1000)

Pure functions: they run inside `jit`, and `vmap` over a population.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import rel_entr
from jaxtyping import Array, Float, Int, Num

__all__ = ["ModeCoverage", "class_coverage", "mode_coverage", "read_stacked"]


class ModeCoverage(NamedTuple):
    """Which modes samples cover."""

    counts: Int[Array, "k"]
    """The number of high-quality samples in each mode."""
    modes_covered: Int[Array, ""]
    """The number of modes with at least one such sample."""
    high_quality: Float[Array, ""]
    """The share of samples that are of high quality."""
    reverse_kl: Float[Array, ""]
    """KL(generated || truth) of the histogram over the modes, in nats; infinite when no sample is of high quality."""


def mode_coverage(
    points: Float[Array | np.ndarray, "n 2"],
    modes: Float[Array | np.ndarray, "k 2"],
    scale: float | Float[Array, ""],
    sigmas: float | Float[Array, ""] = 3.0,
    truth: Num[Array | np.ndarray, "k"] | None = None,
) -> ModeCoverage:
    """Returns the modes that points cover. Each point belongs to the mode nearest to it, and is of high quality within
    `sigmas` * `scale` of that (Srivastava et al. 2017).

    `truth` is the histogram of the true modes, by default uniform. Among points of the true Gaussians the share
    1 - exp(-sigmas² / 2), 98.9%, is of high quality.
    """
    distance = jnp.linalg.norm(points[:, None] - jnp.asarray(modes), axis=-1)
    good = distance.min(axis=-1) <= sigmas * scale  # not so where a coordinate is NaN
    return class_coverage(jnp.where(good, distance.argmin(axis=-1), -1), len(modes), truth)


def class_coverage(
    labels: Int[Array | np.ndarray, "n"], classes: int, truth: Num[Array | np.ndarray, "k"] | None = None
) -> ModeCoverage:
    """Returns the classes that labels in 0 .. `classes` - 1 cover, as a classifier gives them; any other label belongs
    to no mode."""
    known = (labels >= 0) & (labels < classes)
    counts = jnp.zeros(classes, jnp.int32).at[jnp.where(known, labels, 0)].add(known)
    truth = jnp.ones(classes) if truth is None else jnp.asarray(truth)
    total = counts.sum()
    kl = rel_entr(counts / jnp.maximum(total, 1), truth / truth.sum()).sum()
    return ModeCoverage(counts, (counts > 0).sum(), total / len(labels), jnp.where(total > 0, kl, jnp.inf))


def read_stacked(
    classify: Callable[[Any], Float[Array, "n 10"]], images: Num[Array | np.ndarray, "n h w 3"]
) -> Int[Array, "n"]:
    """Returns the numbers 0 .. 999 that stacked digits show: `classify` gives the logits of the digit in each channel
    (n h w 1), and red counts 100, green 10, blue 1."""
    red, green, blue = (classify(images[..., channel : channel + 1]).argmax(-1) for channel in range(3))
    return 100 * red + 10 * green + blue
