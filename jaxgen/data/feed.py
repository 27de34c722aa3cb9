"""The feed of the training loop: the batches of a run's steps, placed on the devices a chunk of steps at a time.

Data in memory live on the devices, and only indices travel; streamed data travel themselves.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Shaped

from jaxgen.data.dataset import Dataset, StreamedDataset
from jaxgen.sharding import place, replicated, sharded

__all__ = ["Chunk", "Feed", "feed"]

STREAM_BYTES = 64 << 20
"""The size of a chunk of a streamed data set, on the host and on the device."""

Chunk = tuple[int, tuple[dict[str, jax.Array], Any]]
"""The number of steps of a chunk, and what their batches are made of: the arrays of the data set, and with a leading
axis over the steps what each step takes. This is what `Dataset.gather` takes, or for streamed data the batches
themselves, where the arrays are an empty dict. The axis is padded, so that all chunks of a feed have one shape."""

Feed = Callable[[int, int], Iterator[Chunk]]
"""A function of a first step and the step after the last one that gives the chunks between them in order. Each call
must go on where the one before it ended."""


def feed(
    dataset: Dataset | StreamedDataset,
    mesh: Mesh,
    seed: int | Sequence[int],
    batch_size: int,
    steps: range,
    longest: int,
) -> Feed:
    """Returns the feed of a run through `steps`, in which a chunk has at most `longest` steps.

    The batch is sharded over the mesh. Several seeds are those of a population, which needs data in memory: what the
    steps take then has a leading axis over the members, which is sharded instead.
    """
    if isinstance(dataset, Dataset):
        return _from_memory(dataset, mesh, seed, batch_size, longest)
    if not isinstance(seed, int):
        raise ValueError(f"a population of {len(seed)} seeds needs data in memory; {dataset.name} is streamed")
    return _from_stream(dataset, mesh, seed, batch_size, steps, longest)


def _from_memory(dataset: Dataset, mesh: Mesh, seed: int | Sequence[int], batch_size: int, longest: int) -> Feed:
    arrays = place(dict(dataset.arrays), replicated(mesh))

    def indices(seed: int, start: int, stop: int) -> np.ndarray:
        return _pad(dataset.orders(seed, range(start, stop), batch_size), longest)

    def chunks(start: int, stop: int) -> Iterator[Chunk]:
        if isinstance(seed, int):
            chosen = place(indices(seed, start, stop), sharded(mesh, 1))
        else:
            chosen = place(np.stack([indices(s, start, stop) for s in seed]), sharded(mesh))
        yield stop - start, (arrays, chosen)

    return chunks


def _from_stream(dataset: StreamedDataset, mesh: Mesh, seed: int, batch_size: int, steps: range, longest: int) -> Feed:
    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in dataset.spec(batch_size).values())
    length = max(1, min(longest, STREAM_BYTES // size))
    batches = dataset.stream(seed, steps.start, steps.stop, batch_size)

    def chunks(start: int, stop: int) -> Iterator[Chunk]:
        for begin in range(start, stop, length):
            some = list(itertools.islice(batches, min(length, stop - begin)))
            stacked = jax.tree.map(lambda *x: _pad(np.stack(x), length), *some)
            yield len(some), ({}, place(stacked, sharded(mesh, 1)))

    return chunks


def _pad(x: Shaped[np.ndarray, "n ..."], length: int) -> Shaped[np.ndarray, "length ..."]:
    """Pads with zeros to one length, so that all chunks share one compilation."""
    return np.concatenate([x, np.zeros((length - len(x), *x.shape[1:]), x.dtype)])
