"""Digests of arrays, which name what a figure or a kept file was computed from."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Array

__all__ = ["content_digest"]


def content_digest(settings: str, batches: Iterable[Mapping[str, np.ndarray | Array]]) -> str:
    """Returns 32 hexadecimal digits that depend on the settings and on the names, dtypes, shapes and bytes of all
    arrays."""
    digest = hashlib.sha256(settings.encode())
    for batch in batches:
        for name, array in sorted(batch.items()):
            array = np.ascontiguousarray(array)
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:32]
