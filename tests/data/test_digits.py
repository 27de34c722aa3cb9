import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxgen.data import load


def test_the_splits_part_the_digits():
    train, test = load("digits"), load("digits", "test")
    assert (len(train), len(test)) == (1_497, 300)
    assert train.label_names == tuple("0123456789")
    assert train.arrays["image"].dtype == np.uint8
    assert train.arrays["label"].dtype == np.int32
    parts = np.concatenate([train.arrays["image"], test.arrays["image"]]).reshape(1_797, 64)
    original = np.rint(load_digits().data * 255 / 16)
    np.testing.assert_array_equal(np.unique(parts, axis=0), np.unique(original, axis=0))
    counts = np.bincount(test.arrays["label"])
    assert counts.min() >= 29
    assert counts.max() <= 31


def test_the_labels_are_those_of_the_images():
    data, original = load("digits", "test"), load_digits()
    by_pixels = {
        row.tobytes(): label for row, label in zip(np.rint(original.data * 255 / 16), original.target, strict=True)
    }
    for image, label in zip(data.arrays["image"], data.arrays["label"], strict=True):
        assert by_pixels[image.reshape(64).astype(float).tobytes()] == label


@pytest.mark.parametrize("size", [8, 16, 32, 28])
def test_resized(size):
    small, large = load("digits"), load("digits", image_size=size, channels=3)
    assert large.example["image"].shape == (size, size, 3)
    np.testing.assert_array_equal(large.arrays["label"], small.arrays["label"])
    grey = large.arrays["image"][..., 0].astype(float)
    assert (large.arrays["image"] == large.arrays["image"][..., :1]).all()
    assert abs(grey.mean() - small.arrays["image"].mean()) < 6  # clipping at black adds a little


def test_unknown_split():
    with pytest.raises(ValueError, match="digits has no split 'valid'; allowed are 'train', 'test' and 'all'"):
        load("digits", "valid")
