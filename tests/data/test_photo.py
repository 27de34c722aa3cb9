import numpy as np
import pytest
from PIL import Image

from jaxgen.data import load


def test_photographs_and_their_patches():
    photo = load("photo:china")
    assert photo.arrays["image"].shape == (1, 427, 640, 3)
    train, test = (load("patches:photo:china", split, image_size=64).arrays["image"] for split in ("train", "test"))
    assert (train.shape, test.shape) == ((180, 64, 64, 3), (36, 64, 64, 3))
    np.testing.assert_array_equal(train[1], photo.arrays["image"][0, :64, 32:96])
    np.testing.assert_array_equal(test[0], photo.arrays["image"][0, :64, 512:576])
    whole = load("patches:photo:china", "all", image_size=64).arrays["image"]
    assert whole.shape == (12 * 19, 64, 64, 3)
    np.testing.assert_array_equal(whole[18], photo.arrays["image"][0, :64, 576:])
    with pytest.raises(ValueError, match="there is no photo 'rome'; allowed are china, flower"):
        load("photo:rome")
    with pytest.raises(ValueError, match="patches of 500 pixels, but the images have 427×512"):
        load("patches:photo:china", image_size=500)


def test_one_image_of_a_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for split in ("train", "test", "all"):
        np.testing.assert_array_equal(load(f"image:{tmp_path}/a.png", split).arrays["image"], [pixels])
    assert load(f"image:{tmp_path}/a.png", image_size=4, channels=1).example["image"].shape == (4, 4, 1)
    with pytest.raises(ValueError, match="has no split 'valid'"):
        load(f"image:{tmp_path}/a.png", "valid")
    with pytest.raises(ValueError, match=r"no.png cannot be read"):
        load(f"image:{tmp_path}/no.png")
