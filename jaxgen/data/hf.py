"""`hf:NAME`: data sets of Hugging Face, read by its package `datasets`, which is imported when one is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.data.dataset import Dataset, Example, Spec, StreamedDataset, Unreadable
from jaxgen.data.images import decode, first_line, header
from jaxgen.data.options import Options
from jaxgen.data.splits import hold_out
from jaxgen.optional import require

__all__ = ["load"]

LOOKED_AT = 1000  # images whose headers tell the size and the channels
VALIDATION = ("validation", "valid", "val")  # names of the split that stands for a missing "test"


def load(argument: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """Returns the images and class labels of a data set of the Hub, or of files.

    - `hf:NAME` or `hf:NAME@CONFIG` is downloaded once, into the cache of `datasets`: `hf:ylecun/mnist`,
      `hf:ylecun/mnist@mnist`.
    - `hf:PATH` reads a parquet file, a folder of them, or a folder that `save_to_disk` wrote, without a network.
    - Columns: the images are the column `image`, or the only one that holds images (the feature `Image`, or the bytes
      of image files). The labels are the column `label`, of classes or integers from 0, or the only one of classes;
      there may be none.
    - Splits are those of the data set, and "all" joins them. Where there is no "test", "validation" stands for it.
      Where that is missing too, a tenth of "train", the same in every run, is "test" and the rest "train".
    - Without `image_size` all images need one size. Without `channels` they are grey when the first thousand are.

    Raises `ValueError`, on one line, for data that cannot be read, and where `datasets` is missing.
    """
    name = f"hf:{argument}"
    splits = _open(argument, name)
    image, label = _columns(next(iter(splits.values())).features, name)
    rows = _rows(splits, split, name)
    names: tuple[str, ...] = ()
    labels = None
    if label is not None:
        names = _label_names(splits, label, name)
        labels = np.asarray(rows[label], np.int32)
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(names)):
            raise ValueError(f"{name}: the split {split!r} has examples without a label; there the label is -1")
    datasets = require("datasets", name, "jaxgen[hf]")
    rows = rows.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    if not len(rows):
        raise ValueError(f"{name}: the split {split!r} is empty")
    spec = _spec(rows[: min(LOOKED_AT, len(rows))][image], options, name)
    if labels is not None:
        spec["label"] = jax.ShapeDtypeStruct((), np.int32)
    source = _Rows(name, rows, image, labels, spec["image"].shape, options.image_size)
    skip = options.corrupt == "skip"
    return options.settle(StreamedDataset(source, spec, names, name=name, skip_unreadable=skip))


@dataclass(frozen=True)
class _Rows:
    """Random access to the rows of a data set."""

    name: str
    rows: Any
    column: str
    labels: np.ndarray | None
    shape: tuple[int, ...]
    image_size: int | None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        cells = self.rows[list(indices)][self.column]
        try:
            images = decode([_contents(cell) for cell in cells], self.shape[-1], self.image_size)
        except Exception as error:  # a damaged file can make a decoder raise anything
            which = ", ".join(map(str, indices[:3]))
            raise Unreadable(f"{self.name}: row {which} cannot be read: {first_line(error)}") from error
        for index, image in zip(indices, images, strict=True):
            if image.shape != self.shape:
                raise ValueError(_differ(self.name, self.shape, image.shape, f"row {index}"))
        if self.labels is None:
            return [{"image": image} for image in images]
        return [{"image": image, "label": self.labels[i]} for i, image in zip(indices, images, strict=True)]


def _open(argument: str, name: str) -> Mapping[str, Any]:
    """The splits of a data set, by name."""
    datasets = require("datasets", name, "jaxgen[hf]")
    path = Path(argument).expanduser()
    try:
        if path.is_file():
            found = datasets.load_dataset("parquet", data_files=str(path))
        elif any((path / written).is_file() for written in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(str(path))
        elif path.is_dir():
            found = datasets.load_dataset(str(path))
        else:
            repository, _, configuration = argument.partition("@")
            found = datasets.load_dataset(repository, configuration or None)
    except Exception as error:  # networks, data sets and files can raise anything
        raise ValueError(f"{name} cannot be loaded: {type(error).__name__}: {first_line(error)}") from error
    return found if isinstance(found, datasets.DatasetDict) else {"train": found}


def _rows(splits: Mapping[str, Any], split: str, name: str) -> Any:
    """The rows of a split."""
    datasets = require("datasets", name, "jaxgen[hf]")
    if split == "all" and "all" not in splits:
        return datasets.concatenate_datasets(list(splits.values()))
    validation = next((one for one in VALIDATION if one in splits), None)
    if split == "test" and "test" not in splits and validation:
        return splits[validation]
    if "train" in splits and split in ("train", "test") and "test" not in splits and not validation:
        return splits["train"].select(hold_out(len(splits["train"]), split))
    if split not in splits:
        raise ValueError(f"{name} has no split {split!r}; allowed are {', '.join(dict.fromkeys([*splits, 'all']))}")
    return splits[split]


def _columns(features: Mapping[str, Any], name: str) -> tuple[str, str | None]:
    """The column of the images and that of the labels."""
    datasets = require("datasets", name, "jaxgen[hf]")

    def of_images(feature: Any) -> bool:
        if isinstance(feature, Mapping):  # parquet without the metadata of Hugging Face
            return "bytes" in feature
        if isinstance(feature, datasets.Value):
            return "binary" in feature.dtype
        return isinstance(feature, datasets.Image)

    def of_integers(feature: Any) -> bool:
        return isinstance(feature, datasets.Value) and "int" in feature.dtype

    images = [column for column, feature in features.items() if of_images(feature)]
    if not images:
        raise ValueError(f"{name} has no column of images, but {', '.join(features)}")
    if "image" not in images and len(images) > 1:
        raise ValueError(f"{name} has several columns of images, {', '.join(images)}; one of them must be called image")
    classes = [column for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    image = "image" if "image" in images else images[0]
    if "label" in classes or of_integers(features.get("label")):
        return image, "label"
    return image, classes[0] if len(classes) == 1 else None


def _label_names(splits: Mapping[str, Any], label: str, name: str) -> tuple[str, ...]:
    """The names of the classes; for integers "0" to the largest one of any split."""
    feature = next(iter(splits.values())).features[label]
    if isinstance(feature, require("datasets", name, "jaxgen[hf]").ClassLabel):
        return tuple(feature.names)
    largest = max((max(rows[label]) for rows in splits.values() if len(rows)), default=-1)
    return tuple(map(str, range(largest + 1)))


def _spec(cells: Sequence[Mapping[str, Any]], options: Options, name: str) -> Spec:
    """The shape that the images have in common, judged by the headers of some."""
    require("PIL.Image", name, "pillow")
    headers = [header(_contents(cell)) for cell in cells]
    shapes = [one for one in headers if not isinstance(one, str)]
    if not shapes:
        raise ValueError(f"{name}: unreadable: {headers[0]}")
    height, width, _ = shapes[0]
    for shape in shapes:
        if options.image_size is None and shape[:2] != (height, width):
            raise ValueError(_differ(name, (height, width), shape, "another"))
    size = (options.image_size or height, options.image_size or width)
    channels = options.channels or max(channels for _, _, channels in shapes)
    return {"image": jax.ShapeDtypeStruct((*size, channels), np.uint8)}


def _differ(name: str, one: Sequence[int], other: Sequence[int], which: str) -> str:
    return (
        f"{name}: images differ in size: one has {one[0]}×{one[1]} pixels, {which} has {other[0]}×{other[1]}; "
        "bring them to one size with image_size (--image-size)"
    )


def _contents(cell: Mapping[str, Any]) -> bytes:
    """The contents of an image file, which a row holds itself or names."""
    return cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
