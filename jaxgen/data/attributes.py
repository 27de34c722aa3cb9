"""Images with attributes: `attributes:PATH`, `sprites-attributes`, and several such sources joined."""

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.data import sprites
from jaxgen.data.dataset import Attribute, Dataset, Example, StreamedDataset
from jaxgen.data.folder import Images, files_of, inspect, listing, some
from jaxgen.data.options import Loader, Options
from jaxgen.data.splits import check_split

__all__ = ["choose", "load", "load_joint", "load_sprites"]

SIZE = 32  # pixels a side of the sprites
NEAR = range(8, 24)  # the classes of x and y whose sprites lie in the middle two thirds of the image
SPRITES = {"train": 20_000, "test": 2_000}
FACTORS: dict[str, tuple[str, ...]] = {
    "colour": ("red", "green", "blue", "yellow"),
    "shape": sprites.SHAPES,
    "scale": ("small", "large"),
}
SCALES = ((0.5, 0.6, 0.7), (0.8, 0.9, 1.0))  # small and large, by shape, so that the area does not tell the shape


def load(argument: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """Returns `image` and `attributes`, 0 or 1, from `PATH` or `PATH@NAMES`.

    - A single file *.txt or *.csv in PATH is a table of attributes in CelebA's form. Its head names them; a row has the
      name of a file and then, for each attribute, 1 for yes or -1 (or 0) for no. The images may lie anywhere below
      PATH.
    - Without a table the class subfolders of `folder:PATH` are the values of one attribute.
    - NAMES are the attributes of the table to take, separated by commas. Names joined by slashes make one attribute
      of several values, and images without exactly one of them are left out: Black_Hair/Blond_Hair,Male.
    - Splits are those of `folder:PATH`.

    Raises `ValueError` for a table and a folder that do not have the same images, several tables, and unknown NAMES.
    """
    path, _, chosen = argument.partition("@")
    root, name = Path(path).expanduser(), f"attributes:{argument}"
    tables = sorted(file for kind in ("*.txt", "*.csv") for file in root.glob(kind))
    if len(tables) > 1:
        raise ValueError(f"{name}: several tables: {some([file.name for file in tables])}; one is needed")
    if tables:
        names, rows = _table(tables[0])
        files, _ = files_of(root, split, name)
        if unknown := sorted({file.path.name for file in files} - rows.keys()):
            raise ValueError(f"{name}: {tables[0].name} does not have {some(unknown)}")
        if absent := sorted(rows.keys() - {file.path.name for file in listing(root, name)}):
            raise ValueError(f"{name}: {tables[0].name} has images that are not there: {some(absent)}")
        values = np.stack([rows[file.path.name] for file in files])
        attributes, values, kept = choose(names, values, chosen, name)
        if not kept.all():
            warnings.warn(f"{name}: {int((~kept).sum())} images without exactly one of each are left out", stacklevel=2)
        files = [file for file, keep in zip(files, kept, strict=True) if keep]
        values = values[kept]
    else:
        files, names = files_of(root, split, name)
        if len(names) < 2 or chosen:
            needed = "table of attributes (*.txt, *.csv)" + ("" if chosen else " or two class subfolders")
            raise ValueError(f"{name}: there is no {needed} in {root}")
        attributes = (Attribute("class", names),)
        values = np.eye(len(names), dtype=np.int32)[[names.index(file.label) for file in files if file.label]]
    by_path = dict(zip((file.path for file in files), values, strict=True))
    files, example = inspect(files, options, name)
    images = Images([file.path for file in files], None, example["image"].shape[-1], options.image_size)
    source = _Attributed(images, np.stack([by_path[file.path] for file in files]))
    example["attributes"] = jax.ShapeDtypeStruct(source.attributes.shape[1:], np.int32)
    skip = options.corrupt == "skip"
    return options.settle(StreamedDataset(source, example, name=name, attributes=attributes, skip_unreadable=skip))


def load_sprites(chosen: str, split: str, options: Options) -> Dataset:
    """Returns coloured sprites with the attributes colour (4), shape (3) and scale (small, large), or those of
    `chosen`, separated by commas: 20,000 to train and 2,000 to test, 32×32 pixels unless `image_size` says otherwise.

    The images are the middle two thirds of the original's. The sprites stand upright, at any position at which they
    are whole. Each choice of attributes has other images.
    """
    name = f"sprites-attributes:{chosen}" if chosen else "sprites-attributes"
    known = chosen.split(",") if chosen else list(FACTORS)
    check_split(split, name, tuple(SPRITES))
    if unknown := set(known) - FACTORS.keys():
        raise ValueError(f"{name}: no attribute {', '.join(sorted(unknown))}; allowed are {', '.join(FACTORS)}")
    if options.channels == 1:
        raise ValueError(f"{name} has 3 channels, because colour is an attribute; 1 channel is not possible")
    size = options.image_size or SIZE
    world = sprites.world("sprites-colour", replace(options, image_size=size * 3 // 2))
    n, seed = SPRITES[split], [list(SPRITES).index(split), *(list(FACTORS).index(factor) for factor in known)]

    def draw(stream: int, count: int) -> np.ndarray:
        # NumPy keeps raw bits the same in all versions, as in `ordering`.
        return (np.random.PCG64([*seed, stream]).random_raw(n) % np.uint64(count)).astype(np.int32)

    def classes(factor: str, values: Sequence[Any]) -> np.ndarray:
        return np.array([world.classes(**{factor: value})[factor] for value in values], np.int32)

    columns = {factor: draw(100 + i, len(values)) for i, (factor, values) in enumerate(FACTORS.items())}
    fixed = {factor: classes(factor, FACTORS[factor])[columns[factor]] for factor in ("colour", "shape")}
    fixed["orientation"] = np.zeros(n, np.int32)
    fixed["scale"] = np.array([classes("scale", values) for values in SCALES])[columns["scale"], columns["shape"]]
    for i, factor in enumerate(("x", "y")):
        fixed[factor] = NEAR.start + draw(200 + i, len(NEAR))
    factors, shown = world.sample(seed, n, **fixed), slice(size // 4, size // 4 + size)
    images = np.concatenate([world.images(part)[:, shown, shown] for part in np.array_split(factors, 10)])
    attributes = tuple(Attribute(factor, FACTORS[factor]) for factor in known)
    one_hot = [np.eye(len(one.values), dtype=np.int32)[columns[one.name]] for one in attributes]
    return Dataset({"image": images, "attributes": np.concatenate(one_hot, 1)}, name=name, attributes=attributes)


def load_joint(read: Loader, sources: str, split: str, options: Options) -> Dataset:
    """Returns the images of several sources with attributes, joined by +.

    `attributes` has the columns of all sources, 0 in the images of the others, and `set` is the number of the source.

    Raises `ValueError` for sources without attributes, of different shapes, or not in memory.
    """
    name = f"joint:{sources}"
    parts: list[Dataset] = []
    for source in sources.split("+"):
        part = read(source, split, options)
        if not isinstance(part, Dataset) or not part.attributes or "set" in part.arrays:
            raise ValueError(f"{name}: {part.name} is no source of images with attributes that fit in memory")
        parts.append(part)
    if len(parts) < 2:
        raise ValueError(f"{name}: at least two sources are needed, joined by +")
    shapes = [part.example["image"].shape for part in parts]
    if len(set(shapes)) > 1:
        raise ValueError(f"{name}: images of shapes {', '.join(map(str, shapes))}; one shape is needed")
    total = sum(part.arrays["attributes"].shape[1] for part in parts)
    blocks, start = [], 0
    for part in parts:
        own = part.arrays["attributes"]
        block = np.zeros((len(own), total), np.int32)
        block[:, start : start + own.shape[1]] = own
        blocks.append(block)
        start += own.shape[1]
    arrays = {
        "image": np.concatenate([part.arrays["image"] for part in parts]),
        "attributes": np.concatenate(blocks),
        "set": np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts]),
    }
    attributes = tuple(replace(one, set=i) for i, part in enumerate(parts) for one in part.attributes)
    return Dataset(arrays, name=name, attributes=attributes)


def choose(
    names: Sequence[str], values: np.ndarray, chosen: str, source: str
) -> tuple[tuple[Attribute, ...], np.ndarray, np.ndarray]:
    """Chooses columns of the table `values` (n, names).

    `chosen` names them as in `load`; "" stands for all. Returns the attributes that the columns stand for, the columns
    (n, chosen), and for each row whether it has exactly one value of each attribute (n,). `source` is for messages.
    """
    groups = [group.split("/") for group in chosen.split(",")] if chosen else [[name] for name in names]
    if unknown := [one for group in groups for one in group if one not in names]:
        raise ValueError(f"{source}: no attribute {', '.join(unknown)}; there are {', '.join(names)}")
    columns = [[list(names).index(one) for one in group] for group in groups]
    kept = np.all([(values[:, own].sum(1) == 1) | (len(own) == 1) for own in columns], axis=0)
    attributes = tuple(
        Attribute("/".join(group), tuple(group)) if len(group) > 1 else Attribute(group[0]) for group in groups
    )
    return attributes, values[:, np.concatenate(columns)], kept


@dataclass(frozen=True)
class _Attributed:
    """Random access to image files with attributes."""

    images: Images
    attributes: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        return {**self.images[index], "attributes": self.attributes[index]}


def _table(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """The attributes that a table names, and their values, 0 or 1, by file name."""
    lines = path.read_text().splitlines()
    if path.suffix == ".csv":
        head, *rows = csv.reader(lines)
        names = head[1:]
    else:  # the number of images (which may be absent), the names, the rows
        first, *rows = (line.split() for line in lines if line.strip())
        names, rows = (rows[0], rows[1:]) if len(first) == 1 and first[0].isdigit() else (first, rows)
    found = {}
    for row in rows:
        if len(row) != 1 + len(names) or not {*row[1:]} <= {"1", "0", "-1"}:
            raise ValueError(f"{path}: the row {' '.join(row[:1])!r} is not a name and {len(names)} times 1, 0 or -1")
        found[row[0]] = np.array([value == "1" for value in row[1:]], np.int32)
    return names, found
