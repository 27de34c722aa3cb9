"""What evaluations compute once and keep in the user's cache folder, under a digest of what it was computed from."""

import os
from pathlib import Path

__all__ = ["cache_path", "keep"]


def cache_path(kind: str, name: str) -> Path:
    """Returns the path of the file `name` among those of its kind, in $XDG_CACHE_HOME or ~/.cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "jaxgen" / kind / name


def keep(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all, even while another process writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
