"""The fast PNG path against Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxgen.data.images import to_array
from jaxgen.data.png import decode_pngs


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


def by_pillow(file, channels):
    return to_array(Image.open(io.BytesIO(file)), channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_many_pngs_at_once_equal_pillow(channels):
    pictures = [picture(11, 13, channels, seed) for seed in range(40)]
    np.testing.assert_array_equal(decode_pngs([encoded(p) for p in pictures]).squeeze(), pictures)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_png_filter_on_random_lines(channels):
    """Files made here, with each filter on each line, so that all borders are met; Pillow is the judge."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(20):
        lines = rng.integers(0, 256, (5, 1 + 7 * channels), np.uint8)
        lines[:, 0] = rng.permutation(5)
        header = struct.pack(">IIBBBBB", 7, 5, 8, 0 if channels == 1 else 2, 0, 0, 0)
        data = zlib.compress(lines.tobytes())
        chunks = [(b"IHDR", header), (b"IDAT", data[:9]), (b"IDAT", data[9:]), (b"IEND", b"")]
        packed = [
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        ]
        files.append(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    expected = np.stack([by_pillow(file, channels) for file in files])
    np.testing.assert_array_equal(decode_pngs(files), expected)


def test_other_files_are_left_to_pillow():
    grey = picture(channels=1)
    plain = encoded(grey)
    assert decode_pngs([plain, encoded(picture(7, 9, 1))]) is None  # two sizes
    assert decode_pngs([encoded(grey, "JPEG")]) is None
    assert decode_pngs([encoded(grey.astype(np.uint16))]) is None
    assert decode_pngs([encoded(picture(channels=4))]) is None
    assert decode_pngs([encoded(grey, transparency=3)]) is None
    assert decode_pngs([plain[:-30]]) is None
