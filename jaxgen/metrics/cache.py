"""What the metrics compute once and keep in the user's cache folder, by the content of what it was computed from."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Array

__all__ = ["cache_path", "content_digest", "keep"]


def content_digest(settings: str, batches: Iterable[Mapping[str, np.ndarray | Array]]) -> str:
    """32 hexadecimal digits of the settings and of all arrays: their names, dtypes, shapes and bytes."""
    digest = hashlib.sha256(settings.encode())
    for batch in batches:
        for name, array in sorted(batch.items()):
            array = np.ascontiguousarray(array)
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:32]


def cache_path(kind: str, name: str) -> Path:
    """The file `name` among those of its kind, in $XDG_CACHE_HOME or ~/.cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "jaxgen" / kind / name


def keep(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all, whatever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
