"""Data: `load` reads a source named by a string; `orders` says in which order to visit its examples."""

from dataclasses import replace
from functools import partial
from typing import Literal

from jaxgen.data import digits, folder, sprites, stacked, tfds, toy
from jaxgen.data.dataset import Augmentation, Dataset, Source, StreamedDataset, mirror
from jaxgen.data.factors import FactorWorld
from jaxgen.data.options import Loader, Options
from jaxgen.data.ordering import order, orders
from jaxgen.data.toy import Curves, Mixture, toy_world

__all__ = [
    "SOURCES",
    "Augmentation",
    "Curves",
    "Dataset",
    "FactorWorld",
    "Mixture",
    "Source",
    "StreamedDataset",
    "factor_world",
    "load",
    "mirror",
    "order",
    "orders",
    "toy_world",
]


def _read(source: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """The split of the source that is written `source`."""
    kind, colon, argument = source.partition(":")
    for pattern, loader in SOURCES.items():
        if pattern.partition(":")[0] == kind and (":" in pattern) == bool(colon) == bool(argument):
            return loader(argument, split, options)
    raise ValueError(f"unknown source {source!r}; allowed are {', '.join(SOURCES)}")


SOURCES: dict[str, Loader] = {
    "digits": digits.load,
    "stacked-digits": partial(stacked.load, _read),
    "stacked-digits:SOURCE": partial(stacked.load, _read),
    "sprites": partial(sprites.load, "sprites"),
    "sprites-colour": partial(sprites.load, "sprites-colour"),
    "ring": partial(toy.load, "ring"),
    "grid": partial(toy.load, "grid"),
    "moons": partial(toy.load, "moons"),
    "swissroll": partial(toy.load, "swissroll"),
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

    - `source`: one of `SOURCES`: `digits`, `stacked-digits`, `stacked-digits:SOURCE`, `sprites`, `sprites-colour`,
      `ring`, `grid`, `moons`, `swissroll`, `tfds:NAME`, `folder:PATH`.
    - `split`: "train" or "test"; for `tfds:NAME` any split of TFDS, slices such as "train[:1000]" included. Of
      `sprites`, which have no test split, "train" is all and "test" 2,000 random ones of them.
    - `image_size`: height and width in pixels: the shorter side is brought to it and the middle cropped; `sprites` are
      rendered at it.
    - `channels`: 1 makes images grey, 3 makes them RGB; by default they stay as they are.
    - `flip`: whether training mirrors each image left to right with probability 1/2.
    - `corrupt`: whether unreadable files are skipped with a warning, or raise.
    - `memory_limit`: bytes of decoded examples above which they are streamed instead of held in memory.

    Raises `ValueError`, on one line, for anything in this that is not to be had.
    """
    dataset = _read(source, split, Options(image_size, channels, corrupt, memory_limit))
    if flip and not any(len(one.shape) == 3 for one in dataset.example.values()):
        raise ValueError(f"{source} has points, not images: they cannot be flipped")
    return replace(dataset, augment=mirror) if flip else dataset


def factor_world(
    source: str, split: str = "all", *, image_size: int | None = None, channels: int | None = None
) -> FactorWorld:
    """The factors behind the images of `sprites`, `sprites-colour`, `tfds:dsprites`, `tfds:shapes3d`, `tfds:smallnorb`.

    `image_size` and `channels` are those of `load`; `split` is the split of a `tfds:NAME`, by default all of them.
    Raises `ValueError`, on one line, for anything in this that is not to be had.
    """
    options = Options(image_size, channels)
    kind, _, name = source.partition(":")
    if kind == "tfds" and name:
        return tfds.world(name, split, options)
    if source in sprites.COLOURS:
        return sprites.world(source, options)
    allowed = [*sprites.COLOURS, *(f"tfds:{name}" for name in tfds.FACTORS)]
    raise ValueError(f"the factors of {source!r} are not known; they are of {', '.join(allowed)}")
