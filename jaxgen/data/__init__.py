"""Data: `load` reads a source named by a string; `orders` says in which order to visit its examples."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import jax

from jaxgen.data import attributes, digits, folder, paired, photo, sprites, stacked, tasks, tfds, toy
from jaxgen.data.dataset import Attribute, Augmentation, Dataset, Source, StreamedDataset, mirror, random_crop
from jaxgen.data.factors import FactorWorld
from jaxgen.data.folder import image_files, read_image
from jaxgen.data.options import Loader, Options
from jaxgen.data.ordering import order, orders
from jaxgen.data.toy import Curves, Mixture, toy_world

__all__ = [
    "SOURCES",
    "Attribute",
    "Augmentation",
    "Curves",
    "Dataset",
    "FactorWorld",
    "Mixture",
    "Source",
    "StreamedDataset",
    "factor_world",
    "image_files",
    "load",
    "mirror",
    "order",
    "orders",
    "random_crop",
    "read_image",
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
    "photo:NAME": photo.load,
    "image:FILE": photo.load_image,
    "patches:SOURCE": partial(photo.load_patches, _read),
    "paired:PATH": partial(paired.load, False),
    "paired-reverse:PATH": partial(paired.load, True),
    "edges:SOURCE": partial(tasks.load_pairs, tasks.edges, _read),
    "outline:SOURCE": partial(tasks.load_pairs, tasks.outline, _read),
    "grey:SOURCE": partial(tasks.load_pairs, tasks.grey, _read),
    "unpaired:PATH": paired.load_unpaired,
    "tint:SOURCE": partial(tasks.load_tinted, _read),
    "attributes:PATH[@NAMES]": attributes.load,
    "sprites-attributes": attributes.load_sprites,
    "sprites-attributes:NAMES": attributes.load_sprites,
    "joint:SOURCE+SOURCE": partial(attributes.load_joint, _read),
}
"""Every source as it is written, and its loader. A new source is a file with such a function, and a line here."""


def load(
    source: str,
    split: str = "train",
    *,
    image_size: int | None = None,
    channels: int | None = None,
    flip: bool = False,
    jitter: bool = False,
    corrupt: Literal["skip", "fail"] = "skip",
    memory_limit: int = 2 << 30,
) -> Dataset | StreamedDataset:
    """The examples of `split` of a source.

    - `source`: one of `SOURCES`.
      Images, `image` and maybe `label`: `digits`, `stacked-digits`, `stacked-digits:SOURCE`, `sprites`,
      `sprites-colour`, `tfds:NAME`, `folder:PATH`, `photo:china`, `photo:flower`, `image:FILE`,
      `patches:SOURCE`.
      Points: `ring`, `grid`, `moons`, `swissroll`.
      Pairs, `source` and `target`: `paired:PATH`, `paired-reverse:PATH`, `edges:SOURCE`, `outline:SOURCE`,
      `grey:SOURCE`. Domains, `a` and `b`: `unpaired:PATH`, `tint:SOURCE`, `tfds:cycle_gan/NAME`.
      Images with `attributes`: `attributes:PATH[@NAMES]`, `tfds:celeb_a[@NAMES]`, `sprites-attributes[:NAMES]`,
      `joint:SOURCE+SOURCE`.
    - `split`: "train" or "test"; for `tfds:NAME` any split of TFDS, slices such as "train[:1000]" included. Of
      `sprites`, which have no test split, "train" is all and "test" 2,000 random ones of them.
    - `image_size`: height and width in pixels: the shorter side is brought to it and the middle cropped; `sprites` are
      rendered at it.
    - `channels`: 1 makes images grey, 3 makes them RGB; by default they stay as they are.
    - `flip`: whether training mirrors each image left to right with probability 1/2.
    - `jitter`: whether training enlarges each image and crops it back at random, as `jaxgen.data.random_crop` does.
    - `corrupt`: whether unreadable files are skipped with a warning, or raise.
    - `memory_limit`: bytes of decoded examples above which they are streamed instead of held in memory.

    Raises `ValueError`, on one line, for anything in this that is not to be had.
    """
    dataset = _read(source, split, Options(image_size, channels, corrupt, memory_limit))
    chosen = [one for one, on in ((random_crop, jitter), (mirror, flip)) if on]
    if chosen and not any(len(one.shape) == 3 for one in dataset.example.values()):
        raise ValueError(f"{source} has points, not images: they cannot be flipped or cropped")
    return replace(dataset, augment=_in_turn(chosen)) if chosen else dataset


def _in_turn(augmentations: Sequence[Augmentation]) -> Augmentation:
    """Each with a key of its own."""

    def augment(key, batch):
        keys = jax.random.split(key, len(augmentations))
        for augmentation, own in zip(augmentations, keys, strict=True):
            batch = augmentation(own, batch)
        return batch

    return augment if len(augmentations) > 1 else augmentations[0]


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
