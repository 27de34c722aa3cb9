import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.data.splits import hold_out

rng = np.random.default_rng(0)
IMAGE = rng.integers(0, 256, (30, 6, 5), np.uint8)
LABEL = np.arange(30) % 4


def test_one_array_is_cut_as_a_folder_is(tmp_path):
    np.savez(tmp_path / "a.npz", image=IMAGE, label=LABEL)
    parts = {split: load(f"npz:{tmp_path}/a.npz", split) for split in ("train", "test", "all")}
    for split, data in parts.items():
        rows = hold_out(30, split)
        np.testing.assert_array_equal(data.arrays["image"], IMAGE[rows][..., None])
        np.testing.assert_array_equal(data.arrays["label"], LABEL[rows])
        assert data.arrays["label"].dtype == np.int32
        assert (data.label_names, data.name) == (("0", "1", "2", "3"), f"npz:{tmp_path}/a.npz")
    assert (len(parts["train"]), len(parts["test"])) == (27, 3)


def test_the_form_of_keras(tmp_path):
    np.savez_compressed(
        tmp_path / "mnist.npz", x_train=IMAGE[:20], y_train=LABEL[:20], x_test=IMAGE[20:], y_test=LABEL[20:] % 2
    )
    train, test, both = (load(f"npz:{tmp_path}/mnist.npz", split) for split in ("train", "test", "all"))
    np.testing.assert_array_equal(train.arrays["image"][..., 0], IMAGE[:20])
    np.testing.assert_array_equal(test.arrays["image"][..., 0], IMAGE[20:])
    np.testing.assert_array_equal(both.arrays["image"][..., 0], IMAGE)
    np.testing.assert_array_equal(both.arrays["label"], [*train.arrays["label"], *test.arrays["label"]])
    assert train.classes == test.classes == 4  # though the test images have two of them


def test_only_training_images_are_cut(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=IMAGE)
    assert [len(load(f"npz:{tmp_path}/a.npz", split)) for split in ("train", "test", "all")] == [27, 3, 30]
    assert load(f"npz:{tmp_path}/a.npz").classes == 0


def test_floats_and_names_and_sizes(tmp_path):
    np.savez(tmp_path / "a.npz", image=IMAGE / 255, label=LABEL, label_names=list("abcd"))
    data = load(f"npz:{tmp_path}/a.npz@unit", "all")
    np.testing.assert_allclose(data.arrays["image"][..., 0], IMAGE / 127.5 - 1, atol=1e-6)
    assert (data.arrays["image"].dtype, data.label_names) == (np.float32, tuple("abcd"))
    with pytest.raises(ValueError, match=r"only uint8 images can be resized .* these are float32"):
        load(f"npz:{tmp_path}/a.npz@unit", image_size=8)
    np.savez(tmp_path / "b.npz", image=IMAGE)
    assert load(f"npz:{tmp_path}/b.npz", image_size=8, channels=3).example["image"].shape == (8, 8, 3)


def test_what_is_refused(tmp_path):
    def refused(message, file="a.npz", split="train", **arrays):
        if arrays:
            np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=message) as error:
            load(f"npz:{tmp_path}/{file}", split)
        assert "\n" not in str(error.value)

    refused("there is no such file", "nowhere.npz")
    refused("has no array 'image' or 'x_train', but pixels", pixels=IMAGE)
    refused("has no split 'valid'; allowed are 'train', 'test' and 'all'", split="valid", image=IMAGE)
    refused("are float64: say values='unit'", image=IMAGE / 255)
    refused("values='half'; allowed are", "a.npz@half")
    refused("labels are 29, but the images are 30", image=IMAGE, label=LABEL[:29])
    refused("looks like channels first", image=np.zeros((4, 3, 8, 8), np.uint8))
    refused(r"shapes \(4, 4, 1\) and \(6, 5, 1\)", x_train=IMAGE, x_test=np.zeros((4, 4, 4), np.uint8))
    refused("only one of y_train and y_test", x_train=IMAGE, x_test=IMAGE, y_train=LABEL)
    refused("has no images in the split 'test'", split="test", image=IMAGE[:1])
    refused("cannot be read as .npz", image=np.array([{}], object))
    (tmp_path / "b.npz").write_bytes(b"no archive")
    refused("cannot be read as .npz", "b.npz")
    np.save(tmp_path / "c.npy", IMAGE)
    refused("cannot be read as .npz", "c.npy")
