import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset, load, mirror

SHARED = Path(__file__).parents[3] / "shared" / "tfds"


@pytest.fixture(scope="module")
def train():
    return load("stacked-digits")


def test_a_thousand_classes_in_equal_parts(train):
    assert isinstance(train, Dataset)
    assert (len(train), train.name, train.classes) == (128_000, "stacked-digits", 1000)
    assert train.label_names[::321] == ("000", "321", "642", "963")
    assert train.example["image"].shape == (8, 8, 3)
    assert (train.arrays["image"].dtype, train.arrays["label"].dtype) == (np.uint8, np.int32)
    share = np.bincount(load("digits").arrays["label"]) / len(load("digits"))
    expected = 128_000 * np.einsum("i,j,k->ijk", share, share, share).ravel()  # drawn independently
    counts = np.bincount(train.arrays["label"], minlength=1000)
    assert abs(((counts - expected) ** 2 / expected).sum() - 999) < 5 * (2 * 999) ** 0.5  # chi-squared


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_channel_shows_the_digit_of_the_label(train, split):
    """Looked up among the digits of the same split by their pixels."""
    data, digits = train if split == "train" else load("stacked-digits", "test"), load("digits", split)
    assert len(data) == {"train": 128_000, "test": 10_000}[split]
    by_pixels = {image.tobytes(): label for image, label in zip(*digits.arrays.values(), strict=True)}
    for image, label in zip(data.arrays["image"][:3000], data.arrays["label"], strict=False):
        red, green, blue = (by_pixels[image[..., channel].tobytes()] for channel in range(3))
        assert label == 100 * red + 10 * green + blue


def test_the_same_always(train):
    assert train.arrays["label"][:6].tolist() == [301, 658, 938, 156, 619, 626]
    again = load("stacked-digits:digits")
    np.testing.assert_array_equal(again.arrays["image"], train.arrays["image"])
    np.testing.assert_array_equal(again.arrays["label"], train.arrays["label"])
    assert again.name == "stacked-digits:digits"


def test_options_pass_through():
    data, digits = load("stacked-digits", "test", image_size=12, channels=3), load("digits", "test", image_size=12)
    assert data.example["image"].shape == (12, 12, 3)
    known = {image.tobytes() for image in digits.arrays["image"]}
    assert all(image[..., 1].tobytes() in known for image in data.arrays["image"][:100])


def folder(path, classes, shape=(4, 4)):
    for i in range(classes):
        for split in ("train", "test"):
            (path / split / f"class{i}").mkdir(parents=True)
            Image.fromarray(np.full(shape, 20 * i, np.uint8)).save(path / split / f"class{i}" / "a.png")
    return f"stacked-digits:folder:{path}"


def test_any_grey_source_of_ten_classes(tmp_path):
    data = load(folder(tmp_path, 10), "test", flip=True)
    assert data.augment is mirror
    value = data.arrays["image"][:, 0, 0].astype(np.int32) // 20
    np.testing.assert_array_equal(data.arrays["label"], value @ [100, 10, 1])


def test_unfit_sources(tmp_path):
    def refused(message, source, *args, **options):
        with pytest.raises(ValueError, match=message):
            load(source, *args, **options)

    refused("stacked-digits has no split 'train.:9.'; allowed are 'train' and 'test'", "stacked-digits", "train[:9]")
    refused("stacked-digits has 3 channels, a digit in each; 1 channel is not possible", "stacked-digits", channels=1)
    refused("the image size is 0", "stacked-digits", image_size=0)
    refused("unknown source 'mnist'", "stacked-digits:mnist")
    refused("unknown source 'stacked-digits:'", "stacked-digits:")
    refused(r"grey images of 10 classes needed; ring has shape \(2,\) and 8 classes", "stacked-digits:ring")
    refused(r"needed; stacked-digits has shape \(8, 8, 3\) and 1000 classes", "stacked-digits:stacked-digits")
    refused(r"folder:.* has shape \(4, 4, 1\) and 3 classes", folder(tmp_path / "few", 3))
    refused(r"folder:.* has shape \(4, 4, 3\) and 10 classes", folder(tmp_path / "rgb", 10, (4, 4, 3)))
    too_large = "128000 images of 4×4 pixels exceed 99 bytes of memory"
    refused(too_large, folder(tmp_path / "grey", 10), memory_limit=99)  # the source itself is streamed
    refused(too_large.replace("99", "6143999"), f"stacked-digits:folder:{tmp_path}/grey", memory_limit=6_143_999)


def test_stacked_mnist(monkeypatch):
    data_dir = os.environ.get("TFDS_DATA_DIR", str(SHARED))
    if not Path(data_dir, "mnist").exists():
        pytest.skip("no MNIST here")
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    data, digits = load("stacked-digits:tfds:mnist", "test"), load("tfds:mnist", "test")
    by_pixels = {image.tobytes(): label for image, label in zip(*digits.arrays.values(), strict=True)}
    for image, label in zip(data.arrays["image"][:300], data.arrays["label"], strict=False):
        assert label == sum(10 ** (2 - c) * by_pixels[image[..., c].tobytes()] for c in range(3))
