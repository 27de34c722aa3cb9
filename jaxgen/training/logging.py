"""The metrics of a run: `metrics.jsonl`, TensorBoard events in `tensorboard/`, pictures in `samples/`, and the loggers
of others."""

import json
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

__all__ = ["Kind", "Logger", "MetricLogger", "as_json", "as_logger", "read_metrics"]

FILE = "metrics.jsonl"

Kind = Literal["train", "evaluation"]
"""What a record of `metrics.jsonl` holds: the means of the metrics of training steps, or the figures of a state."""


@runtime_checkable
class MetricLogger(Protocol):
    """What `jaxgen.fit` reports to besides the run folder: Weights & Biases, MLflow, trackio, or anything else.

        class WandB:
            def __init__(self, **settings) -> None:
                self.run = wandb.init(**settings)

            def write(self, step, metrics):
                self.run.log(dict(metrics), step=step)

            def image(self, name, step, image):
                self.run.log({name: wandb.Image(image)}, step=step)

        jaxgen.fit(model, data, steps=1000, batch_size=64, logger=WandB(project="digits"))

    For trackio, write `trackio` in place of `wandb`. For MLflow, `write` calls
    `mlflow.log_metrics(dict(metrics), step)` and `image` calls `mlflow.log_image(image, key=name, step=step)`.
    Only the first of several processes calls a logger. A resumed run reports the steps after its last checkpoint again.
    """

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the metrics of training up to `step`, or the figures of the state after `step`."""
        ...

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Takes a picture of the state after `step`; its name is `samples`."""
        ...


@dataclass(frozen=True)
class _FunctionLogger:
    """A function of a step and metrics as a logger that has no use for pictures."""

    function: Callable[[int, Mapping[str, float]], None]

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self.function(step, metrics)

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None:
        pass


def as_logger(logger: MetricLogger | Callable[[int, Mapping[str, float]], None]) -> MetricLogger:
    """Returns `logger` itself, or of a function `(step, metrics) -> None` a logger that calls it.

    Raises:
        ValueError: `logger` is neither.
    """
    if isinstance(logger, MetricLogger):
        return logger
    if callable(logger):
        return _FunctionLogger(logger)
    raise ValueError(
        f"logger of type {type(logger).__name__}: the methods write(step, metrics) and image(name, step, image) are "
        "needed, or a function (step, metrics)"
    )


class Logger:
    """Writes the metrics and pictures of a run into its folder. It is itself a `MetricLogger`.

    Without tensorboardX (images for GPUs often lack it) there are no TensorBoard events.

    Args:
        folder: the run folder; made if it does not exist.
        resume_step: the step from which the run goes on. Records of later steps are dropped, so that going on writes
            nothing twice; 0 starts afresh.
    """

    def __init__(self, folder: str | Path, resume_step: int = 0) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = [record for record in read_metrics(folder) if record["step"] <= resume_step] if resume_step else []
        temporary = self._folder / f"{FILE}.tmp"  # a kill at any moment leaves the old file or the new one
        temporary.write_text("".join(_line(record) for record in kept))
        os.replace(temporary, self._folder / FILE)
        self._file = (self._folder / FILE).open("a")
        self._board = _tensorboard(self._folder / "tensorboard", resume_step)

    def write(self, step: int, metrics: Mapping[str, Any], kind: Kind = "train") -> None:
        """Appends the record `{"step": step, "kind": kind, name: value, ...}` and hands it to the operating system.

        NaN and infinities, which JSON lacks, are written as the strings "NaN", "Infinity", "-Infinity"
        (`read_metrics` gives floats back).

        Raises:
            ValueError: a metric is called `step` or `kind`.
        """
        if taken := {"step", "kind"} & metrics.keys():
            raise ValueError(f"a metric is called {taken.pop()!r}, which every record has already: rename the metric")
        values = {name: float(value) for name, value in metrics.items()}
        self._file.write(_line({"step": int(step), "kind": kind, **values}))
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if math.isfinite(value):  # tensorboardX writes a warning to the console for the others
                    self._board.add_scalar(name, value, step)
            self._board.flush()

    def image(self, name: str, step: int, image: UInt8[np.ndarray, "h w c"]) -> None:
        """Writes a picture of 1 or 3 channels as `<name>/<step>.png`, the step in eight digits, and shows it in
        TensorBoard."""
        path = self._folder / name / f"{step:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path, optimize=True)
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
    """Returns the records of a run in the order written, each with `step` (int), `kind` and its metrics (floats).

    A last line torn by a kill is left out. A record without `kind`, as earlier versions wrote it, is the evaluation if
    the record before it has the same step: each evaluation follows the metrics of training up to its step.

    Raises:
        ValueError: a line before the last is not a record.
    """
    path = Path(folder) / FILE
    lines = path.read_text(errors="replace").split("\n") if path.exists() else [""]
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last newline is nothing, or torn
        try:
            record = json.loads(line)
            step = int(record.pop("step"))
            inferred = "evaluation" if records and records[-1]["step"] == step else "train"
            if (kind := record.pop("kind", inferred)) not in get_args(Kind):
                raise ValueError(f"unknown kind {kind!r}")
            records.append({"step": step, "kind": kind, **{name: float(value) for name, value in record.items()}})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: not a record of metrics") from error
    return records


def _line(record: Mapping[str, Any]) -> str:
    values = {name: value if isinstance(value, str) else as_json(value) for name, value in record.items()}
    return json.dumps(values, allow_nan=False) + "\n"


def as_json(value: int | float) -> int | float | str:
    """Returns the value as standard JSON can hold it: NaN and the infinities as strings, which `float` reads back."""
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
