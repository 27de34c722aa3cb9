"""The folder of a run and its lifecycle: made afresh, continued or overwritten, and described by `config.json`.

Commands that train and scripts that study several runs use the same three functions: `claim` says whether the folder
may be used and what it holds, `begin` empties it, `describe` writes its record.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RECORD", "begin", "check_same", "claim", "describe", "read_record"]

RECORD = "config.json"
STUDY = "study.json"  # the record that scripts wrote before 0.2

# What may differ when a run goes on: how long it takes and what it reports, not what it computes.
FREE_ON_RESUME = {"steps", "mesh", "log_every", "checkpoint_every", "eval_every", "eval_samples"}


def claim(run: Path, resume: bool, overwrite: bool, resumable: bool = True) -> dict[str, Any] | None:
    """Returns the record of the run that goes on, or None where a new one begins. Nothing on the disk changes.

    Raises:
        ValueError: the folder holds something and neither flag is given; both are; or `overwrite` is asked for a folder
            that is not one of a run.
    """
    if resume and overwrite:
        raise ValueError("--resume and --overwrite: choose one")
    known = (run / RECORD).exists() or (run / STUDY).exists()
    if resume and known:
        return read_record(run)
    if run.exists() and any(run.iterdir()):
        if not overwrite:
            raise ValueError(f"{run} exists: choose {'--resume, ' * resumable}--overwrite or another --run")
        if not known:
            raise ValueError(f"{run} is not the folder of a run (no {RECORD}): not overwritten")
    return None


def begin(run: Path, overwrite: bool) -> None:
    """Makes the folder; with `overwrite` it is emptied first."""
    if overwrite and run.exists():
        shutil.rmtree(run)
    run.mkdir(parents=True, exist_ok=True)


def describe(run: Path, record: Mapping[str, Any]) -> None:
    """Writes the record of the run, whole or not at all."""
    temporary = run / f"{RECORD}.tmp"
    temporary.write_text(json.dumps(record, indent=2, default=str) + "\n")
    os.replace(temporary, run / RECORD)


def read_record(run: Path) -> dict[str, Any]:
    """Returns what `describe` wrote. ValueError for a folder without a record, or one that is not readable."""
    path = next((run / name for name in (RECORD, STUDY) if (run / name).exists()), None)
    if path is None:
        raise ValueError(f"{run}: not the folder of a run (no {RECORD})")
    try:
        record = json.loads(path.read_text())
        if path.name == STUDY:
            record = {"experiment": record.pop("script").rpartition(".")[2], "config": record}
        if not isinstance(record["experiment"], str) or not isinstance(record["config"], dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not readable as the settings of a run") from error
    return record


def check_same(ours: Mapping[str, Any], theirs: Mapping[str, Any], run: Path) -> None:
    """Raises ValueError, naming the fields, where `ours` computes something else than the run's settings, `theirs`."""
    differing = [
        f"{name} is {theirs[name]}, not {ours[name]}"
        for name in ours
        if name not in FREE_ON_RESUME and ours[name] != theirs[name]
    ]
    if differing:
        raise ValueError(f"{run} was made with another configuration: {'; '.join(differing)}")
