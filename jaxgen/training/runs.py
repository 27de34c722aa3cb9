"""The folder of a run: `config.json`, and how a model comes back from it."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.data import Attribute, Dataset
from jaxgen.sharding import data_mesh
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.fit import abstract_state
from jaxgen.training.population import members

__all__ = ["check_data", "check_same", "read_run", "restore_run", "settings_of", "write_run"]

# What may differ when a run goes on: how long it takes and what it reports, not what it computes.
FREE_ON_RESUME = ("steps", "mesh", "log_every", "checkpoint_every", "eval_every")


def write_run(experiment, run: Path, config, data, extractor: str | None = None) -> None:
    """Writes `config.json`: the experiment's name, its settings, the shapes and classes of its data, and by which
    feature extractor its figures are."""
    described = {
        "experiment": experiment.name,
        "config": settings_of(config),
        "data": {
            "arrays": {name: [list(x.shape), str(x.dtype)] for name, x in data.example.items()},
            "label_names": list(data.label_names),
            "attributes": [dataclasses.asdict(attribute) for attribute in data.attributes],
        },
        "extractor": extractor,
    }
    temporary = run / "config.json.tmp"
    temporary.write_text(json.dumps(described, indent=2) + "\n")
    os.replace(temporary, run / "config.json")


def read_run(experiment, run: Path) -> tuple[Any, Dataset]:
    """The config of a run, and a data set of the shapes of its data that has no examples."""
    path = run / "config.json"
    if not path.exists():
        raise ValueError(f"{run}: not the folder of a run (no config.json)")
    try:
        described = json.loads(path.read_text())
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in described["config"].items()}
        name, data = described["experiment"], described["data"]
        arrays = {k: np.zeros((0, *shape), dtype) for k, (shape, dtype) in data["arrays"].items()}
        labels = tuple(data["label_names"])
        attributes = tuple(
            Attribute(one["name"], tuple(one["values"]), one["set"]) for one in data.get("attributes", ())
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not readable as the settings of a run") from error
    if name != experiment.name:
        raise ValueError(f"{run} is a run of the experiment {name}, not of {experiment.name}")
    kind = type(next(iter(experiment.presets.values())))
    fields = {field.name for field in dataclasses.fields(kind)}
    if unknown := set(settings) - fields:
        raise ValueError(f"{path}: fields that this version does not have: {' '.join(sorted(unknown))}")
    return kind(**settings), Dataset(
        arrays, labels, attributes=attributes
    )  # a field that the run's version did not have is at its default


def check_data(config, data, trained_on: Dataset) -> None:
    """Raises ValueError where `data` has other shapes or another number of classes than the run was trained on."""
    if data.example != trained_on.example:
        found, wanted = (
            {name: (*x.shape, str(x.dtype)) for name, x in part.example.items()} for part in (data, trained_on)
        )
        raise ValueError(f"{config.source} has {found}, but the run was trained on {wanted}")
    if data.classes != trained_on.classes:
        raise ValueError(f"{config.source} has {data.classes} classes, but the run's data had {trained_on.classes}")
    if data.attributes != trained_on.attributes:
        found, wanted = (", ".join(c for one in part.attributes for c in one.columns) for part in (data, trained_on))
        raise ValueError(f"{config.source} has the attributes {found}, but the run's data had {wanted}")


def restore_run(experiment, run: Path, config, data, step: int | None):
    """The model of a run, the states of its members (one, but for a population) on one device, and their step."""
    model = experiment.build(config, data)
    spec = {name: jax.ShapeDtypeStruct((1, *x.shape), x.dtype) for name, x in data.example.items()}
    population = config.seeds if config.seeds > 1 else None
    target = abstract_state(model, spec, data_mesh(1), population)
    state, step = Checkpoints(run / "checkpoints").restore(target, step)
    return model, members(state) if population else [state], step


def settings_of(config) -> dict[str, Any]:
    """The fields of a config, as JSON keeps them."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def check_same(ours: Mapping[str, Any], theirs: Mapping[str, Any], run: Path) -> None:
    """Raises ValueError, naming the fields, where the settings `ours` go on with other computations than the run's,
    `theirs`."""
    differing = [
        f"{name} is {theirs[name]}, not {ours[name]}"
        for name in ours
        if name not in FREE_ON_RESUME and ours[name] != theirs[name]
    ]
    if differing:
        raise ValueError(f"{run} was made with another configuration: {'; '.join(differing)}")
