"""Data: `load` reads a source named by a string, `Dataset.from_arrays` takes arrays of your own.

    digits = load("digits")
    for batch in digits.batches(64, shuffle=0, epochs=10):      # the batches of training, in a reproducible order
        state, metrics = step(state, batch)
    for batch in load("digits", "test").batches(500):           # one pass in order, for evaluation
        ...

Packages that only some sources need (scikit-learn, Pillow, datasets, tensorflow-datasets, grain) are imported when such
a source is loaded.
"""

import difflib
from dataclasses import replace
from functools import partial
from typing import Literal

from jaxgen.data import attributes, digits, folder, hf, npz, paired, photo, sprites, stacked, tasks, tfds, toy
from jaxgen.data.augment import Augmentation, augmentation_key, in_turn, mirror, random_crop
from jaxgen.data.dataset import Attribute, BatchSource, Dataset, Source, StreamedDataset, Unreadable
from jaxgen.data.factors import FactorWorld
from jaxgen.data.folder import image_files
from jaxgen.data.images import read_image
from jaxgen.data.options import Loader, Options
from jaxgen.data.ordering import order, orders
from jaxgen.data.toy import Curves, Mixture, toy_world

__all__ = [
    "SOURCES",
    "Attribute",
    "Augmentation",
    "BatchSource",
    "Curves",
    "Dataset",
    "FactorWorld",
    "Loader",
    "Mixture",
    "Options",
    "Source",
    "StreamedDataset",
    "Unreadable",
    "augmentation_key",
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
    kinds = {pattern.partition(":")[0]: pattern for pattern in SOURCES}
    near = [kinds[one] for one in ([kind] if kind in kinds else difflib.get_close_matches(kind, kinds, cutoff=0.7))]
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise ValueError(f"unknown source {source!r}{hint}; allowed are {', '.join(SOURCES)}")


SOURCES: dict[str, Loader] = {
    "digits": digits.load,
    "folder:PATH": folder.load,
    "npz:FILE[@VALUES]": npz.load,
    "hf:NAME[@CONFIG]": hf.load,
    "sprites": partial(sprites.load, "sprites"),
    "sprites-colour": partial(sprites.load, "sprites-colour"),
    "stacked-digits": partial(stacked.load, _read),
    "stacked-digits:SOURCE": partial(stacked.load, _read),
    "photo:NAME": photo.load,
    "image:FILE": photo.load_image,
    "patches:SOURCE": partial(photo.load_patches, _read),
    "tfds:NAME": tfds.load,
    "ring": partial(toy.load, "ring"),
    "grid": partial(toy.load, "grid"),
    "moons": partial(toy.load, "moons"),
    "swissroll": partial(toy.load, "swissroll"),
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
"""Every source as it is written, and its loader. To add a source of your own, set an entry:

    SOURCES["mine:PATH"] = load_mine        # a `Loader`: (what follows the colon, split, `Options`) -> `Dataset`
"""


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
    """Returns the examples of `split` of a source.

    - `source`: one of `SOURCES`.

      Images (`image`, and `label` where there are classes): `digits`, `folder:PATH`, `npz:FILE`, `hf:NAME` (Hugging
      Face), `sprites`, `sprites-colour`, `stacked-digits`, `stacked-digits:SOURCE`, `photo:china`, `photo:flower`,
      `image:FILE`, `patches:SOURCE`, and `tfds:NAME`, which TensorFlow has to prepare once.

      Points: `ring`, `grid`, `moons`, `swissroll`.

      Pairs (`source` and `target`): `paired:PATH`, `paired-reverse:PATH`, `edges:SOURCE`, `outline:SOURCE`,
      `grey:SOURCE`. Two domains without pairs (`a` and `b`): `unpaired:PATH`, `tint:SOURCE`, `tfds:cycle_gan/NAME`.

      Images with `attributes`: `attributes:PATH[@NAMES]`, `sprites-attributes[:NAMES]`, `joint:SOURCE+SOURCE`,
      `tfds:celeb_a[@NAMES]`.
    - `split`: "train", "test", or "all" for both. Sources that draw their examples at random (points,
      `stacked-digits`, `sprites-attributes`) have no "all". `tfds:NAME` and `hf:NAME` also have the splits of the data
      set. Where a source has no test split of its own, a part of its examples is held out, the same in every run.
    - `image_size`: height and width in pixels. The shorter side is brought to it and the middle cropped; `sprites` are
      rendered at it.
    - `channels`: 1 makes images grey, 3 makes them RGB; by default they stay as they are.
    - `flip`: whether training mirrors each image left to right with probability 1/2.
    - `jitter`: whether training enlarges each image and crops it back at random, as `jaxgen.data.random_crop` does.
    - `corrupt`: whether unreadable files are skipped with a warning ("skip"), or raise ("fail").
    - `memory_limit`: the number of bytes of decoded examples above which they are streamed and not held in memory.

    Raises `ValueError`, on one line, for an unknown source, split or option, for data that cannot be read, and for a
    package that is missing.
    """
    dataset = _read(source, split, Options(image_size, channels, corrupt, memory_limit))
    chosen = [one for one, on in ((random_crop, jitter), (mirror, flip)) if on]
    if chosen and not any(len(one.shape) == 3 for one in dataset.example.values()):
        raise ValueError(f"{source} has points, not images: they cannot be flipped or cropped")
    return replace(dataset, augment=in_turn(chosen)) if chosen else dataset


def factor_world(
    source: str, split: str = "all", *, image_size: int | None = None, channels: int | None = None
) -> FactorWorld:
    """Returns the factors behind the images of `sprites`, `sprites-colour`, `tfds:dsprites`, `tfds:shapes3d` or
    `tfds:smallnorb`.

    `image_size` and `channels` are those of `load`; `split` is the split of a `tfds:NAME`, by default all of them.
    Raises `ValueError`, on one line, for any other source.
    """
    options = Options(image_size, channels)
    kind, _, name = source.partition(":")
    if kind == "tfds" and name:
        return tfds.world(name, split, options)
    if source in sprites.COLOURS:
        return sprites.world(source, options)
    known = [*sprites.COLOURS, *(f"tfds:{name}" for name in tfds.FACTORS)]
    raise ValueError(f"the factors of {source!r} are not known; those of {', '.join(known)} are")
