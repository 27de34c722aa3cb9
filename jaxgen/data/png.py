"""Decoding of many small PNG files at once, where Pillow spends its time on opening each."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

__all__ = ["decode_pngs"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {b"\x08\x00\x00\x00\x00": 1, b"\x08\x02\x00\x00\x00": 3}  # 8 bits, grey or RGB, not interlaced


def decode_pngs(files: Sequence[bytes]) -> UInt8[np.ndarray, "n h w c"] | None:
    """Returns the pixels of `files`, or None unless all are opaque 8-bit grey or RGB of one size."""
    headers = {file[:29] for file in files}
    header = next(iter(headers))
    channels = CHANNELS.get(header[24:])
    if len(headers) != 1 or not header.startswith(SIGNATURE) or channels is None:
        return None
    width, height = struct.unpack(">II", header[16:24])
    stride = width * channels
    try:
        raw = b"".join(zlib.decompress(_compressed(file)) for file in files)
    except (ValueError, zlib.error):
        return None
    if len(raw) != len(files) * height * (1 + stride):
        return None
    lines = np.frombuffer(raw, np.uint8).reshape(len(files), height, 1 + stride)
    return _unfilter(lines[..., 0], lines[..., 1:].reshape(len(files), height, width, channels))


def _compressed(file: bytes) -> bytes:
    """The contents of the IDAT chunks."""
    position, data = len(SIGNATURE), []
    while position < len(file):
        length, kind = struct.unpack_from(">I4s", file, position)
        if kind == b"tRNS":
            raise ValueError("transparent")
        if kind == b"IDAT":
            data.append(file[position + 8 : position + 8 + length])
        position += 12 + length
    return b"".join(data)


def _unfilter(filters: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """The pixels (n h w c), from the filter of each line (n h) and its differences (n h w c): section 9 of the PNG
    specification. All arithmetic is modulo 256, and pixels outside of the image are 0."""
    n, height, width, channels = deltas.shape
    pixels = np.zeros((n, height + 1, width + 1, channels), np.uint8)  # with a border above and on the left
    for y in range(height):
        above, line = pixels[:, y], pixels[:, y + 1]
        for kind in np.unique(filters[:, y]):
            chosen = np.flatnonzero(filters[:, y] == kind)
            delta, up = deltas[chosen, y], above[chosen]
            if kind == 0:
                out = delta
            elif kind == 1:  # the difference from the pixel on the left
                out = np.cumsum(delta, axis=1, dtype=np.uint8)
            elif kind == 2:  # from the pixel above
                out = delta + up[:, 1:]
            else:  # from the mean of both, or from the one that Paeth chooses: pixels depend on their left
                predict = _mean if kind == 3 else _paeth
                out = _sequential(delta, up, predict)
            line[chosen, 1:] = out
    return pixels[:, 1:, 1:]


def _sequential(delta, up, predict):
    # The pixel axis comes first, so that each step works on contiguous arrays; 16 bits keep sums from wrapping.
    delta, up = (np.ascontiguousarray(x.swapaxes(0, 1)).astype(np.int16) for x in (delta, up))
    out, left = np.empty_like(delta), np.zeros_like(up[0])
    for x in range(len(delta)):
        left = out[x] = (delta[x] + predict(left, up[x + 1], up[x])) & 255
    return out.swapaxes(0, 1)


def _mean(left, up, _):
    return (left + up) >> 1


def _paeth(left, up, corner):
    by_left, by_up = np.abs(up - corner), np.abs(left - corner)
    by_corner = np.abs(left + up - 2 * corner)
    return np.where((by_left <= by_up) & (by_left <= by_corner), left, np.where(by_up <= by_corner, up, corner))
