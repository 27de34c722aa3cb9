"""`folder:PATH`: a folder of images (png, jpg, jpeg, webp), class subfolders giving the labels."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jaxgen.data.dataset import Dataset, StreamedDataset, Unreadable, logger
from jaxgen.data.images import channels_of, size_of, to_array
from jaxgen.data.options import Options
from jaxgen.data.order import order

__all__ = ["folder"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TEST_FOLDERS = ("test", "val", "validation")


def folder(path: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """The images below `path`, hidden files apart.

    - Labels: the names of the subfolders, sorted; without subfolders there are no labels.
    - Splits: the subfolders `train` and `test` (or `val`, `validation`) where both exist; otherwise a tenth of the
      images, chosen once and for all among the sorted names, is "test" and the rest "train".
    - Sizes: without `image_size` all images need to have one size.
    - Channels: grey when all images are grey, else RGB, unless `channels` says which.
    """
    name = f"folder:{path}"
    files, label_names = _files(Path(path).expanduser(), split, name)
    files, example = _inspect(files, options, name)
    labels = None
    if label_names:
        labels = np.array([label_names.index(file.label) for file in files], np.int32)
        example["label"] = jax.ShapeDtypeStruct((), np.int32)
    source = _Images([file.path for file in files], labels, example["image"].shape[-1], options.image_size)
    skip = options.corrupt == "skip"
    return options.settle(StreamedDataset(source, example, label_names, name=name, skip_unreadable=skip))


@dataclass(frozen=True)
class _File:
    path: Path
    label: str | None


@dataclass(frozen=True)
class _Images:
    """Random access to image files, decoded as they are asked for."""

    paths: Sequence[Path]
    labels: np.ndarray | None
    channels: int
    image_size: int | None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]:
        try:
            with Image.open(self.paths[index]) as image:
                example = {"image": to_array(image, self.channels, self.image_size)}
        except Exception as error:  # whatever a damaged file makes a decoder raise
            raise Unreadable(f"{self.paths[index]} cannot be read: {_first_line(error)}") from error
        return example if self.labels is None else {**example, "label": self.labels[index]}


def _files(root: Path, split: str, name: str) -> tuple[list[_File], tuple[str, ...]]:
    """The files of the split, and the names of all classes."""
    if split not in ("train", "test"):
        raise ValueError(f"{name} has no split {split!r}; allowed are 'train' and 'test'")
    if not root.is_dir():
        raise ValueError(f"{name}: there is no such folder")
    held_out = next((root / test for test in TEST_FOLDERS if (root / test).is_dir()), None)
    if held_out and (root / "train").is_dir():
        files = {"train": _listing(root / "train", name), "test": _listing(held_out, name)}
    else:
        everything = _listing(root, name)
        shuffled = order(0, 0, len(everything), len(everything)) if everything else np.zeros(0, int)
        tests = 0 if len(everything) < 2 else max(1, len(everything) // 10)
        files = {
            "train": [everything[i] for i in sorted(shuffled[tests:])],
            "test": [everything[i] for i in sorted(shuffled[:tests])],
        }
    if not files[split]:
        total = sum(map(len, files.values()))
        raise ValueError(f"{name}: no image ({', '.join(SUFFIXES)}) in the {split} split, {total} in all")
    return files[split], tuple(sorted({file.label for both in files.values() for file in both if file.label}))


def _listing(root: Path, name: str) -> list[_File]:
    """All image files below `root`, sorted by name, each with the subfolder of `root` that it is in."""
    relative = (path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    visible = [path for path in relative if not any(part.startswith((".", "__")) for part in path.parts)]
    visible.sort(key=Path.as_posix)
    files = [_File(root / path, path.parts[0] if len(path.parts) > 1 else None) for path in visible]
    loose = [file for file in files if file.label is None]
    if 0 < len(loose) < len(files):
        raise ValueError(f"{name}: images lie in class subfolders and beside them ({loose[0].path.name}); choose one")
    return files


def _inspect(
    files: list[_File], options: Options, name: str
) -> tuple[list[_File], dict[str, jax.ShapeDtypeStruct]]:
    """The files with a readable header, and what all their images have in common."""
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(_header, files))
    broken = [f"{file.path} ({header})" for file, header in zip(files, headers, strict=True) if isinstance(header, str)]
    if len(broken) == len(files) or broken and options.corrupt == "fail":
        raise ValueError(f"{name}: unreadable: {_some(broken)}")
    if broken:
        logger.warning("%s: skipped as unreadable: %s", name, _some(broken))
    files, headers = zip(*[pair for pair in zip(files, headers, strict=True) if not isinstance(pair[1], str)], strict=True)

    (height, width), channels = headers[0][0], options.channels or max(channels for _, channels in headers)
    if options.image_size:
        height = width = options.image_size
    else:
        for file, (size, _) in zip(files, headers, strict=True):
            if size != (height, width):
                raise ValueError(
                    f"{name}: images differ in size: {files[0].path.name} has {height}×{width} pixels, "
                    f"{file.path.name} has {size[0]}×{size[1]}; bring them to one size with --image-size"
                )
    return list(files), {"image": jax.ShapeDtypeStruct((height, width, channels), np.uint8)}


def _header(file: _File) -> tuple[tuple[int, int], int] | str:
    """((height, width), channels) of an image file, or why it cannot be read."""
    try:
        with Image.open(file.path) as image:
            return size_of(image), channels_of(image)
    except Exception as error:  # whatever a damaged file makes a decoder raise
        return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _some(items: list[str], shown: int = 5) -> str:
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")
