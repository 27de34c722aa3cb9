"""TensorFlow Datasets without TensorFlow: a tiny data set made here, and the real ones where they are."""

import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset, StreamedDataset, factor_world, load, order
from jaxgen.data.__main__ import main
from jaxgen.data.options import Options

pytest.importorskip("tensorflow_datasets")
array_record_module = pytest.importorskip("array_record.python.array_record_module")

SHARED = Path(__file__).parents[3] / "shared" / "tfds"
SPLITS = {"train": 12, "test": 5}


def feature(name, **content):
    return {"pythonClassName": f"tensorflow_datasets.core.features.{name}", **content}


def image_feature(shape):
    return feature("image_feature.Image", image={"shape": {"dimensions": shape}, "dtype": "uint8"})


def picture(i, shape):
    return np.random.default_rng(i).integers(0, 256, shape, np.uint8)


def make(folder, name="tiny", shape=(6, 7, 3), declared=None, file_format="array_record", splits=SPLITS):
    """Write a TFDS data set by hand: two splits of images filled at random, labels i % 2."""
    home = folder / name / "1.0.0"
    home.mkdir(parents=True)
    declared = [str(size) for size in (declared or shape)]
    label = feature("class_label_feature.ClassLabel", classLabel={"numClasses": "2"})
    features = {"image": image_feature(declared), "label": label}
    top = feature("features_dict.FeaturesDict", featuresDict={"features": features})
    (home / "features.json").write_text(json.dumps(top))
    (home / "label.labels.txt").write_text("cat\ndog\n")
    described = [
        {"name": split, "numBytes": "1", "shardLengths": [str(size)]}
        | {"filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"}
        for split, size in splits.items()
    ]
    info = {"name": name, "version": "1.0.0", "fileFormat": file_format, "splits": described}
    (home / "dataset_info.json").write_text(json.dumps(info))
    for split, size in splits.items():
        examples = [{"image": picture(i, shape), "label": i % 2} for i in range(size)]
        write(home / f"{name}-{split}.{file_format}-00000-of-00001", map(record, examples))
    return home


def record(example):
    """The serialised tf.train.Example of images, integers and floats by name."""
    from tensorflow_datasets.proto import tf_example_pb2

    message = tf_example_pb2.Example()
    for name, value in example.items():
        if isinstance(value, np.ndarray):
            file = io.BytesIO()
            Image.fromarray(value.squeeze()).save(file, "PNG")
            message.features.feature[name].bytes_list.value.append(file.getvalue())
        elif isinstance(value, float):
            message.features.feature[name].float_list.value.append(value)
        else:
            message.features.feature[name].int64_list.value.append(value)
    return message.SerializeToString()


def write(path, records):
    if "tfrecord" in path.name:
        content = [struct.pack("<QI", len(one), 0) + one + bytes(4) for one in records]
        path.write_bytes(b"".join(content))
    else:
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for one in records:
            writer.write(one)
        writer.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder for data sets of TFDS."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("shape", [(6, 7, 3), (5, 5, 1), (4, 4, 4)])
def test_examples_are_exact(home, shape):
    make(home, shape=shape)
    train, test = load("tfds:tiny"), load("tfds:tiny", "test")
    assert isinstance(train, Dataset)
    assert (len(train), len(test)) == (SPLITS["train"], SPLITS["test"])
    assert (train.label_names, train.name) == (("cat", "dog"), "tfds:tiny")
    assert train.arrays["label"].dtype == np.int32
    np.testing.assert_array_equal(train.arrays["label"], np.arange(12) % 2)
    if shape[-1] == 4:  # laid on white
        assert train.example["image"].shape == (4, 4, 3)
    else:
        np.testing.assert_array_equal(train.arrays["image"], [picture(i, shape) for i in range(12)])


def test_names_splits_and_options(home):
    make(home)
    assert len(load("tfds:tiny:1.0.0")) == 12
    assert len(load("tfds:tiny", "train[:3]")) == 3
    assert len(load("tfds:tiny", "train+test")) == 17
    assert load("tfds:tiny", image_size=16, channels=1).arrays["image"].shape == (12, 16, 16, 1)


def test_where_there_is_no_test_split(home):
    make(home, "one", splits={"train": 20})
    make(home, "two", splits={"train": 20, "validation": 3})
    assert [len(load("tfds:one", split)) for split in ("train", "test", "all")] == [18, 2, 20]
    assert [len(load("tfds:two", split)) for split in ("train", "test", "validation")] == [20, 3, 3]


def test_streamed_above_the_limit(home):
    make(home)
    in_memory, streamed = load("tfds:tiny"), load("tfds:tiny", memory_limit=1000)
    assert isinstance(streamed, StreamedDataset)
    assert streamed.spec(4) == in_memory.spec(4)
    for step, batch in enumerate(streamed.stream(0, 2, 7, 5), 2):
        expected = in_memory.batch(order(0, step, 5, 12))
        np.testing.assert_array_equal(batch["image"], expected["image"])
        np.testing.assert_array_equal(batch["label"], expected["label"])


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("dsprites", {"shape": 3, "scale": 6, "orientation": 40, "x_position": 32, "y_position": 32}),
        ("shapes3d", {"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15}),
        ("smallnorb", {"category": 5, "elevation": 9, "azimuth": 18, "lighting": 6}),
    ],
)
def test_images_by_their_factors(home, monkeypatch, name, factors, streamed):
    """Of each data set 40 examples of 20 combinations, under the features that TFDS says it has."""
    if streamed:
        monkeypatch.setattr(Options, "settle", lambda self, data: data)
    sizes = np.array(list(factors.values()))
    chosen = np.tile(np.random.default_rng(0).integers(0, sizes, (20, len(sizes))), (2, 1))
    shape = {"dsprites": (64, 64, 1), "shapes3d": (64, 64, 3), "smallnorb": (96, 96, 1)}[name]
    pictures = [picture(i, shape) & (1 if name == "dsprites" else 255) for i in range(40)]
    folder = home / name / "2.0.0"
    folder.mkdir(parents=True)
    split = {"name": "train", "numBytes": "1", "shardLengths": ["40"]}
    split |= {"filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"}
    info = {"name": name, "version": "2.0.0", "fileFormat": "array_record", "splits": [split]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    records = []
    for one, image in zip(chosen, pictures, strict=True):
        example = {"image": image, "image2": image, "instance": 3}
        for factor, label in zip(factors, one.tolist(), strict=True):
            example |= {f"label_{factor}": label, f"value_{factor}": label / 2}
        records.append(record(example))
    write(folder / f"{name}-train.array_record-00000-of-00001", records)

    world = factor_world(f"tfds:{name}")
    assert (world.names, world.sizes) == (tuple(factors), tuple(sizes))
    expected = np.stack(pictures) * np.uint8(255 if name == "dsprites" else 1)
    in_turn = np.arange(20) + [0, 20] * 10  # the two examples of the same factors
    np.testing.assert_array_equal(world.images(chosen[:20]), expected[in_turn])
    np.testing.assert_array_equal(world.images(chosen[[7, 7, 7]]), expected[[7, 27, 7]])
    np.testing.assert_array_equal(world.factors(world.index(chosen)), chosen)
    if name == "smallnorb":
        assert world.classes(category="airplanes", azimuth="7") == {"category": 2, "azimuth": 7}
    else:
        factor, label = world.names[0], int(chosen[0, 0])
        assert world.classes(**{factor: label / 2}) == {factor: label}
    absent = next(one for one in world.sample(0, 100) if not (chosen == one).all(1).any())
    with pytest.raises(
        ValueError, match=f"tfds:{name}: no example has {world.names[0]} {absent[0]}, {world.names[1]} "
    ):
        world.images(absent[None])
    with pytest.raises(ValueError, match=f"the factor {world.names[1]} is 99; allowed is 0 to {sizes[1] - 1}"):
        world.sample(0, 3, **{world.names[1]: 99})


def prepared(folder, splits):
    """A data set of TFDS's own, array_record files of the records by split."""
    folder.mkdir(parents=True)
    described = [
        {"name": split, "numBytes": "1", "shardLengths": [str(len(records))]}
        | {"filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"}
        for split, records in splits.items()
    ]
    *_, name, version = (part for part in folder.parts if part != "horse2zebra")
    info = {"name": name, "version": version, "fileFormat": "array_record", "splits": described}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    for split, records in splits.items():
        write(folder / f"{name}-{split}.array_record-00000-of-00001", records)


def test_domains_of_cycle_gan(home):
    splits = {"trainA": 4, "trainB": 3, "testA": 2, "testB": 1}
    pictures = {
        split: [picture(10 * i + n, (6, 6, 3)) for n in range(size)] for i, (split, size) in enumerate(splits.items())
    }
    folder = home / "cycle_gan" / "horse2zebra" / "3.0.0"
    prepared(folder, {split: [record({"image": one, "label": 0}) for one in of] for split, of in pictures.items()})
    for split in ("train", "test"):
        data = load("tfds:cycle_gan/horse2zebra", split, image_size=6)
        assert data.unpaired
        assert [len(data.arrays[name]) for name in "ab"] == [splits[f"{split}A"], splits[f"{split}B"]]
        for name in "ab":
            np.testing.assert_array_equal(data.arrays[name], pictures[f"{split}{name.upper()}"])
    with pytest.raises(ValueError, match="exceeds 100 bytes of memory; give a smaller image size"):
        load("tfds:cycle_gan/horse2zebra", image_size=6, memory_limit=100)


@pytest.mark.parametrize("memory_limit", [2 << 30, 0])
def test_attributes_of_celeb_a(home, memory_limit):
    import tensorflow_datasets

    names = list(tensorflow_datasets.builder("celeb_a").info.features["attributes"])
    table = np.random.default_rng(0).integers(0, 2, (12, len(names)))
    records = []
    for i, row in enumerate(table.tolist()):
        values = {f"attributes/{name}": value for name, value in zip(names, row, strict=True)}
        records.append(record({"image": picture(i, (8, 8, 3)), **values}))
    prepared(home / "celeb_a" / "2.1.0", {"train": records})
    data = load("tfds:celeb_a", "all", image_size=8, memory_limit=memory_limit)
    assert [one.name for one in data.attributes] == names
    np.testing.assert_array_equal(data.batch(np.arange(12))["attributes"], table)
    some = [names.index(name) for name in ("Male", "Black_Hair", "Blond_Hair")]
    kept = np.flatnonzero(table[:, some[1:]].sum(1) == 1)
    assert 0 < len(kept) < 12
    data = load("tfds:celeb_a@Male,Black_Hair/Blond_Hair", "all", image_size=8, memory_limit=memory_limit)
    batch = data.batch(np.arange(len(data)))
    np.testing.assert_array_equal(batch["attributes"], table[kept][:, some])
    np.testing.assert_array_equal(batch["image"], [picture(i, (8, 8, 3)) for i in kept])
    with pytest.raises(ValueError, match="no attribute Tall; there are 5_o_Clock_Shadow, "):
        load("tfds:celeb_a@Tall", "all", image_size=8)
    make(home)
    with pytest.raises(ValueError, match="tfds:tiny@Male: this data set has no attributes"):
        load("tfds:tiny@Male")


def test_images_of_different_sizes_need_an_image_size(home):
    make(home, declared=(-1, -1, 3))
    with pytest.raises(ValueError, match=r"tfds:tiny: images differ in size; .*--image-size"):
        load("tfds:tiny")
    assert load("tfds:tiny", image_size=4).arrays["image"].shape == (12, 4, 4, 3)


def test_tfrecord_is_copied_by_prepare(home, capsys):
    folder = make(home, file_format="tfrecord")
    with pytest.raises(ValueError, match=r"prepared as tfrecord, .* run python -m jaxgen.data prepare tiny$"):
        load("tfds:tiny")
    for _ in range(2):  # the second time there is nothing to do
        assert main(["prepare", "tiny"]) == 0
        assert capsys.readouterr().out == f"prepared: {folder}\n"
    np.testing.assert_array_equal(load("tfds:tiny").arrays["image"], [picture(i, (6, 7, 3)) for i in range(12)])


def test_a_truncated_tfrecord_is_not_prepared(home, capsys):
    file = make(home, file_format="tfrecord") / "tiny-train.tfrecord-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-7])
    assert main(["prepare", "tiny"]) == 2
    assert "tiny-train.tfrecord-00000-of-00001 is truncated" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"run python -m jaxgen.data prepare tiny"):
        load("tfds:tiny")


def test_what_is_not_to_be_had(home):
    make(home)

    def refused(message, source, split="train"):
        with pytest.raises(ValueError, match=message) as error:
            load(source, split)
        assert "\n" not in str(error.value)

    refused(r"tfds:mnist is not prepared at .*; run python -m jaxgen.data prepare mnist$", "tfds:mnist")
    refused("Dataset nonesuch not found", "tfds:nonesuch")
    refused("nonesuch", "tfds:mnist/nonesuch")
    refused("9.9.9", "tfds:mnist:9.9.9")
    refused("Parsing builder name string", "tfds:???")
    refused("Unknown split 'valid'. Should be one of .*'train'.*", "tfds:tiny", "valid")
    refused(r"Error parsing split 'train\[:'", "tfds:tiny", "train[:")
    refused("the split 'train.:0.' is empty", "tfds:tiny", "train[:0]")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_data_as_tfds_reads_it(name, monkeypatch):
    import tensorflow_datasets

    data_dir = os.environ.get("TFDS_DATA_DIR", str(SHARED))
    if not (Path(data_dir).expanduser() / name).is_dir():
        pytest.skip(f"no {name} in {data_dir}; TFDS_DATA_DIR says where else")
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    data = load(f"tfds:{name}", "test[:600]")
    expected = tensorflow_datasets.builder(name, data_dir=data_dir).as_data_source("test[:600]")
    np.testing.assert_array_equal(data.arrays["image"], [expected[i]["image"] for i in range(600)])
    np.testing.assert_array_equal(data.arrays["label"], [expected[i]["label"] for i in range(600)])
    assert data.classes == 10
