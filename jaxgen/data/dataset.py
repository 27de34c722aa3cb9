"""Data sets: `Dataset` holds its examples in memory or renders them from arrays that fit there; `StreamedDataset` reads
them as they are needed.

Train with a loop of your own:

    dataset = Dataset.from_arrays(images, labels)               # or load("digits")
    for batch in dataset.batches(64, shuffle=0, epochs=10):
        state, metrics = step(state, batch)

Inside a compiled loop a `Dataset` lives on the device:

    arrays  = jax.device_put(dict(dataset.arrays))                          # once
    indices = dataset.orders(seed, range(start, stop), batch_size)          # a pure function of (seed, step)
    batch   = dataset.gather(arrays, indices[0])                            # inside `jit`
"""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped

from jaxgen.data.arrays import Values, check_labels, to_images
from jaxgen.data.augment import Augmentation, augmentation_key
from jaxgen.data.ordering import check_batch_size, order, orders
from jaxgen.optional import require
from jaxgen.types import Batch

__all__ = ["Attribute", "BatchSource", "Dataset", "Source", "StreamedDataset", "Unreadable"]

Renderer = Callable[[Batch], Batch]
"""A pure function on the device, jitted: rows of a data set's arrays to the batch that they stand for."""

Example = Mapping[str, np.ndarray | np.generic]
"""One example on the host, without a batch axis."""

HostBatch = dict[str, np.ndarray]
"""A batch on the host, in NumPy arrays."""

Spec = dict[str, jax.ShapeDtypeStruct]
"""Shapes and dtypes by name."""

CHUNK = 4096
"""The largest number of examples that a thread reads into memory at once."""


@dataclass(frozen=True)
class Attribute:
    """A property of an image besides its class, in one or several columns (0 or 1) of a batch's `attributes`."""

    name: str
    """What the property is called."""
    values: tuple[str, ...] = ()
    """One column for each value, of which exactly one is 1; () stands for a single column, yes or no."""
    set: int = 0
    """The number of the data set that has the attribute, where several are joined. In images of the other sets its
    columns are 0, which says nothing."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.values or (self.name,)


class _Examples(ABC):
    """What both kinds of data set share."""

    example: Spec
    label_names: tuple[str, ...]
    augment: Augmentation | None
    name: str
    attributes: tuple[Attribute, ...]

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples."""

    @abstractmethod
    def batch(self, indices: Int[np.ndarray, "b *domains"]) -> HostBatch:
        """Returns the examples of `indices`, on the host."""

    @abstractmethod
    def stream(self, seed: int, start_step: int, stop_step: int, batch_size: int) -> Iterator[HostBatch]:
        """Iterates over the batches of the steps start_step .. stop_step - 1 in training's order, not augmented."""

    @property
    def classes(self) -> int:
        """The number of classes; 0 when the data has no labels."""
        return len(self.label_names)

    def spec(self, batch_size: int) -> Spec:
        """Returns the shapes and dtypes of a batch, which `model.init` takes.

        Raises `ValueError` for a batch that is larger than the data.
        """
        check_batch_size(batch_size, len(self), self.name or "the data")
        return {name: jax.ShapeDtypeStruct((batch_size, *one.shape), one.dtype) for name, one in self.example.items()}

    def batches(
        self, batch_size: int, *, shuffle: int | None = None, epochs: int | None = None, steps: int | None = None
    ) -> Iterator[HostBatch]:
        """Iterates over batches.

        - Without `shuffle`, for evaluation: one pass in the order of the data, not augmented; the last batch may be
          smaller.
        - With `shuffle`, a seed, for training: the batches that `jaxgen.fit` takes with this seed, in the order of
          `jaxgen.data.orders` and augmented. All have the full size. `steps` is their number; or `epochs`, 1 by
          default, is the number of passes over the data.

        Raises `ValueError` for a batch that is empty or, with `shuffle`, larger than the data.
        """
        if batch_size < 1:
            raise ValueError(f"the batch size is {batch_size}; it must be 1 or more")
        if shuffle is None:
            if epochs is not None or steps is not None:
                raise ValueError(f"epochs={epochs} and steps={steps} need a seed: shuffle=0")
            starts = range(0, len(self), batch_size)
            return (self.batch(np.arange(start, min(start + batch_size, len(self)))) for start in starts)
        if epochs is not None and steps is not None:
            raise ValueError(f"epochs={epochs} and steps={steps} are given; only one of them is allowed")
        self.spec(batch_size)  # checks the size
        steps = (1 if epochs is None else epochs) * len(self) // batch_size if steps is None else steps
        batches = self.stream(shuffle, 0, steps, batch_size)
        return batches if self.augment is None else _augmented(self.augment, shuffle, batches)


def _augmented(augment: Augmentation, seed: int, batches: Iterator[HostBatch]) -> Iterator[HostBatch]:
    apply = jax.jit(lambda key, step, batch: augment(jax.random.fold_in(key, step), batch))
    key = augmentation_key(seed)
    for step, batch in enumerate(batches):
        yield jax.device_get(apply(key, step, batch))


@dataclass(frozen=True, eq=False)
class Dataset(_Examples):
    """Examples that fit in memory, or are rendered from arrays that do. `from_arrays` makes one from plain arrays."""

    arrays: Mapping[str, np.ndarray]
    """Arrays by name, with one leading example axis, or what `render` takes. `image` (n, h, w, c) is uint8, or float32
    in [-1, 1], which models see as it is; `label` int32, counted from 0. Points are an `image` (n, 2) of float32."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, by label; () when there are no labels."""
    augment: Augmentation | None = None
    """What training does to each batch after gathering it."""
    name: str = ""
    """The source, for messages."""
    render: Renderer | None = None
    """Makes a batch from rows of `arrays`, where these are not the examples themselves."""
    attributes: tuple[Attribute, ...] = ()
    """What the columns of the array `attributes` mean, where there is one."""
    unpaired: bool = False
    """Whether the arrays are domains without row-by-row correspondence: each has a length and an order of its own."""
    example: Spec = field(init=False, repr=False)
    """Shapes and dtypes of one example, without a batch axis; derived from the other fields."""

    def __post_init__(self) -> None:
        sizes = {name: len(array) for name, array in self.arrays.items()}
        if len(set(sizes.values())) != 1 and not (self.unpaired and sizes):
            raise ValueError(f"arrays of one data set need one length; these have {sizes}")
        rows: dict[str, Any] = {
            name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype) for name, array in self.arrays.items()
        }
        batch = jax.eval_shape(self.render, rows) if self.render else rows
        example = {name: jax.ShapeDtypeStruct(one.shape[1:], one.dtype) for name, one in batch.items()}
        object.__setattr__(self, "example", example)

    @classmethod
    def from_arrays(
        cls,
        image: Array | np.ndarray,
        label: Any = None,
        *,
        values: Values = "uint8",
        quantise: bool = False,
        label_names: Sequence[str] = (),
        augment: Augmentation | None = None,
        name: str = "",
    ) -> "Dataset":
        """Makes a data set from plain arrays.

            Dataset.from_arrays(images, labels)                         # uint8, 0 to 255
            Dataset.from_arrays(images, values="unit")                  # floats in [0, 1]
            Dataset.from_arrays(images, values="symmetric")             # floats in [-1, 1]

        - `image`: (n, h, w, c), or (n, h, w), which gets a channel axis.
        - `label`: integers (n,), counted from 0.
        - `values`: what the numbers in `image` mean. Models see float32 in [-1, 1] in all three cases. "uint8" also
          accepts other integers from 0 to 255, and the other two accept integers in their range.
        - `quantise`: rounds floats to uint8, which takes a quarter of the memory.
        - `label_names`: the names of the classes, by default "0", "1", ….
        - `augment`, `name`: the fields of `Dataset`.

        Raises `ValueError`, on one line, for channels before height and width (NCHW), floats without a range, values
        outside the range, lengths that differ, and labels that are not integers from 0.
        """
        arrays: dict[str, np.ndarray] = {"image": to_images(image, values, quantise, name or "the images")}
        names = tuple(label_names)
        if label is not None:
            arrays["label"], names = check_labels(label, len(arrays["image"]), names, f"{name} labels".strip())
        elif names:
            raise ValueError(f"{len(names)} label_names are given, but no labels")
        return cls(arrays, names, augment, name)

    def __len__(self) -> int:
        """The number of examples; the length of the larger domain where they are unpaired."""
        return max(map(len, self.arrays.values()))

    def spec(self, batch_size: int) -> Spec:
        """Returns the shapes and dtypes of a batch, which `model.init` takes.

        Raises `ValueError` for a batch that is larger than the data, or than one of the unpaired domains.
        """
        for name, array in self.arrays.items() if self.unpaired else ():
            check_batch_size(batch_size, len(array), f"domain {name} of {self.name or 'the data'}")
        return super().spec(batch_size)

    def orders(self, seed: int, steps: range, batch_size: int) -> Int[np.ndarray, "steps batch *domains"]:
        """Returns what `gather` takes, for each of consecutive steps: indices in the order of `jaxgen.data.orders`.

        Unpaired domains have an order each, on a last axis.
        """
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

    def gather(self, arrays: Mapping[str, Shaped[Array, "_ ..."]], indices: Int[Array, "b *domains"]) -> Batch:
        """Returns the batch of `indices`: a pure function, for use inside `jit`.

        `arrays` is `self.arrays`, placed on the device and passed in, so that the compiled program takes it as an
        argument and does not hold it as a constant.
        """
        rows: dict[str, Any] = {
            name: jnp.take(arrays[name], indices[:, i] if self.unpaired else indices, axis=0, mode="clip")
            for i, name in enumerate(self._domains)
        }
        return self.render(rows) if self.render else rows

    def batch(self, indices: Int[np.ndarray, "b *domains"]) -> HostBatch:
        """Returns the examples of `indices`, on the host.

        Unpaired domains take a column each, as `orders` has them, or share one (b,), in which a shorter domain begins
        again.
        """
        rows: dict[str, Any] = {}
        for i, name in enumerate(self._domains):
            array, own = self.arrays[name], indices if indices.ndim == 1 else indices[:, i]
            rows[name] = array[own % len(array) if self.unpaired else own]
        return jax.device_get(dict(self.render(rows))) if self.render else rows

    def stream(self, seed: int, start_step: int, stop_step: int, batch_size: int) -> Iterator[HostBatch]:
        """Iterates over the batches of the steps start_step .. stop_step - 1 in the order of `orders`."""
        self.spec(batch_size)  # checks the size
        steps = range(start_step, stop_step)
        return (self.batch(self.orders(seed, range(step, step + 1), batch_size)[0]) for step in steps)


@runtime_checkable
class Source(Protocol):
    """Random access to examples one by one.

    An example that cannot be read raises `Unreadable`, and is skipped if the data set says so.
    """

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def __getitem__(self, index: int) -> Example:
        """Returns one example."""
        ...


@runtime_checkable
class BatchSource(Source, Protocol):
    """A source that reads several examples at once faster than one by one."""

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Example]:
        """Returns the examples of `indices`; raises `Unreadable` if one of them cannot be read."""
        ...


class Unreadable(ValueError):
    """An example cannot be read; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class StreamedDataset(_Examples):
    """Examples that are read as they are needed, ahead of time and in parallel through grain, in the same order as from
    a `Dataset`."""

    source: Source
    """Where the examples come from; any object with `__len__` and `__getitem__`."""
    example: Spec
    """Shapes and dtypes of one example, without a batch axis."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, by label; () when there are no labels."""
    augment: Augmentation | None = None
    """What training does to each batch."""
    name: str = ""
    """The source, for messages."""
    attributes: tuple[Attribute, ...] = ()
    """What the columns of the array `attributes` mean, where there is one."""
    skip_unreadable: bool = False
    """Whether the next readable example replaces an unreadable one (with a warning); otherwise it raises."""
    threads: int = 8
    """The number of threads that read, each a whole batch."""
    prefetch: int = 16
    """The number of batches that are read ahead."""

    def __len__(self) -> int:
        """The number of examples, unreadable ones included."""
        return len(self.source)

    def batch(self, indices: Int[np.ndarray, "b"]) -> HostBatch:
        """Returns the examples of `indices`, on the host."""
        places = zip(indices.tolist(), self._rows(indices.tolist()), strict=True)
        rows = [self._next_readable(index) if row is None else row for index, row in places]
        return {name: np.stack([row[name] for row in rows]) for name in self.example}

    def stream(self, seed: int, start_step: int, stop_step: int, batch_size: int) -> Iterator[HostBatch]:
        """Iterates over the batches of the steps start_step .. stop_step - 1 in the order of `order`, read ahead."""
        check_batch_size(batch_size, len(self), self.name or "the data")
        grain = require("grain", f"streaming {self.name or 'data'}")
        steps = grain.MapDataset.range(start_step, stop_step)
        batches = steps.map(lambda step: self.batch(order(seed, int(step), batch_size, len(self))))
        options = grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=self.prefetch)
        return iter(batches.to_iter_dataset(options))

    def in_memory(self) -> Dataset:
        """Reads all examples into memory, without the unreadable ones."""
        arrays = {name: np.empty((len(self), *one.shape), one.dtype) for name, one in self.example.items()}
        readable = np.ones(len(self), bool)

        def read(chunk: range) -> None:
            for index, row in zip(chunk, self._rows(chunk), strict=True):
                if row is None:
                    readable[index] = False
                    continue
                for name, array in arrays.items():
                    array[index] = row[name]

        threads = os.cpu_count() or 1
        chunk = max(1, min(CHUNK, -(-len(self) // (4 * threads))))
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, [range(len(self))[i : i + chunk] for i in range(0, len(self), chunk)]))
        if not readable.any():
            raise ValueError(f"{self.name}: none of {len(self)} examples can be read")
        if not readable.all():
            arrays = {name: array[readable] for name, array in arrays.items()}
        return Dataset(arrays, self.label_names, self.augment, self.name, attributes=self.attributes)

    def _rows(self, indices: Sequence[int]) -> list[Example | None]:
        """The examples of `indices`; None in the place of an unreadable one that may be skipped."""
        if isinstance(self.source, BatchSource):
            try:
                return list(self.source.__getitems__(list(indices)))
            except Unreadable:
                pass  # one by one, to skip only what cannot be read
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
