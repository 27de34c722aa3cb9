"""Options with which a source is loaded."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxgen.data.dataset import Dataset, StreamedDataset

__all__ = ["Loader", "Options"]


@dataclass(frozen=True)
class Options:
    """The options of `jaxgen.data.load`, checked."""

    image_size: int | None = None
    """Height and width in pixels; None keeps the size."""
    channels: int | None = None
    """1 for grey, 3 for RGB; None keeps what the images have."""
    corrupt: str = "skip"
    """"skip" or "fail": what happens to unreadable files."""
    memory_limit: int = 2 << 30
    """The number of bytes above which examples are streamed."""

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"the image size is {self.image_size}; it must be 1 or more")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"{self.channels} channels asked for; allowed are 1 (grey) and 3 (RGB)")
        if self.corrupt not in ("skip", "fail"):
            raise ValueError(f"corrupt is {self.corrupt!r}; allowed are 'skip' and 'fail'")

    def settle(self, streamed: StreamedDataset) -> Dataset | StreamedDataset:
        """Reads the data into memory where it fits, and else returns it as it is."""
        example = sum(math.prod(one.shape) * one.dtype.itemsize for one in streamed.example.values())
        return streamed.in_memory() if example * len(streamed) <= self.memory_limit else streamed


Loader = Callable[[str, str, Options], Dataset | StreamedDataset]
"""Reads a source: what follows the colon in its name, the split, the options."""
