import io

import numpy as np
import pytest
from PIL import Image

from jaxgen.data.images import channels_of, resize, size_of, to_array


def picture(height=6, width=9, channels=3, seed=0, dtype=np.uint8):
    """Smooth colours with some noise, so that PNG's filters all have their turn."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width) + np.linspace(0, 40, height)[:, None]
    noisy = ramp[..., None] + rng.integers(0, 16, (height, width, channels)) * rng.integers(0, 2)
    return noisy.astype(dtype).squeeze()


def encoded(array_or_image, format="PNG", **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decoded(file, channels, size=None):
    return to_array(Image.open(io.BytesIO(file)), channels, size)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_lossless_formats_keep_every_pixel(format):
    colour = picture()
    np.testing.assert_array_equal(decoded(encoded(colour, format, lossless=True), 3), colour)


def test_grey_and_colour():
    grey, colour = picture(channels=1), picture()
    assert channels_of(Image.fromarray(grey)) == 1
    assert channels_of(Image.fromarray(colour)) == 3
    np.testing.assert_array_equal(decoded(encoded(grey), 1)[..., 0], grey)
    np.testing.assert_array_equal(decoded(encoded(grey), 3), np.repeat(grey[..., None], 3, -1))
    luma = colour @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(decoded(encoded(colour), 1)[..., 0], luma, atol=1)


def test_black_and_white_and_palette():
    bits = picture(channels=1) > 100
    assert channels_of(Image.fromarray(bits)) == 1
    np.testing.assert_array_equal(decoded(encoded(bits), 1)[..., 0], bits * 255)
    palette = Image.fromarray(picture()).quantize(256)
    assert channels_of(palette) == 3
    np.testing.assert_array_equal(decoded(encoded(palette), 3), np.asarray(palette.convert("RGB")))


def test_sixteen_bits_keep_the_high_byte():
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    file = encoded(deep)
    assert channels_of(Image.open(io.BytesIO(file))) == 1
    np.testing.assert_array_equal(decoded(file, 1)[..., 0], np.arange(256).reshape(16, 16))


def test_transparency_is_laid_on_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = (0, 255, 51)  # a fifth of (200, 0, 0) on white
    assert decoded(encoded(rgba), 3).tolist() == [[[255, 255, 255], [200, 0, 0], [244, 204, 204]]]
    grey = Image.fromarray(rgba[..., 0]).convert("LA")
    grey.putalpha(Image.fromarray(rgba[..., 3]))
    assert decoded(encoded(grey), 1)[..., 0].tolist() == [[255, 200, 244]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    assert decoded(encoded(palette, transparency=0), 3)[0, 0].tolist() == [255, 255, 255]


def test_a_camera_s_orientation_is_applied():
    upright = picture(8, 12)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned to the left
    file = encoded(Image.fromarray(np.rot90(upright).copy()), exif=exif.tobytes())
    assert size_of(Image.open(io.BytesIO(file))) == (8, 12)
    np.testing.assert_array_equal(decoded(file, 3), upright)


def test_resizing_crops_the_middle_and_averages():
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 90
    np.testing.assert_allclose(decoded(encoded(wide), 1, 5), 90, atol=7)  # the sides are gone
    checks = np.indices((64, 64)).sum(0) % 2 * 200
    small = decoded(encoded(checks.astype(np.uint8)), 1, 8)
    np.testing.assert_allclose(small, 100, atol=4)  # antialiased: neither all 0 nor all 200


def test_a_stack_is_resized_image_by_image():
    stack = np.stack([picture(8, 8, 1, seed)[..., None] for seed in range(3)])
    assert resize(stack) is stack
    assert resize(stack, 8, 1) is stack
    assert resize(stack, 16).shape == (3, 16, 16, 1)
    np.testing.assert_array_equal(resize(stack, None, 3), np.repeat(stack, 3, -1))
    assert resize(stack[:, :4], 4).shape == (3, 4, 4, 1)
