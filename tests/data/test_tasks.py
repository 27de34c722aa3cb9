import numpy as np
import pytest
from PIL import Image

from jaxgen.data import load
from jaxgen.data.tasks import edges, outline


def test_outline_is_the_border_of_the_filled_shape():
    image = np.zeros((1, 7, 7, 1), np.uint8)
    image[0, 1:6, 2:7] = 200  # touches the right side
    line, filled = outline(image)
    wanted = np.zeros((7, 7), int)
    wanted[1:6, 2:7] = 255
    np.testing.assert_array_equal(filled[0, ..., 0], wanted)
    wanted[2:5, 3:6] = 0
    np.testing.assert_array_equal(line[0, ..., 0], wanted)


def test_edges_are_where_the_image_is_steep():
    image = np.zeros((2, 8, 8, 3), np.uint8)
    image[0, :, 4:] = 255
    image[1] = np.random.default_rng(0).integers(100, 104, (8, 8, 3))  # noise of a clear sky
    found, same = edges(image)
    assert same is image
    assert (found[0, :, 3:5] == 255).all() and found[0].sum() == 2 * 8 * 255
    assert not found[1].any()


def test_pairs_of_any_source(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((4, 4, 3), (10 * i, 0, 200), np.uint8)).save(tmp_path / f"{i}.png")
    for task, channels in (("grey", 1), ("edges", 1)):
        data = load(f"{task}:folder:{tmp_path}")
        assert data.example["source"].shape == (4, 4, channels) and data.example["target"].shape == (4, 4, 3)
    data = load("outline:digits", image_size=16)
    assert set(data.arrays) == {"source", "target", "label"} and data.classes == 10
    with pytest.raises(ValueError, match="edges:ring: a source of images that fit in memory is needed"):
        load("edges:ring")


def test_tinted_digits_are_ink_on_paper():
    train, test = load("tint:digits", image_size=8), load("tint:digits", "test", image_size=8)
    assert train.unpaired and [len(train.arrays[name]) for name in "ab"] == [749, 748]
    assert not test.unpaired
    a, b = (test.arrays[name].astype(float) for name in "ab")
    bright = a[..., :1] / 255
    np.testing.assert_allclose(b, [255, 220, 90] + bright * ([-215, -190, 50] * np.ones(3)), atol=0.5)
    digits = load("digits", "test", image_size=8).arrays["image"]
    np.testing.assert_array_equal(test.arrays["a"], digits.repeat(3, axis=-1))
