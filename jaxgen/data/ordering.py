"""The order in which training visits the examples: a pure function of the seed and the step."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int

__all__ = ["check_batch_size", "order", "orders"]


def order(seed: int, step: int, batch_size: int, size: int) -> Int[np.ndarray, "batch_size"]:
    """Returns the indices of the batch of step `step`, out of `size` examples.

    Example p = step * batch_size + i of the endless stream is element p % size of the permutation of epoch p // size:
    every example comes once an epoch, and a batch may straddle two epochs.

    Raises `ValueError` when the batch is empty or larger than the data, or the seed is negative.
    """
    return orders(seed, range(step, step + 1), batch_size, size)[0]


def orders(seed: int, steps: range, batch_size: int, size: int) -> Int[np.ndarray, "steps batch_size"]:
    """Returns `order` for each of the consecutive steps of `steps` (a range of stride 1), stacked."""
    check_batch_size(batch_size, size)
    if seed < 0:
        raise ValueError(f"the seed is {seed}; it must be 0 or more")
    start, stop = steps.start * batch_size, steps.stop * batch_size
    parts = [np.zeros(0, np.int32)]
    for epoch in range(start // size, -(-stop // size)):
        first = epoch * size
        parts.append(_permutation(seed, epoch, size)[max(0, start - first) : stop - first])
    return np.concatenate(parts).reshape(len(steps), batch_size)


def check_batch_size(batch_size: int, size: int, name: str = "the data") -> None:
    """Raises `ValueError` unless 1 <= batch_size <= size."""
    if not 1 <= batch_size <= size:
        raise ValueError(f"the batch size is {batch_size}, but {name} has {size} examples; allowed is 1 to {size}")


@lru_cache(maxsize=16)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    # Raw bits are sorted because NumPy keeps them the same in all versions; `Generator.permutation` may change.
    bits = np.random.PCG64([seed, epoch]).random_raw(size)
    permutation = np.argsort(bits, kind="stable").astype(np.int32)
    permutation.setflags(write=False)
    return permutation
