"""Codes and factors: what every metric of a representation asks of them, and how it draws them."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Array, Float, Int, Num

__all__ = [
    "Codes",
    "Factors",
    "Represent",
    "RepresentationWarning",
    "factor_sizes_of",
    "finite_units",
    "labelled",
    "matched",
    "represented",
]

Codes = Num[Array | np.ndarray, "_ _"]
"""(points, units): the representation of each point, such as the mean of a VAE's posterior."""
Factors = Int[Array | np.ndarray, "_ _"]
"""(points, factors): the class of each point in every factor of variation, from 0."""
Represent = Callable[[Int[np.ndarray, "_ _"]], Codes]
"""The codes of data that have the given factors: renders or looks up, and encodes. It is always given ROWS points, so
that what it compiles it compiles once; codes of the whole data set, computed before, are the fastest."""

ROWS = 1024


class RepresentationWarning(UserWarning):
    """A unit or a factor of which a metric can make nothing."""


def finite_units(codes: Codes, least: int = 2) -> Float[np.ndarray, "n d"]:
    """Returns the codes as float64. Units with values that are not finite become constant; they and constant units are
    named in a warning.

    Raises:
        ValueError: codes that are no matrix (points, units), or of fewer than `least` points.
    """
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or codes.shape[1] < 1:
        raise ValueError(f"codes are (points, units): got {codes.shape}")
    if len(codes) < least:
        raise ValueError(f"{len(codes)} points: at least {least} are needed")
    finite = np.asarray(np.isfinite(codes).all(0))
    codes = np.where(finite, codes, 0)
    _warn("units {} have values that are not finite: they count as constant", ~finite)
    _warn("units {} are constant", finite & (codes == codes[0]).all(0))
    return codes


def matched(
    codes: Codes, factors: Factors, *, least: int = 2, train: int | None = None, test: int | None = None
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, "n k"]]:
    """Returns codes as `finite_units` does, and factors as classes from 0 without gaps.

    With `train` and `test` only the first train + test points are taken; the classes are then those among the first
    `train`, and any other is -1.

    Raises:
        ValueError: too few points, or factors that do not fit the codes.
    """
    codes, factors = np.asarray(codes), np.asarray(factors)
    if factors.ndim != 2 or codes.ndim != 2 or len(factors) != len(codes):
        raise ValueError(f"codes (points, units) and factors (points, factors): got {codes.shape} and {factors.shape}")
    if train is not None and test is not None:
        if min(train, test) < 2 or train + test > len(codes):
            raise ValueError(f"{len(codes)} points: {train} to train and {test} to test are asked for, at least 2 each")
        codes, factors = codes[: train + test], factors[: train + test]
    codes = finite_units(codes, least)
    if (factors < 0).any():
        raise ValueError(f"factors are classes from 0: got {factors.min()}")
    classes = np.empty(factors.shape, int)
    for i, column in enumerate(factors.T):
        values = np.unique(column[:train])
        index = np.searchsorted(values, column).clip(max=len(values) - 1)
        classes[:, i] = np.where(values[index] == column, index, -1)
    return codes, classes


def labelled(
    codes: Codes, factors: Factors, *, least: int = 2, train: int | None = None, test: int | None = None
) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, "n v"]]:
    """Returns what `matched` does for the factors that take several values, in both parts if there are two; the others
    are named in a warning.

    Raises:
        ValueError: also for fewer than two units, or without a factor that varies.
    """
    codes, classes = matched(codes, factors, least=least, train=train, test=test)
    if codes.shape[1] < 2:
        raise ValueError("the representation has one unit: at least two are needed")
    parts = np.split(classes, [] if train is None else [train])
    varies = np.all([(part != part[0]).any(0) for part in parts], axis=0)
    return codes, classes[:, _varying(varies, least=1)]


def factor_sizes_of(sizes: Sequence[int]) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "v"]]:
    """Returns the number of values of each factor, and the indices of those with several; the others are named in a
    warning.

    Raises:
        ValueError: a factor without a value, or fewer than two with several.
    """
    found = np.asarray(sizes, np.int64)
    if found.ndim != 1 or (found < 1).any():
        raise ValueError(f"factor_sizes are the numbers of values of each factor, at least 1: got {found.tolist()}")
    return found, _varying(found > 1, least=2)


def represented(represent: Represent, factors: Int[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
    """Returns the codes of any number of points, as float64.

    Raises:
        ValueError: `represent` gives no row of units for each point.
    """
    batches = -(-len(factors) // ROWS)
    padded = np.resize(factors, (batches * ROWS, factors.shape[1])).astype(np.int32)
    codes = [np.asarray(represent(batch), np.float64) for batch in np.split(padded, batches)]
    if codes[0].ndim != 2 or len(codes[0]) != ROWS:
        raise ValueError(f"represent gave {codes[0].shape} for {ROWS} points: (points, units) is needed")
    return np.concatenate(codes)[: len(factors)]


def _varying(varies: np.ndarray, least: int) -> Int[np.ndarray, "v"]:
    if varies.sum() < least:
        raise ValueError(f"{varies.sum()} of {len(varies)} factors take several values: at least {least} is needed")
    _warn("factors {} take one value only: they are skipped", ~varies)
    return np.flatnonzero(varies)


def _warn(message: str, which: np.ndarray) -> None:
    if which.any():
        warnings.warn(message.format(np.flatnonzero(which).tolist()), RepresentationWarning, stacklevel=4)
