"""Which examples a split has: "train", "test", and "all", which is both."""

import numpy as np
from jaxtyping import Int

from jaxgen.data.ordering import order

__all__ = ["SPLITS", "check_split", "hold_out"]

SPLITS = ("train", "test", "all")


def check_split(split: str, name: str, allowed: tuple[str, ...] = SPLITS) -> None:
    """Raises `ValueError` unless the source `name` has the split."""
    if split not in allowed:
        *first, last = map(repr, allowed)
        raise ValueError(f"{name} has no split {split!r}; allowed are {', '.join(first)} and {last}")


def hold_out(size: int, split: str) -> Int[np.ndarray, "_"]:
    """Returns the indices, ascending, of the examples of a split of data that has no test split of its own.

    A tenth of the `size` examples (at least one of two) is "test", the rest "train". The choice depends on `size`
    alone, so it is the same in every run.
    """
    if split == "all" or size == 0:
        return np.arange(size)
    count = max(1, size // 10) if size > 1 else 0
    test = np.zeros(size, bool)
    test[order(0, 0, size, size)[:count]] = True
    return np.flatnonzero(test if split == "test" else ~test)
