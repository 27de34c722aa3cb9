"""`tfds:NAME`: TensorFlow Datasets without TensorFlow, from data prepared as array_record.

The data lies in the folder that the variable `TFDS_DATA_DIR` names, by default ~/tensorflow_datasets. TensorFlow is
needed once, to `prepare` data that has to be downloaded. tensorflow-datasets is imported when a data set is asked for.
"""

import importlib.util
import math
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from jaxgen.data.attributes import choose
from jaxgen.data.dataset import CHUNK, Dataset, Example, StreamedDataset
from jaxgen.data.factors import FactorWorld
from jaxgen.data.images import first_line, open_image, resize, to_array
from jaxgen.data.options import Options
from jaxgen.data.png import decode_pngs
from jaxgen.optional import require

__all__ = ["FACTORS", "load", "prepare", "world"]

FORMAT = "array_record"
FACTORS: dict[str, tuple[str, ...]] = {
    "dsprites": ("shape", "scale", "orientation", "x_position", "y_position"),
    "shapes3d": ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"),
    "smallnorb": ("category", "elevation", "azimuth", "lighting"),
}
"""The factors of the data sets that are made by known factors, in the order of the originals."""


def load(name: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """Returns the images (`image`, and others under their own names) and class labels of a data set of TFDS.

    - Names may carry a configuration and a version: NAME/CONFIG:VERSION.
    - Splits are those of TFDS, slices such as "train[:1000]" included; "all" joins them. In a data set without "test",
      "validation" stands for it. Where that is missing too, "test" is the last tenth of "train" and "train" the rest.
    - Grey images stay grey and others become RGB, unless `channels` says which.
    - The pixels of dsprites, 0 and 1 in TFDS, become 0 and 255.
    - Yes-or-no attributes, as celeb_a has them, are `attributes`; NAME@NAMES takes some, as in `attributes:PATH@NAMES`.
    - cycle_gan has the splits "train" and "test": `a` and `b` are the domains A and B, in no relation.

    Raises `ValueError`, on one line, for data that does not exist or is not prepared, and for a missing package.
    """
    name, at, chosen = name.partition("@")
    if _kind(name) == "cycle_gan":
        arrays = {}
        for domain in "AB":
            data = _data(_open(name, f"{split}{domain}", options))
            if not isinstance(data, Dataset):
                raise ValueError(
                    f"tfds:{name} exceeds {options.memory_limit} bytes of memory; give a smaller image size"
                )
            arrays[domain.lower()] = data.arrays["image"]
        return Dataset(arrays, name=f"tfds:{name}", unpaired=True)
    return _data(_open(name, split, options), chosen if at else None)


def world(name: str, split: str, options: Options) -> FactorWorld:
    """Returns the factors of `dsprites`, `shapes3d` or `smallnorb`, and the images of the split by their factors.

    Where several examples have the same factors (the toys of smallnorb), the rows of a call take them in turn.

    Raises `ValueError` for other data sets; rendering factors that no example has raises it too.
    """
    kind = _kind(name)
    if kind not in FACTORS:
        raise ValueError(f"the factors of tfds:{name} are not known; those of {', '.join(FACTORS)} are")
    examples = _open(name, split, options)
    labels = [f"label_{factor}" for factor in FACTORS[kind]]
    quantities = [key for factor in FACTORS[kind] if (key := f"value_{factor}") in examples.features]
    columns = examples.columns([*labels, *quantities])
    values: dict[str, np.ndarray] = {}
    for factor, label in zip(FACTORS[kind], labels, strict=True):
        values[factor] = np.array(examples.features[label].names)
        if f"value_{factor}" in quantities:
            values[factor] = np.full(len(values[factor]), np.nan, np.float32)
            values[factor][columns[label]] = columns[f"value_{factor}"]
    sizes = tuple(len(one) for one in values.values())

    index = np.ravel_multi_index(tuple(columns[label] for label in labels), sizes)
    rows = np.argsort(index, kind="stable")
    first = np.searchsorted(index[rows], np.arange(math.prod(sizes) + 1))
    data = _data(examples)

    def render(factors):
        wanted = np.asarray(np.ravel_multi_index(tuple(np.asarray(factors).T), sizes))
        count = first[wanted + 1] - first[wanted]
        if not count.all():
            absent = zip(FACTORS[kind], np.asarray(factors)[count.argmin()], strict=True)
            raise ValueError(f"tfds:{name}: no example has {', '.join(f'{key} {label}' for key, label in absent)}")
        return data.batch(rows[first[wanted] + np.arange(len(wanted)) % count])["image"]

    return FactorWorld(f"tfds:{name}", values, render)


def _data(examples: "_Examples", chosen: str | None = None) -> Dataset | StreamedDataset:
    streamed = StreamedDataset(examples, examples.spec, examples.label_names, name=f"tfds:{examples.name}")
    if examples.attributes:
        name = streamed.name
        values = np.stack(list(examples.columns([f"attributes/{key}" for key in examples.attributes]).values()), axis=1)
        attributes, values, kept = choose(examples.attributes, values.astype(np.int32), chosen or "", name)
        source = _Attributed(examples, values, np.flatnonzero(kept))
        spec = examples.spec | {"attributes": jax.ShapeDtypeStruct(values.shape[1:], np.int32)}
        streamed = replace(streamed, source=source, example=spec, attributes=attributes)
    elif chosen is not None:
        raise ValueError(f"tfds:{examples.name}@{chosen}: this data set has no attributes")
    return examples.options.settle(streamed)


@dataclass(frozen=True)
class _Attributed:
    """Random access to some of the records, with attributes."""

    examples: "_Examples"
    values: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        rows = self.rows[list(indices)]
        found = self.examples.__getitems__(rows.tolist())
        return [{**one, "attributes": values} for one, values in zip(found, self.values[rows], strict=True)]


def _open(name: str, split: str, options: Options) -> "_Examples":
    """Random access to a split of a data set."""
    builder = _builder(name)
    found = _format(builder)
    if found is None:
        raise ValueError(f"tfds:{name} is not prepared at {builder.data_path}; run {_command(name)}")
    if found != FORMAT:
        raise ValueError(
            f"tfds:{name} at {builder.data_path} is prepared as {found}, but {FORMAT} is needed; run {_command(name)}"
        )
    require("array_record.python.array_record_module", f"tfds:{name}", "array_record")
    try:
        if _recorded_format(builder) != FORMAT:
            builder.info.set_file_format(FORMAT, override=True, override_if_initialized=True)
        split = _split(split, builder.info.splits)
        if builder.info.splits[split].num_examples == 0:
            raise ValueError(f"the split {split!r} is empty")
        records = builder.as_data_source(split).data_source
    except (KeyError, ValueError) as error:  # an unknown split, in several lines
        raise ValueError(f"tfds:{name}: {first_line(error)}") from error
    return _Examples(name, records, builder.info.features, options)


def _split(split: str, there: Collection[str]) -> str:
    if "test" in there or "train" not in there or split not in ("train", "test"):
        return split
    if "validation" in there:
        return {"train": "train", "test": "validation"}[split]
    return {"train": "train[:90%]", "test": "train[90%:]"}[split]


def prepare(name: str) -> str:
    """Brings a data set of TFDS into array_record: downloads and writes it, or copies existing tfrecord files.

    Returns the folder. Raises `ValueError` where the data set does not exist, or TensorFlow is missing, which only
    downloading needs.
    """
    builder = _builder(name)
    found = _format(builder)
    if found == FORMAT:
        return str(builder.data_path)
    if found != "tfrecord" and importlib.util.find_spec("tensorflow") is None:
        raise ValueError(f'preparing {name} needs TensorFlow; run pip install "jaxgen[tensorflow]"')
    try:
        if found == "tfrecord":
            _copy(Path(builder.data_path))
        else:
            builder.download_and_prepare(file_format=FORMAT)
    except Exception as error:  # downloads, the scripts of data sets and disks can raise anything
        raise ValueError(f"preparing {name} failed: {type(error).__name__}: {first_line(error)}") from error
    return str(builder.data_path)


def _copy(folder: Path) -> None:
    """Puts array_record files beside the tfrecord files of a data set."""
    module = require("array_record.python.array_record_module", "copying tfrecord files", "array_record")
    for file in folder.glob("*.tfrecord-*"):
        unfinished = file.with_name(f"unfinished.{FORMAT}")
        writer = module.ArrayRecordWriter(str(unfinished), "group_size:1")
        for record in _tfrecords(file):
            writer.write(record)
        writer.close()
        unfinished.rename(_counterpart(file))


def _counterpart(file: Path) -> Path:
    return file.with_name(file.name.replace(".tfrecord-", f".{FORMAT}-"))


def _tfrecords(path: Path) -> Iterator[bytes]:
    """The records of a tfrecord file: each is its length (8 bytes), a checksum (4), the contents, a checksum (4)."""
    with path.open("rb") as file:
        while head := file.read(12):
            length = int.from_bytes(head[:8], "little")
            record = file.read(length + 4)
            if len(record) < length + 4:
                raise ValueError(f"{path} is truncated")
            yield record[:length]


def _format(builder: Any) -> str | None:
    """The format in which a data set is prepared; FORMAT where it has several, and None when it is not prepared."""
    if not builder.info.splits:
        return None
    files = list(Path(builder.data_path).glob("*.tfrecord-*"))
    if files and all(_counterpart(file).exists() for file in files):
        return FORMAT
    return _recorded_format(builder)


def _recorded_format(builder: Any) -> str:
    """The format that the data set's own description names."""
    return builder.info.file_format.value


def _builder(name: str) -> Any:
    tensorflow_datasets = require("tensorflow_datasets", f"tfds:{name}", "tensorflow-datasets")
    try:
        # The variable is read here because TFDS reads it only once, when it is imported.
        return tensorflow_datasets.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"))
    except (ValueError, AssertionError, ImportError) as error:  # the name; the version; an import of the data set
        raise ValueError(f"tfds:{name}: {first_line(error)}") from error


def _command(name: str) -> str:
    return f"python -m jaxgen.data prepare {name}"


def _kind(name: str) -> str:
    """A data set's name without configuration and version."""
    return name.partition(":")[0].partition("/")[0]


class _Examples:
    """Random access to tf.train.Example records. Decoding them here is four times faster than TFDS."""

    def __init__(self, name: str, records: Any, features: Any, options: Options) -> None:
        types = require("tensorflow_datasets.core.features", f"tfds:{name}", "tensorflow-datasets")
        messages = require("tensorflow_datasets.proto", f"tfds:{name}", "tensorflow-datasets").tf_example_pb2
        self.name, self.records, self.features, self.options = name, records, features, options
        self.parse = messages.Example.FromString
        self.white = np.uint8(255 if _kind(name) == "dsprites" else 1)  # dsprites has 1 for white
        self.images = [key for key, feature in features.items() if isinstance(feature, types.Image)]
        self.labels = [key for key, feature in features.items() if isinstance(feature, types.ClassLabel)]
        self.label_names = tuple(features["label"].names) if "label" in self.labels else ()
        self.attributes = tuple(features["attributes"]) if "attributes" in features else ()
        if not self.images:
            raise ValueError(f"tfds:{name} has no images, but {', '.join(features)}")
        self.spec = {}
        for key in self.images:
            height, width, channels = features[key].shape
            if options.image_size is None and None in (height, width):
                raise ValueError(
                    f"tfds:{name}: images differ in size; bring them to one size with image_size (--image-size)"
                )
            shape = (options.image_size or height, options.image_size or width)
            channels = options.channels or (1 if channels == 1 else 3)
            self.spec[key] = jax.ShapeDtypeStruct((*shape, channels), np.uint8)
        self.spec |= {key: jax.ShapeDtypeStruct((), np.int32) for key in self.labels}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        rows = [self.parse(record).features.feature for record in self.records.__getitems__(indices)]
        columns = {key: np.array([row[key].int64_list.value[0] for row in rows], np.int32) for key in self.labels}
        for key in self.images:
            columns[key] = self._decode([row[key].bytes_list.value[0] for row in rows], self.spec[key].shape[-1])
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def columns(self, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """The numbers `keys` of all examples, read without decoding an image."""
        found = {key: [] for key in keys}
        for start in range(0, len(self), CHUNK):
            for record in self.records.__getitems__(range(start, min(start + CHUNK, len(self)))):
                row = self.parse(record).features.feature
                for key, column in found.items():
                    column.append((row[key].int64_list.value or row[key].float_list.value)[0])
        return {key: np.array(column) for key, column in found.items()}

    def _decode(self, files: Sequence[bytes], channels: int) -> UInt8[np.ndarray, "n h w c"]:
        size = self.options.image_size
        if (images := decode_pngs(files)) is not None:
            return resize(self.white * images, size, channels)
        return self.white * np.stack([to_array(open_image(file), channels, size) for file in files])
