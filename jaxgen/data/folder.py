"""`folder:PATH`: a folder of images (png, jpg, jpeg, webp), class subfolders giving the labels."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxgen.data.dataset import Dataset, Example, Spec, StreamedDataset, Unreadable
from jaxgen.data.images import channels_of, size_of, to_array
from jaxgen.data.options import Options
from jaxgen.data.ordering import order

__all__ = ["File", "Images", "files_of", "image_files", "inspect", "listing", "load", "read_image", "some"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TEST_FOLDERS = ("test", "val", "validation")


def load(path: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """The images below `path`, hidden files apart.

    - Labels: the names of the subfolders, sorted; without subfolders there are no labels.
    - Splits: the subfolders `train` and `test` (or `val`, `validation`) where both exist; otherwise a tenth of the
      images, chosen once and for all among the sorted names, is "test" and the rest "train".
    - Sizes: without `image_size` all images need to have one size.
    - Channels: grey when all images are grey, else RGB, unless `channels` says which.
    """
    name = f"folder:{path}"
    files, label_names = files_of(Path(path).expanduser(), split, name)
    files, example = inspect(files, options, name)
    labels = None
    if label_names:
        labels = np.array([label_names.index(file.label) for file in files], np.int32)
        example["label"] = jax.ShapeDtypeStruct((), np.int32)
    source = Images([file.path for file in files], labels, example["image"].shape[-1], options.image_size)
    skip = options.corrupt == "skip"
    return options.settle(StreamedDataset(source, example, label_names, name=name, skip_unreadable=skip))


@dataclass(frozen=True)
class File:
    path: Path
    label: str | None


@dataclass(frozen=True)
class Images:
    """Random access to image files, decoded as they are asked for."""

    paths: Sequence[Path]
    labels: np.ndarray | None
    channels: int
    image_size: int | None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Example:
        try:
            with Image.open(self.paths[index]) as image:
                example = {"image": to_array(image, self.channels, self.image_size)}
        except Exception as error:  # whatever a damaged file makes a decoder raise
            raise Unreadable(f"{self.paths[index]} cannot be read: {_first_line(error)}") from error
        return example if self.labels is None else {**example, "label": self.labels[index]}


def files_of(root: Path, split: str, name: str) -> tuple[list[File], tuple[str, ...]]:
    """The files of the split, and the names of all classes."""
    if split not in ("train", "test"):
        raise ValueError(f"{name} has no split {split!r}; allowed are 'train' and 'test'")
    if not root.is_dir():
        raise ValueError(f"{name}: there is no such folder")
    train = root / "train"
    held_out = next((root / test for test in TEST_FOLDERS if (root / test).is_dir()), None)
    if train.is_dir() and held_out:
        files = {"train": listing(train, name), "test": listing(held_out, name)}
    else:
        only_train = [path for path in root.iterdir() if path.is_dir()] == [train]
        files = _hold_out(listing(train if only_train else root, name))
    if not files[split]:
        total = sum(map(len, files.values()))
        raise ValueError(f"{name}: no image ({', '.join(SUFFIXES)}) in the {split} split, {total} in all")
    return files[split], tuple(sorted({file.label for part in files.values() for file in part if file.label}))


def _hold_out(files: list[File]) -> dict[str, list[File]]:
    """A tenth of the files for "test" (at least one of two), the others for "train", both in their order."""
    count = max(1, len(files) // 10) if len(files) > 1 else 0
    shuffled = order(0, 0, len(files), len(files)) if files else []
    test = set(map(int, shuffled[:count]))
    return {
        "train": [file for i, file in enumerate(files) if i not in test],
        "test": [file for i, file in enumerate(files) if i in test],
    }


def listing(root: Path, name: str) -> list[File]:
    """All image files below `root`, sorted by name, each with the subfolder of `root` that it is in."""
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
    """The files with a readable header, and the shape that their images have in common."""
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(_header, files))
    headed = list(zip(files, headers, strict=True))
    broken = [f"{file.path} ({header})" for file, header in headed if isinstance(header, str)]
    headed = [(file, header) for file, header in headed if not isinstance(header, str)]
    if not headed or (broken and options.corrupt == "fail"):
        raise ValueError(f"{name}: unreadable: {some(broken)}")
    if broken:
        warnings.warn(f"{name}: skipped as unreadable: {some(broken)}", stacklevel=2)

    first, (height, width, _) = headed[0]
    for file, (h, w, _) in headed:
        if options.image_size is None and (h, w) != (height, width):
            raise ValueError(
                f"{name}: images differ in size: {first.path.name} has {height}×{width} pixels, "
                f"{file.path.name} has {h}×{w}; bring them to one size with --image-size"
            )
    size = (options.image_size or height, options.image_size or width)
    channels = options.channels or max(c for _, (_, _, c) in headed)
    return [file for file, _ in headed], {"image": jax.ShapeDtypeStruct((*size, channels), np.uint8)}


def _header(file: File) -> tuple[int, int, int] | str:
    """(height, width, channels) of an image file, or why it cannot be read."""
    try:
        with Image.open(file.path) as image:
            return *size_of(image), channels_of(image)
    except Exception as error:  # whatever a damaged file makes a decoder raise
        return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def some(items: list[str], shown: int = 5) -> str:
    """The first of them, for a message."""
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")


def image_files(path: Path) -> list[tuple[Path, Path]]:
    """An image file, or all below a folder, sorted by name; and for each its path from there without suffix.

    ValueError where there is none, and for two that differ in the suffix alone.
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


def read_image(
    path: Path, channels: int | None = None, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w c"]:
    """The pixels of a file with 1 or 3 channels, by default as many as it has; the middle of the image at `size`
    (height, width) where that is given.

    It warns of what is lost: transparency, and the low byte of 16 bits. ValueError for what cannot be read.
    """
    try:
        with Image.open(path) as image:
            if image.has_transparency_data:
                warnings.warn(f"{path}: what is transparent becomes white", stacklevel=2)
            if image.mode.startswith("I"):
                warnings.warn(f"{path}: of 16 bits a pixel the upper 8 are taken", stacklevel=2)
            return to_array(image, channels or channels_of(image), size)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from error
