import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.arrays import check_labels, to_images
from jaxgen.pixels import normalise, to_uint8


def test_uint8_passes_and_gets_a_channel_axis():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)
    assert to_images(image) is image
    np.testing.assert_array_equal(to_images(image[..., 0]), image[..., :1])
    wide = to_images(image.astype(np.int64))
    assert wide.dtype == np.uint8
    np.testing.assert_array_equal(wide, image)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_become_what_models_see(dtype):
    """The same picture in each form is the same to a model."""
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 1), np.uint8)
    seen = normalise(image)
    tolerance = 2e-3 if dtype == np.float16 else 1e-6
    for values, given in (("unit", image / 255), ("symmetric", (image - 127.5) / 127.5)):
        found = to_images(given.astype(dtype), values)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, seen, atol=tolerance)
        if dtype != np.float16:
            quantised = to_images(given.astype(dtype), values, quantise=True)
            assert quantised.dtype == np.uint8
            np.testing.assert_array_equal(quantised, image)


def test_quantising_rounds_as_samples_are_rounded():
    image = np.random.default_rng(0).uniform(-1, 1, (50, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(to_images(image, "symmetric", quantise=True), to_uint8(jnp.array(image)))


def test_zeros_and_ones_are_in_the_unit_interval():
    bits = np.random.default_rng(0).integers(0, 2, (3, 4, 4))
    for given in (bits, bits.astype(bool), bits.astype(np.uint8)):
        np.testing.assert_array_equal(to_images(given, "unit")[..., 0], 2 * bits - 1)


@pytest.mark.parametrize(
    ("shape", "dtype", "fill", "values", "message"),
    [
        (
            (5, 3, 32, 32),
            np.uint8,
            0,
            "uint8",
            r"\(5, 3, 32, 32\), .* channels first \(NCHW\); .*np.moveaxis",
        ),
        ((5, 1, 28, 28), np.uint8, 0, "uint8", r"looks like channels first"),
        ((5, 784), np.uint8, 0, "uint8", r"shape \(5, 784\); needed is \(n, h, w\) or \(n, h, w, c\)"),
        ((5, 8, 8), np.float32, 0, "uint8", r"are float32: say values='unit' for \[0, 1\] or values='symmetric'"),
        ((5, 8, 8), np.float32, 255, "unit", r"values from 255 to 255; values='unit' allows 0 to 1"),
        ((5, 8, 8), np.float32, -1, "unit", r"values from -1 to -1"),
        ((5, 8, 8), np.float32, 1.5, "symmetric", r"values from 1.5 to 1.5; values='symmetric' allows -1 to 1"),
        ((5, 8, 8), np.float32, np.nan, "symmetric", r"values from nan to nan"),
        ((5, 8, 8), np.int32, 256, "uint8", r"values from 256 to 256; values='uint8' allows 0 to 255"),
        ((5, 8, 8), np.uint8, 0, "bytes", r"values='bytes'; allowed are 'uint8', 'unit' .* and 'symmetric'"),
        ((5, 8, 8), "U1", "a", "uint8", r"are <U1; needed are numbers"),
    ],
)
def test_what_is_refused(shape, dtype, fill, values, message):
    with pytest.raises(ValueError, match=message) as error:
        to_images(np.full(shape, fill, dtype), values)
    assert "\n" not in str(error.value)


def test_labels():
    label, names = check_labels(np.array([2, 0, 1, 2], np.uint8), 4)
    assert (label.dtype, names) == (np.int32, ("0", "1", "2"))
    assert check_labels([0, 1], 2, ("cat", "dog", "bird"))[1] == ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([0, 1], "are 2, but the images are 3"),
        ([0.0, 1.0, 2.0], r"are float64 of shape \(3,\); needed is one integer for each image, \(3,\)"),
        ([[1, 0], [0, 1], [1, 0]], r"of shape \(3, 2\)"),
        ([1, -1, 0], "begin at -1; the classes are counted from 0"),
        ([1, 2, 0], "go up to 2, but there are 2 label_names: 0 to 1"),
        (["a", "b", "a"], "are <U1"),
    ],
)
def test_labels_that_are_refused(label, message):
    with pytest.raises(ValueError, match=message) as error:
        check_labels(label, 3, ("cat", "dog"))
    assert "\n" not in str(error.value)
