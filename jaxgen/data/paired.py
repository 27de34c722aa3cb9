"""`paired:PATH` and `unpaired:PATH`: folders of images in two domains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np

from jaxgen.data.dataset import Dataset, Example, StreamedDataset, Unreadable
from jaxgen.data.folder import SUFFIXES, TEST_FOLDERS, File, Images, files_of, inspect, listing, some
from jaxgen.data.images import resize
from jaxgen.data.options import Options
from jaxgen.data.splits import check_split

__all__ = ["load", "load_unpaired"]


def load(reverse: bool, path: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """Returns `source` and `target`: images of A and of B that belong together; `reverse` exchanges them.

    The folder has one of two forms:

    - images with A in their left half and B in their right, in folders as `folder:PATH` has them;
    - the folders `A` and `B`, in PATH or in its `train` and `test` (or `val`), with files of equal names, the suffix
      apart.

    Splits are those of `folder:PATH`. Raises `ValueError` that names the files without a counterpart, and for images
    of odd width.
    """
    name = f"paired{'-reverse' * reverse}:{path}"
    root = Path(path).expanduser()
    parts = [folder / "A" for folder in (root, root / "train", root / "test")]
    source = (
        _folders(root, split, options, name) if any(map(Path.is_dir, parts)) else _halves(root, split, options, name)
    )
    if reverse:
        source = replace(source, names=source.names[::-1])
    example = dict(zip(source.names, source.shapes, strict=True))
    skip = options.corrupt == "skip"
    return options.settle(StreamedDataset(source, example, name=name, skip_unreadable=skip))


def load_unpaired(path: str, split: str, options: Options) -> Dataset:
    """Returns `a` and `b`: the images of the folders `trainA` and `trainB`, or `testA` and `testB`, in no relation.

    "all" has the images of both folders of a domain. Raises `ValueError` for a domain without images, and for more
    images than fit into memory.
    """
    name = f"unpaired:{path}"
    check_split(split, name)
    files: dict[str, list[File]] = {}
    channels = []
    for domain in "AB":
        folders = [Path(path).expanduser() / f"{part}{domain}" for part in ("train", "test") if split in (part, "all")]
        found = [file for folder in folders if folder.is_dir() for file in listing(folder, name)]
        if not found:
            raise ValueError(f"{name}: no image ({', '.join(SUFFIXES)}) in a folder {folders[0].name}")
        files[domain.lower()], spec = inspect(found, options, name)
        channels.append(spec["image"].shape[-1])
    options = replace(options, channels=max(channels))
    arrays = {}
    for domain, found in files.items():
        found, spec = inspect(found, options, name)
        size = sum(math.prod(x.shape) for x in spec.values()) * len(found)
        if size > options.memory_limit:
            raise ValueError(
                f"{name}: the images of {domain} exceed {options.memory_limit} bytes; give a smaller image size"
            )
        images = Images([file.path for file in found], None, max(channels), options.image_size)
        streamed = StreamedDataset(images, spec, name=name, skip_unreadable=options.corrupt == "skip")
        arrays[domain] = streamed.in_memory().arrays["image"]
    return Dataset(arrays, name=name, unpaired=True)


@dataclass(frozen=True)
class _Pairs:
    """Random access to pairs of files."""

    a: Images
    b: Images
    shapes: Sequence[jax.ShapeDtypeStruct]
    names: tuple[str, ...] = ("source", "target")

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, index: int) -> Example:
        return dict(zip(self.names, (self.a[index]["image"], self.b[index]["image"]), strict=True))


@dataclass(frozen=True)
class _Halves:
    """Random access to pairs that are halves of one image."""

    images: Images
    image_size: int | None
    shapes: Sequence[jax.ShapeDtypeStruct]
    names: tuple[str, ...] = ("source", "target")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        image = np.asarray(self.images[index]["image"])
        if image.shape[1] % 2:
            raise Unreadable(f"{self.images.paths[index]} has no halves: it is {image.shape[1]} pixels wide")
        halves = resize(np.stack(np.split(image, 2, axis=1)), self.image_size)
        return dict(zip(self.names, halves, strict=True))


def _folders(root: Path, split: str, options: Options, name: str) -> _Pairs:
    """The pairs of the folders A and B."""
    check_split(split, name)
    pairs = _apart(root, "train", name) + _apart(root, "test", name) if split == "all" else _apart(root, split, name)
    pairs = pairs or _matched(root, split, name)
    (good_a, spec_a), (good_b, spec_b) = (inspect(list(part), options, name) for part in zip(*pairs, strict=True))
    readable = [(one.path, other.path) for one, other in pairs if one in good_a and other in good_b]
    if not readable:
        raise ValueError(f"{name}: in none of {len(pairs)} pairs both files can be read")
    shapes = [spec["image"] for spec in (spec_a, spec_b)]
    if shapes[0].shape[:2] != shapes[1].shape[:2]:
        (h, w, _), (h2, w2, _) = (shape.shape for shape in shapes)
        raise ValueError(
            f"{name}: images of A have {h}×{w} pixels, of B {h2}×{w2}; "
            "bring them to one size with image_size (--image-size)"
        )
    a, b = (
        Images([pair[i] for pair in readable], None, shape.shape[-1], options.image_size)
        for i, shape in enumerate(shapes)
    )
    return _Pairs(a, b, shapes)


def _apart(root: Path, split: str, name: str) -> list[tuple[File, File]]:
    """The pairs of A and B in a folder of the split; [] where there is none."""
    places = [root / folder for folder in (("train",) if split == "train" else TEST_FOLDERS)]
    folder = next((folder for folder in places if (folder / "A").is_dir()), None)
    return _matched(folder, None, name) if folder else []


def _matched(root: Path, split: str | None, name: str) -> list[tuple[File, File]]:
    """The files of root/A, or those of a split of it, with their counterparts in root/B."""
    a, b = (root / part for part in "AB")
    for folder in (a, b):
        if not folder.is_dir():
            raise ValueError(f"{name}: there is no folder {folder}")
    in_a, in_b = ({_stem(file.path, part): file for file in listing(part, name)} for part in (a, b))
    if unmatched := sorted(in_a.keys() ^ in_b.keys()):
        raise ValueError(f"{name}: without a counterpart in A or B: {some(unmatched)}")
    files = files_of(a, split, name)[0] if split else listing(a, name)
    if not files:
        raise ValueError(f"{name}: no image ({', '.join(SUFFIXES)}) in {a}")
    return [(file, in_b[_stem(file.path, a)]) for file in files]


def _halves(root: Path, split: str, options: Options, name: str) -> _Halves:
    """The pairs whose images lie side by side in one file."""
    files, spec = inspect(files_of(root, split, name)[0], options, name)
    height, width, channels = spec["image"].shape
    if options.image_size is None:
        if width % 2:
            raise ValueError(f"{name}: images of {height}×{width} pixels have no halves; an even width is needed")
        width //= 2
    shape = jax.ShapeDtypeStruct((height, width, channels), np.uint8)
    return _Halves(Images([file.path for file in files], None, channels, None), options.image_size, [shape, shape])


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
