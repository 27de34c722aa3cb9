"""Data sets of Hugging Face, from files written here, without a network."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read once, when the package is imported

import io

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset, StreamedDataset, load
from jaxgen.data.splits import hold_out

datasets = pytest.importorskip("datasets", reason="the optional package datasets is not installed")

IMAGES = [np.random.default_rng(i).integers(0, 256, (6, 7, 3), np.uint8) for i in range(20)]
LABELS = [i % 3 for i in range(20)]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """What the package derives from files goes to a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))
        datasets.disable_progress_bars()
        yield


def contents(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", **options)
    return file.getvalue()


def rows(images=IMAGES, labels=LABELS, column="image", label_column="label", names=("cat", "dog", "bird")):
    """A data set of encoded images and classes, as the package writes it."""
    features = {column: datasets.Image(), label_column: datasets.ClassLabel(names=list(names))}
    cells = [{"bytes": contents(image), "path": None} for image in images]
    return datasets.Dataset.from_dict({column: cells, label_column: labels}, datasets.Features(features))


@pytest.mark.parametrize("memory_limit", [2 << 30, 0])
def test_a_parquet_file(tmp_path, memory_limit):
    rows().to_parquet(tmp_path / "a.parquet")
    source = f"hf:{tmp_path}/a.parquet"
    for split in ("train", "test", "all"):
        data = load(source, split, memory_limit=memory_limit)
        assert isinstance(data, Dataset if memory_limit else StreamedDataset)
        assert (data.label_names, data.name) == (("cat", "dog", "bird"), source)
        chosen = hold_out(20, split)
        batch = data.batch(np.arange(len(data)))
        np.testing.assert_array_equal(batch["image"], [IMAGES[i] for i in chosen])
        np.testing.assert_array_equal(batch["label"], [LABELS[i] for i in chosen])
        assert batch["label"].dtype == data.example["label"].dtype == np.int32


def test_splits_of_a_folder_on_disk(tmp_path):
    parts = {"train": rows(IMAGES[:12], LABELS[:12]), "validation": rows(IMAGES[12:], LABELS[12:])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "disk")
    source = f"hf:{tmp_path}/disk"
    sizes = [len(load(source, split)) for split in ("train", "test", "validation", "all")]
    assert sizes == [12, 8, 8, 20]
    np.testing.assert_array_equal(load(source, "test").arrays["image"], IMAGES[12:])
    with pytest.raises(ValueError, match=r"has no split 'valid'; allowed are train, validation, all$"):
        load(source, "valid")


def test_a_folder_of_parquet_files(tmp_path):
    for split, part in (("train", slice(12)), ("test", slice(12, None))):
        (tmp_path / "data").mkdir(exist_ok=True)
        rows(IMAGES[part], LABELS[part]).to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    np.testing.assert_array_equal(load(f"hf:{tmp_path}").arrays["image"], IMAGES[:12])
    np.testing.assert_array_equal(load(f"hf:{tmp_path}", "test").arrays["label"], LABELS[12:])


@pytest.mark.parametrize("nested", [True, False])
def test_bytes_and_integers_without_the_package_s_features(tmp_path, nested):
    """Files of other writers: a struct of bytes, or bare bytes, and integers."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    cells = [contents(image) for image in IMAGES]
    table = {"photo": [{"bytes": cell, "path": None} for cell in cells] if nested else cells, "label": LABELS}
    if nested:
        kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        table["photo"] = pyarrow.array(table["photo"], kind)
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    data = load(f"hf:{tmp_path}/a.parquet", "all")
    np.testing.assert_array_equal(data.arrays["image"], IMAGES)
    np.testing.assert_array_equal(data.arrays["label"], LABELS)
    assert data.label_names == ("0", "1", "2")
    assert load(f"hf:{tmp_path}/a.parquet", "test").classes == 3


def test_sizes_and_channels(tmp_path):
    mixed = [*IMAGES[:10], *(image[:5, :, 0] for image in IMAGES[10:])]
    rows(mixed).to_parquet(tmp_path / "a.parquet")
    source = f"hf:{tmp_path}/a.parquet"
    with pytest.raises(ValueError, match=r"differ in size: one has 6×7 pixels, another has 5×7; .*--image-size"):
        load(source)
    assert load(source, image_size=4).arrays["image"].shape == (18, 4, 4, 3)  # one colour image makes all RGB
    assert load(source, image_size=4, channels=1).arrays["image"].shape == (18, 4, 4, 1)
    rows([image[..., 0] for image in IMAGES]).to_parquet(tmp_path / "grey.parquet")
    assert load(f"hf:{tmp_path}/grey.parquet").example["image"].shape == (6, 7, 1)


def test_damaged_images_are_skipped_or_fatal(tmp_path):
    cells = [{"bytes": contents(image), "path": None} for image in IMAGES]
    cells[3] = {"bytes": cells[3]["bytes"][:60], "path": None}
    datasets.Dataset.from_dict({"image": cells}, datasets.Features({"image": datasets.Image()})).to_parquet(
        tmp_path / "a.parquet"
    )
    with pytest.warns(UserWarning, match="skipped: .*a.parquet: row 3 cannot be read"):
        data = load(f"hf:{tmp_path}/a.parquet", "all")
    assert data.classes == 0
    np.testing.assert_array_equal(data.arrays["image"], [image for i, image in enumerate(IMAGES) if i != 3])
    with pytest.raises(ValueError, match="row 3 cannot be read"):
        load(f"hf:{tmp_path}/a.parquet", "all", corrupt="fail")


def test_what_is_refused(tmp_path):
    def refused(message, source, split="train"):
        with pytest.raises(ValueError, match=message) as error:
            load(f"hf:{source}", split)
        assert "\n" not in str(error.value)

    refused("hf:jaxgen/nonesuch cannot be loaded: ", "jaxgen/nonesuch")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    refused("bad.parquet cannot be loaded: ", tmp_path / "bad.parquet")
    datasets.Dataset.from_dict({"text": ["a"], "n": [1]}).to_parquet(tmp_path / "text.parquet")
    refused("has no column of images, but text, n", tmp_path / "text.parquet")
    two = rows().add_column("other", [contents(image) for image in IMAGES])
    two.rename_column("image", "photo").to_parquet(tmp_path / "two.parquet")
    refused("has several columns of images, photo, other; one of them must be called image", tmp_path / "two.parquet")
    rows(labels=[-1] * 20).to_parquet(tmp_path / "unlabelled.parquet")
    refused("the split 'train' has examples without a label", tmp_path / "unlabelled.parquet")
