"""Data: `load` reads a source named by a string; `orders` says in which order to visit its examples."""

from dataclasses import replace
from typing import Literal

from jaxgen.data import digits, folder, tfds
from jaxgen.data.dataset import Augmentation, Dataset, Source, StreamedDataset, mirror
from jaxgen.data.options import Loader, Options
from jaxgen.data.ordering import order, orders

__all__ = ["SOURCES", "Augmentation", "Dataset", "Source", "StreamedDataset", "load", "mirror", "order", "orders"]

SOURCES: dict[str, Loader] = {
    "digits": digits.load,
    "tfds:NAME": tfds.load,
    "folder:PATH": folder.load,
}
"""Every source as it is written, and its loader. A new source is a file with such a function, and a line here."""


def load(
    source: str,
    split: str = "train",
    *,
    image_size: int | None = None,
    channels: int | None = None,
    flip: bool = False,
    corrupt: Literal["skip", "fail"] = "skip",
    memory_limit: int = 2 << 30,
) -> Dataset | StreamedDataset:
    """The examples of `split` of a source.

    - `source`: one of `SOURCES`: `digits`, `tfds:NAME`, `folder:PATH`.
    - `split`: "train" or "test"; for `tfds:NAME` any split of TFDS, slices such as "train[:1000]" included.
    - `image_size`: height and width in pixels: the shorter side is brought to it and the middle cropped.
    - `channels`: 1 makes images grey, 3 makes them RGB; by default they stay as they are.
    - `flip`: whether training mirrors each image left to right with probability 1/2.
    - `corrupt`: whether unreadable files are skipped with a warning, or raise.
    - `memory_limit`: bytes of decoded examples above which they are streamed instead of held in memory.

    Raises `ValueError`, on one line, for anything in this that is not to be had.
    """
    kind, _, argument = source.partition(":")
    for pattern, loader in SOURCES.items():
        if pattern.partition(":")[0] == kind and (":" in pattern) == bool(argument):
            dataset = loader(argument, split, Options(image_size, channels, corrupt, memory_limit))
            return replace(dataset, augment=mirror) if flip else dataset
    raise ValueError(f"unknown source {source!r}; allowed are {', '.join(SOURCES)}")
