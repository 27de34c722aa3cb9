"""`folder:PATH`: a folder of images (png, jpg, jpeg, webp), class subfolders giving the labels."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np

from jaxgen.data.dataset import Dataset, Example, Spec, StreamedDataset, Unreadable
from jaxgen.data.images import first_line, header, open_image, to_array
from jaxgen.data.options import Options
from jaxgen.data.splits import check_split, hold_out
from jaxgen.optional import require

__all__ = ["File", "Images", "files_of", "image_files", "inspect", "listing", "load", "some"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TEST_FOLDERS = ("test", "val", "validation")


def load(path: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """Returns the images below `path`, hidden files apart.

    - Labels are the names of the subfolders, sorted; without subfolders there are no labels.
    - Splits: where the subfolders `train` and `test` (or `val`, `validation`) both exist, these. Otherwise a tenth of
      the images, chosen among the sorted names and the same in every run, is "test" and the rest "train". "all" has
      the images of both.
    - Without `image_size` all images need one size.
    - Images are grey when all are grey, else RGB, unless `channels` says which.
    """
    name = f"folder:{path}"
    files, label_names = files_of(Path(path).expanduser(), split, name)
    files, example = inspect(files, options, name)
    labels = None
    if label_names:
        labels = np.array([label_names.index(file.label) for file in files if file.label], np.int32)
        example["label"] = jax.ShapeDtypeStruct((), np.int32)
    source = Images([file.path for file in files], labels, example["image"].shape[-1], options.image_size)
    skip = options.corrupt == "skip"
    return options.settle(StreamedDataset(source, example, label_names, name=name, skip_unreadable=skip))


@dataclass(frozen=True)
class File:
    """An image file and its class."""

    path: Path
    """Where the file is."""
    label: str | None
    """The name of its class; None where there are no classes."""


@dataclass(frozen=True)
class Images:
    """Random access to image files, decoded when they are asked for."""

    paths: Sequence[Path]
    """The files."""
    labels: np.ndarray | None
    """The class of each file, or None."""
    channels: int
    """1 or 3."""
    image_size: int | None
    """Pixels a side, or None to keep the size of the file."""

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Example:
        try:
            with open_image(self.paths[index]) as image:
                example = {"image": to_array(image, self.channels, self.image_size)}
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise Unreadable(f"{self.paths[index]} cannot be read: {first_line(error)}") from error
        return example if self.labels is None else {**example, "label": self.labels[index]}


def files_of(root: Path, split: str, name: str) -> tuple[list[File], tuple[str, ...]]:
    """Returns the files of the split, and the names of all classes.

    Raises `ValueError` for a folder that does not exist, an unknown split, and a split without images.
    """
    check_split(split, name)
    if not root.is_dir():
        raise ValueError(f"{name}: there is no such folder")
    test = next((root / folder for folder in TEST_FOLDERS if (root / folder).is_dir()), None)
    if (root / "train").is_dir() and test:
        files = {"train": listing(root / "train", name), "test": listing(test, name)}
        files["all"] = files["train"] + files["test"]
    else:
        alone = root / "train" if [path.name for path in root.iterdir() if path.is_dir()] == ["train"] else root
        everything = listing(alone, name)
        files = {part: [everything[i] for i in hold_out(len(everything), part)] for part in ("train", "test", "all")}
    if not files[split]:
        total = len(files["all"])
        raise ValueError(f"{name}: no image ({', '.join(SUFFIXES)}) in the {split} split, {total} in all")
    return files[split], tuple(sorted({file.label for file in files["all"] if file.label}))


def listing(root: Path, name: str) -> list[File]:
    """Returns all image files below `root`, sorted by name, each with its subfolder of `root` as its class.

    Raises `ValueError` where images lie in subfolders and beside them.
    """
    files = [File(root / path, path.parts[0] if len(path.parts) > 1 else None) for path in _visible(root)]
    loose = [file for file in files if file.label is None]
    if 0 < len(loose) < len(files):
        raise ValueError(f"{name}: images lie in class subfolders and beside them ({loose[0].path.name}); choose one")
    return files


def _visible(root: Path) -> list[Path]:
    """The image files below `root`, as paths from there, sorted; hidden ones apart."""
    relative = (path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    visible = [path for path in relative if not any(part.startswith((".", "__")) for part in path.parts)]
    return sorted(visible, key=Path.as_posix)


def inspect(files: list[File], options: Options, name: str) -> tuple[list[File], Spec]:
    """Returns the files with a readable header, and the shape that their images have in common.

    Raises `ValueError` for images of different sizes without `image_size`, and where no file can be read, or one
    cannot and `corrupt` is "fail". Warns of unreadable files otherwise.
    """
    require("PIL.Image", "reading images", "pillow")
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(header, [file.path for file in files]))
    broken = [f"{file.path} ({why})" for file, why in zip(files, headers, strict=True) if isinstance(why, str)]
    headed = [(file, shape) for file, shape in zip(files, headers, strict=True) if not isinstance(shape, str)]
    if not headed or (broken and options.corrupt == "fail"):
        raise ValueError(f"{name}: unreadable: {some(broken)}")
    if broken:
        warnings.warn(f"{name}: skipped as unreadable: {some(broken)}", stacklevel=2)

    first, (height, width, _) = headed[0]
    for file, (h, w, _) in headed:
        if options.image_size is None and (h, w) != (height, width):
            raise ValueError(
                f"{name}: images differ in size: {first.path.name} has {height}×{width} pixels, "
                f"{file.path.name} has {h}×{w}; bring them to one size with image_size (--image-size)"
            )
    size = (options.image_size or height, options.image_size or width)
    channels = options.channels or max(c for _, (_, _, c) in headed)
    return [file for file, _ in headed], {"image": jax.ShapeDtypeStruct((*size, channels), np.uint8)}


def some(items: Sequence[str], shown: int = 5) -> str:
    """Returns the first of the items and the number of the others, for a message."""
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")


def image_files(path: Path) -> list[tuple[Path, Path]]:
    """Returns an image file, or all below a folder, sorted by name; and for each its path from there without suffix.

    Raises `ValueError` where there is none, and for two that differ in the suffix alone.
    """
    found = [path.relative_to(path.parent)] if path.is_file() else _visible(path) if path.is_dir() else []
    root = path.parent if path.is_file() else path
    if not found:
        raise ValueError(f"{path}: no such file, and no folder with an image ({', '.join(SUFFIXES)})")
    names = [one.with_suffix("") for one in found]
    for one, other in pairwise(sorted(names)):
        if one == other:
            raise ValueError(f"{path}: two images are called {one}")
    return [(root / one, name) for one, name in zip(found, names, strict=True)]
