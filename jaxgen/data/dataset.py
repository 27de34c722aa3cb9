"""Data sets: examples that fit in memory or are rendered from what does (`Dataset`), or are read as they are needed
(`StreamedDataset`).

In memory they live on the device:

    dataset = load("digits")
    arrays  = jax.device_put(dataset.arrays)                                # once
    indices = orders(seed, range(start, stop), batch_size, len(dataset))    # a pure function of (seed, step)
    batch   = dataset.gather(arrays, indices[0])                            # inside the compiled loop
"""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, Shaped

from jaxgen.data.ordering import check_batch_size, order, orders
from jaxgen.types import Batch

__all__ = ["Attribute", "Augmentation", "Dataset", "Source", "StreamedDataset", "Unreadable", "mirror", "random_crop"]

Augmentation = Callable[[Key[Array, ""], Batch], Batch]
"""A pure function on the device: a key and a batch to a batch of the same shapes."""

Renderer = Callable[[Batch], Batch]
"""A pure function on the device, jitted: rows of a data set's arrays to the batch that they stand for."""

Example = Mapping[str, np.ndarray | np.generic]
"""One example on the host, without a batch axis."""

HostBatch = dict[str, np.ndarray]
"""A batch on the host, in NumPy arrays."""

Spec = dict[str, jax.ShapeDtypeStruct]
"""Shapes and dtypes by name."""

ENLARGED = 286 / 256  # what pix2pix crops from

CHUNK = 4096  # the most examples that a thread reads into memory in one go


@dataclass(frozen=True)
class Attribute:
    """What is known of an image besides its class: so many columns, 0 or 1, of a batch's `attributes`."""

    name: str
    values: tuple[str, ...] = ()
    """A column for each, of which exactly one is 1; (): one column, yes or no."""
    set: int = 0
    """Of several data sets joined the one that has it; in the others its columns are 0, which says nothing."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return self.values or (self.name,)


class _Examples:
    """What both kinds of data set have in common; they differ in `__len__`, `example` and `batch`."""

    label_names: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    name: str

    @property
    def classes(self) -> int:
        """How many classes there are; 0 when the data has no labels."""
        return len(self.label_names)

    def spec(self, batch_size: int) -> Spec:
        """Shapes and dtypes of a batch: what `model.init` wants. `ValueError` for a batch larger than the data."""
        check_batch_size(batch_size, len(self), self.name or "the data")
        return {name: jax.ShapeDtypeStruct((batch_size, *one.shape), one.dtype) for name, one in self.example.items()}

    def batches(self, batch_size: int) -> Iterator[HostBatch]:
        """One pass in order without augmentation, for evaluation; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.batch(np.arange(start, min(start + batch_size, len(self))))


@dataclass(frozen=True, eq=False)
class Dataset(_Examples):
    """Examples that fit in memory, or are rendered from arrays that do."""

    arrays: Mapping[str, np.ndarray]
    """By name, one leading example axis: `image` uint8 NHWC (float32 for 2-D points), `label` int32; or what `render`
    takes."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, by label; () when there are no labels."""
    augment: Augmentation | None = None
    """What training does to each batch after gathering it."""
    name: str = ""
    """The source, for messages."""
    render: Renderer | None = None
    """What makes a batch of the rows of `arrays`, where these are not the examples themselves."""
    attributes: tuple[Attribute, ...] = ()
    """What the columns of the array `attributes` are, where there is one."""
    unpaired: bool = False
    """Whether the arrays are domains that belong together as a whole and not row by row: each has a length and an order
    of its own."""

    def __post_init__(self):
        sizes = {name: len(array) for name, array in self.arrays.items()}
        if len(set(sizes.values())) != 1 and not self.unpaired:
            raise ValueError(f"arrays of one data set need one length; these have {sizes}")

    def __len__(self) -> int:
        """How many examples there are; of unpaired domains in the larger one."""
        return max(map(len, self.arrays.values()))

    def spec(self, batch_size: int) -> Spec:
        """Shapes and dtypes of a batch: what `model.init` wants. `ValueError` for a batch larger than the data."""
        for name, array in self.arrays.items() if self.unpaired else ():
            check_batch_size(batch_size, len(array), f"domain {name} of {self.name or 'the data'}")
        return super().spec(batch_size)

    def orders(self, seed: int, steps: range, batch_size: int) -> Int[np.ndarray, "steps batch *domains"]:
        """What `gather` takes for each of consecutive steps: indices in the order of `jaxgen.data.orders`, of unpaired
        domains in an order for each."""
        if not self.unpaired:
            return orders(seed, steps, batch_size, len(self))
        # No run can have a seed of 2**33 or more.
        each = [
            orders(seed + (i << 33), steps, batch_size, len(self.arrays[name])) for i, name in enumerate(self._domains)
        ]
        return np.stack(each, axis=-1)

    @property
    def _domains(self) -> list[str]:
        return sorted(self.arrays)

    @property
    def example(self) -> Spec:
        """Shapes and dtypes of one example, no batch axis."""
        rows = {name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype) for name, array in self.arrays.items()}
        batch = jax.eval_shape(self.render, rows) if self.render else rows
        return {name: jax.ShapeDtypeStruct(one.shape[1:], one.dtype) for name, one in batch.items()}

    def gather(self, arrays: Mapping[str, Shaped[Array, "_ ..."]], indices: Int[Array, "b *domains"]) -> Batch:
        """The batch of `indices`. Pure, for use inside `jit`; `arrays` is `self.arrays` placed on the device and
        passed in, so that it is an argument of the compiled program and no constant in it."""
        rows = {
            name: jnp.take(arrays[name], indices[:, i] if self.unpaired else indices, axis=0, mode="clip")
            for i, name in enumerate(self._domains)
        }
        return self.render(rows) if self.render else rows

    def batch(self, indices: Int[np.ndarray, "b"]) -> HostBatch:
        """The examples of `indices`, on the host; a domain that has fewer begins again."""
        rows = {name: array[indices % len(array) if self.unpaired else indices] for name, array in self.arrays.items()}
        return jax.device_get(self.render(rows)) if self.render else rows


@runtime_checkable
class Source(Protocol):
    """Random access to examples one by one.

    What cannot be read raises `Unreadable`, and is skipped if the data set says so. A source that reads many at once
    faster may also have `__getitems__(indices) -> Sequence[Example]`.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Unreadable(ValueError):
    """An example that cannot be read; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class StreamedDataset(_Examples):
    """Examples read as they are needed, ahead of time and in parallel through grain; on the same terms as `Dataset`."""

    source: Source
    example: Spec
    """Shapes and dtypes of one example, no batch axis."""
    label_names: tuple[str, ...] = ()
    augment: Augmentation | None = None
    name: str = ""
    attributes: tuple[Attribute, ...] = ()
    skip_unreadable: bool = False
    """Whether an unreadable example gives its place to the next readable one (with a warning), or raises."""
    threads: int = 8
    """How many threads read, each a whole batch."""
    prefetch: int = 16
    """How many batches are read ahead."""

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Int[np.ndarray, "b"]) -> HostBatch:
        """The examples of `indices`."""
        places = zip(indices.tolist(), self._rows(indices.tolist()), strict=True)
        rows = [self._next_readable(index) if row is None else row for index, row in places]
        return {name: np.stack([row[name] for row in rows]) for name in self.example}

    def stream(self, seed: int, start_step: int, stop_step: int, batch_size: int) -> Iterator[HostBatch]:
        """The batches of the steps start_step .. stop_step - 1 in the order of `order`, read ahead by grain."""
        check_batch_size(batch_size, len(self), self.name or "the data")
        try:
            import grain  # here, because images for accelerators often lack it
        except ImportError as error:
            raise ValueError(f"streaming {self.name} needs grain ({error}); run pip install grain") from error
        steps = grain.MapDataset.range(start_step, stop_step)
        batches = steps.map(lambda step: self.batch(order(seed, int(step), batch_size, len(self))))
        options = grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=self.prefetch)
        return iter(batches.to_iter_dataset(options))

    def in_memory(self) -> Dataset:
        """All examples read into memory, without the unreadable ones."""
        arrays = {name: np.empty((len(self), *one.shape), one.dtype) for name, one in self.example.items()}
        readable = np.ones(len(self), bool)

        def read(chunk: range) -> None:
            for index, row in zip(chunk, self._rows(chunk), strict=True):
                readable[index] = row is not None
                for name in arrays if row is not None else ():
                    arrays[name][index] = row[name]

        threads = os.cpu_count() or 1
        chunk = min(CHUNK, -(-len(self) // (4 * threads)))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, [range(len(self))[i : i + chunk] for i in range(0, len(self), chunk)]))
        if not readable.any():
            raise ValueError(f"{self.name}: none of {len(self)} examples can be read")
        if not readable.all():
            arrays = {name: array[readable] for name, array in arrays.items()}
        return Dataset(arrays, self.label_names, self.augment, self.name, attributes=self.attributes)

    def _rows(self, indices: Sequence[int]) -> list[Example | None]:
        """The examples of `indices`; None in the place of what cannot be read and may be skipped."""
        if hasattr(self.source, "__getitems__"):
            return list(self.source.__getitems__(list(indices)))
        return [self._row(index) for index in indices]

    def _next_readable(self, index: int) -> Example:
        for step in range(1, len(self)):
            if (row := self._row((index + step) % len(self))) is not None:
                return row
        raise ValueError(f"{self.name}: none of {len(self)} examples can be read")

    def _row(self, index: int) -> Example | None:
        try:
            return self.source[index]
        except Unreadable as error:
            if not self.skip_unreadable:
                raise
            warnings.warn(f"skipped: {error}", stacklevel=2)
            return None


def mirror(key: Key[Array, ""], batch: Batch) -> Batch:
    """Mirror each example left to right with probability 1/2: all images (b h w c) of one example alike."""
    images = {name: array for name, array in batch.items() if array.ndim == 4}
    b = len(next(iter(batch.values())))
    mirrored = jax.random.bernoulli(key, shape=(b, 1, 1, 1))
    return {**batch, **{name: jnp.where(mirrored, x[:, :, ::-1], x) for name, x in images.items()}}


def random_crop(key: Key[Array, ""], batch: Batch) -> Batch:
    """Enlarge each image by 286/256 and crop a random part of its size: all images (b h w c) of one example alike
    (Isola et al. 2017, appendix 6.2)."""
    b = len(next(iter(batch.values())))
    place = jax.random.uniform(key, (b, 2))

    def crop(image, place):
        size = image.shape[:2]
        large = tuple(round(ENLARGED * side) for side in size)
        image = jax.image.resize(image.astype(jnp.float32), (*large, image.shape[2]), "bicubic")
        spare = jnp.array([more - side + 1 for more, side in zip(large, size, strict=True)])
        top, left = (place * spare).astype(jnp.int32)
        part = jax.lax.dynamic_slice(image, (top, left, 0), (*size, image.shape[2]))
        return jnp.clip(jnp.round(part), 0, 255).astype(jnp.uint8)

    return {name: jax.vmap(crop)(x, place) if x.ndim == 4 else x for name, x in batch.items()}
