"""`tfds:NAME`: TensorFlow Datasets without TensorFlow, from data prepared as array_record.

The variable `TFDS_DATA_DIR` says where the data is, by default in ~/tensorflow_datasets. TensorFlow is needed once, to
`prepare` what has to be downloaded; tensorflow-datasets itself is imported when a data set is asked for, because images for accelerators lack it.
"""

import importlib.util
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from jaxgen.data.dataset import Dataset, StreamedDataset
from jaxgen.data.images import resize, to_array
from jaxgen.data.options import Options
from jaxgen.data.png import decode_pngs

__all__ = ["prepare", "tfds"]

FORMAT = "array_record"


def tfds(name: str, split: str, options: Options) -> Dataset | StreamedDataset:
    """The images (`image`, and others under their own names) and class labels of a data set of TFDS.

    `name` may carry a configuration and a version: NAME/CONFIG:VERSION. Splits are those of TFDS, slices such as
    "train[:1000]" included. Of 4 channels 3 are left, as `jaxgen.data.images` says.
    """
    builder = _builder(name)
    formats = _formats(builder)
    if not formats:
        raise ValueError(f"tfds:{name} is not prepared at {builder.data_path}; run {_command(name)}")
    if FORMAT not in formats:
        raise ValueError(
            f"tfds:{name} at {builder.data_path} is prepared as {' and '.join(sorted(formats))}, "
            f"but {FORMAT} is needed; run {_command(name)}"
        )
    try:
        records = builder.as_data_source(split, file_format=FORMAT).data_source
    except ImportError as error:
        raise ValueError(f'tfds:{name}: {error}; run pip install "array_record"') from error
    except ValueError as error:  # of the split, in several lines
        raise ValueError(f"tfds:{name}: {_first_line(error)}") from error
    if len(records) == 0:
        raise ValueError(f"tfds:{name}: the split {split!r} is empty")
    examples = _Examples(name, records, builder.info.features, options)
    return options.settle(StreamedDataset(examples, examples.spec, examples.label_names, name=f"tfds:{name}"))


def prepare(name: str) -> str:
    """Bring a data set of TFDS into array_record: download and write it, or copy what lies there as tfrecord.

    Returns the folder. Raises `ValueError` where the data set does not exist, or TensorFlow is needed (it is for
    downloading, not for copying) and not installed.
    """
    builder = _builder(name)
    formats = _formats(builder)
    if FORMAT in formats:
        return str(builder.data_path)
    if "tfrecord" not in formats and importlib.util.find_spec("tensorflow") is None:
        raise ValueError(f'preparing {name} needs TensorFlow; run pip install "jaxgen[tensorflow]"')
    try:
        if "tfrecord" in formats:
            _copy(Path(builder.data_path))
        else:
            builder.download_and_prepare(file_format=FORMAT)
    except Exception as error:  # whatever downloading, data sets' own scripts and disks come up with
        raise ValueError(f"preparing {name} failed: {type(error).__name__}: {_first_line(error)}") from error
    return str(builder.data_path)


def _copy(folder: Path) -> None:
    """Put array_record files beside the tfrecord files of a data set, and note them in its description."""
    from array_record.python.array_record_module import ArrayRecordWriter

    for file in sorted(folder.glob("*.tfrecord-*")):
        writer = ArrayRecordWriter(str(file).replace(".tfrecord-", f".{FORMAT}-"), "group_size:1")
        for record in _tfrecords(file):
            writer.write(record)
        writer.close()
    description = folder / "dataset_info.json"
    info = json.loads(description.read_text())
    info["alternativeFileFormats"] = [*info.get("alternativeFileFormats", []), FORMAT]
    description.write_text(json.dumps(info, indent=2))


def _tfrecords(path: Path) -> Iterator[bytes]:
    """The records of a tfrecord file: each is its length (8 bytes), a checksum (4), the contents, a checksum (4)."""
    with path.open("rb") as file:
        while head := file.read(12):
            length = int.from_bytes(head[:8], "little")
            record = file.read(length + 4)
            if len(record) < length + 4:
                raise ValueError(f"{path} is truncated")
            yield record[:length]


def _formats(builder) -> set[str]:
    """The formats in which a data set is prepared; empty when it is not."""
    return {f.value for f in builder.info.available_file_formats()} if builder.info.splits else set()


def _builder(name: str):
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ValueError(f'tfds:{name}: {error}; run pip install "tensorflow-datasets" "array_record"') from error
    try:
        return tensorflow_datasets.builder(name)
    except Exception as error:  # an AssertionError for the version, ValueErrors of many lines for the rest, ...
        raise ValueError(f"tfds:{name}: {_first_line(error)}") from error


def _command(name: str) -> str:
    return f"python -m jaxgen.data prepare {name}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


class _Examples:
    """Random access to tf.train.Example records, decoded here: four times faster than by TFDS."""

    def __init__(self, name: str, records: Sequence[bytes], features: Mapping[str, Any], options: Options):
        from tensorflow_datasets.core.features import ClassLabel
        from tensorflow_datasets.core.features import Image as ImageFeature
        from tensorflow_datasets.proto import tf_example_pb2

        self.records, self.options, self.parse = records, options, tf_example_pb2.Example.FromString
        self.images = [key for key, feature in features.items() if isinstance(feature, ImageFeature)]
        self.labels = [key for key, feature in features.items() if isinstance(feature, ClassLabel)]
        self.label_names = tuple(features["label"].names) if "label" in self.labels else ()
        if not self.images:
            raise ValueError(f"tfds:{name} has no images, but {', '.join(features)}")
        self.spec = {}
        for key in self.images:
            height, width, channels = features[key].shape
            if options.image_size is None and None in (height, width):
                raise ValueError(f"tfds:{name}: images differ in size; bring them to one size with --image-size")
            shape = (options.image_size or height, options.image_size or width)
            channels = options.channels or (1 if channels == 1 else 3)
            self.spec[key] = jax.ShapeDtypeStruct((*shape, channels), np.uint8)
        self.spec |= {key: jax.ShapeDtypeStruct((), np.int32) for key in self.labels}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Mapping[str, np.ndarray]]:
        rows = [self.parse(record).features.feature for record in self.records.__getitems__(indices)]
        columns = {key: np.array([row[key].int64_list.value[0] for row in rows], np.int32) for key in self.labels}
        for key in self.images:
            columns[key] = self._decode([row[key].bytes_list.value[0] for row in rows], self.spec[key].shape[-1])
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _decode(self, files: Sequence[bytes], channels: int) -> Sequence[np.ndarray]:
        size = self.options.image_size
        if (images := decode_pngs(files)) is not None:
            return resize(images, size, channels)
        return [to_array(Image.open(io.BytesIO(file)), channels, size) for file in files]
