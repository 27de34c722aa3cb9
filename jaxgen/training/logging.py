"""The metrics of a run: `metrics.jsonl`, one JSON line a record, and TensorBoard events in `tensorboard/`."""

import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

__all__ = ["Logger", "read_metrics"]

FILE = "metrics.jsonl"


class Logger:
    """Writes the metrics of a run; without tensorboardX (GPU images often lack it) to `metrics.jsonl` alone.

    Args:
        folder: the run folder; made if it does not exist.
        resume_step: the step from which the run goes on. What was logged after it is dropped, so that going
            on writes nothing twice; 0 starts afresh.
    """

    def __init__(self, folder: str | Path, resume_step: int = 0):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        kept = [record for record in read_metrics(folder) if record["step"] <= resume_step] if resume_step else []
        temporary = folder / f"{FILE}.tmp"  # a kill at any moment leaves the old file or the new one
        temporary.write_text("".join(_line(record) for record in kept))
        os.replace(temporary, folder / FILE)
        self._file = (folder / FILE).open("a")
        self._board = _tensorboard(folder / "tensorboard", resume_step)

    def write(self, step: int, metrics: Mapping[str, Any], prefix: str = "") -> None:
        """Appends the record {"step": step, prefix + name: value, ...} and hands it to the operating system.

        NaN and infinities, which JSON lacks, are written as the strings "NaN", "Infinity", "-Infinity"
        (`read_metrics` gives floats back).
        """
        values = {prefix + name: float(value) for name, value in metrics.items()}
        self._file.write(_line({"step": int(step), **values}))
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if math.isfinite(value):  # tensorboardX writes a warning to the console for the others
                    self._board.add_scalar(name, value, step)
            self._board.flush()

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Shows a picture in TensorBoard; `metrics.jsonl` has no pictures."""
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats="HWC")
            self._board.flush()

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def __enter__(self) -> "Logger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """The records of a run in the order written; a last line torn by a kill is left out.

    Raises:
        ValueError: a line before the last is not a record.
    """
    path = Path(folder) / FILE
    lines = path.read_text(errors="replace").split("\n") if path.exists() else [""]
    records = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is nothing, or torn
        try:
            record = json.loads(line)
            step = int(record.pop("step"))
            records.append({"step": step, **{name: float(value) for name, value in record.items()}})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: not a record of metrics") from error
    return records


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps({name: as_json(value) for name, value in record.items()}, allow_nan=False) + "\n"


def as_json(value: int | float) -> int | float | str:
    """The value as standard JSON can hold it: NaN and the infinities as strings, which `float` reads back."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _tensorboard(folder: Path, resume_step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        warnings.warn("tensorboardX is not installed: metrics go to metrics.jsonl alone", stacklevel=3)
        return None
    # TensorBoard hides what earlier files hold from purge_step on. Files are named, and read in order, by the
    # second: without the suffix a run resumed within it would write over the file.
    return SummaryWriter(
        str(folder),
        purge_step=resume_step + 1 if resume_step else 0,
        filename_suffix=f".{time.time_ns()}",
    )
