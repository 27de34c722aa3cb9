"""A finished or interrupted run as an object.

run = jaxgen.open_run("runs/vae")
images = run.sample(16, seed=1)            # (16, h, w, c), in [-1, 1]
run.model, run.state, run.config, run.metrics, run.data
"""

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxgen.cli.config import Config, settings_of
from jaxgen.cli.data import Data
from jaxgen.cli.experiment import Experiment
from jaxgen.cli.folder import describe, read_record
from jaxgen.cli.sampling import Drawn
from jaxgen.data import Attribute, Dataset
from jaxgen.sharding import data_mesh
from jaxgen.training import Checkpoints, abstract_state, members, read_metrics
from jaxgen.types import State

__all__ = ["Run", "open_run", "read_run", "restore", "write_run"]

EARLIER = "experiments"  # the package of runs that were made before 0.2, whose records name only the experiment


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    path: Path
    """The folder."""
    experiment: Experiment
    """The experiment that made it."""
    config: Config
    """The settings of the run."""
    data: Dataset
    """The shapes, dtypes, classes and attributes of its data; it has no examples."""
    model: Any
    """The model, as the experiment builds it from the config."""
    states: Sequence[State]
    """The states of the members of a population; one for other runs."""
    step: int
    """The step of the states."""

    @property
    def state(self) -> State:
        """The state of the run, or of the first member of a population."""
        return self.states[0]

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The records of `metrics.jsonl`, in the order written."""
        return read_metrics(self.path)

    def member(self, index: int) -> State:
        """Returns the state of a population's member. ValueError where there is none of this number."""
        if not 0 <= index < len(self.states):
            raise ValueError(f"member {index}: this run's members are 0 to {len(self.states) - 1}")
        return self.states[index]

    def sample(self, n: int = 64, *, seed: int = 0, member: int = 0, **options: Any) -> Float[Array, "n ..."]:
        """Draws n samples in the model's domain, as the command `sample` does.

        Args:
            n: the number of samples. A conditional model without `labels` gives whole rows, one for each class. A model
                from images to images gives n rows: test images beside their translations.
            seed: the seed of the noise.
            member: the number of a population's member.
            options: fields of the experiment's `sampling`, such as `labels=(3, 7)`; others are the run's.

        Raises:
            ValueError: an option that this experiment does not have, or a value that it does not allow.
        """
        return self.draw(n, seed, member, **options).images

    def draw(self, n: int, seed: int = 0, member: int = 0, **options: Any) -> Drawn:
        """Draws samples as `sample` does, and tells how they stand in a grid."""
        sampling = self.experiment.sampling
        allowed = [field.name for field in dataclasses.fields(sampling)]
        if unknown := [name for name in options if name not in allowed]:
            raise ValueError(f"{unknown[0]}: {self.experiment.name} samples with {', '.join(allowed) or 'no options'}")
        if n < 1:
            raise ValueError(f"--n {n}: at least 1 is needed")
        chosen = dataclasses.replace(sampling.of(self.config), **options)
        return chosen.draw(self.model, self.member(member), jax.random.key(seed), n, self.load_data)

    def load_data(self) -> tuple[Data, Data]:
        """Reads the training and the test set of the run."""
        return self.experiment.load(self.config)


def open_run(path: str | Path, *, checkpoint: int | None = None, experiment: Experiment | None = None) -> Run:
    """Opens the folder of a run, wherever it is.

    Args:
        path: the folder.
        checkpoint: the step to restore; by default the newest good one.
        experiment: the experiment that made the run; by default it is imported from where the run's record says.

    Raises:
        ValueError: the folder is not one of a run, its experiment cannot be imported, or no checkpoint is good.
    """
    path = Path(path)
    experiment = _experiment_of(path) if experiment is None else experiment
    config, data = read_run(experiment, path)
    return restore(experiment, path, config, data, checkpoint)


def restore(experiment: Experiment, path: Path, config: Any, data: Data, checkpoint: int | None = None) -> Run:
    """Restores the run in `path` with the model that the experiment builds from `config` and `data`, on one device."""
    model = experiment.build(config, data)
    spec = {name: jax.ShapeDtypeStruct((1, *x.shape), x.dtype) for name, x in data.example.items()}
    population = config.seeds if config.seeds > 1 else None
    target = abstract_state(model, spec, data_mesh(1), population)
    state, step = Checkpoints(path / "checkpoints").restore(target, checkpoint)
    shapes = Dataset(
        {name: np.zeros((0, *x.shape), x.dtype) for name, x in data.example.items()},
        tuple(data.label_names),
        attributes=data.attributes,
    )
    return Run(path, experiment, config, shapes, model, members(state) if population else [state], step)


def write_run(experiment: Experiment, path: Path, config: Config, data: Data, extractor: str | None = None) -> None:
    """Writes the record of a run: its experiment, its settings, the shapes and classes of its data, and by which
    feature extractor its figures are."""
    record = {
        "experiment": experiment.name,
        "module": experiment.module,
        "file": str(Path(experiment.file).resolve()),
        "version": importlib.metadata.version("jaxgen"),
        "config": settings_of(config),
        "data": {
            "arrays": {name: [list(x.shape), str(x.dtype)] for name, x in data.example.items()},
            "label_names": list(data.label_names),
            "attributes": [dataclasses.asdict(attribute) for attribute in data.attributes],
        },
        "extractor": extractor,
    }
    describe(path, record)


def read_run(experiment: Experiment, path: Path, steps: int | None = None) -> tuple[Any, Dataset]:
    """Returns the config of a run, and a data set with the shapes of its data that has no examples.

    With `steps` the config is that of the run when it goes on to this number of steps: what an earlier version counted
    in steps, and is a share of them, then stays at its step. ValueError where the folder is not one of a run of this
    experiment.
    """
    record = read_record(path)
    if record["experiment"] != experiment.name:
        raise ValueError(f"{path} is a run of the experiment {record['experiment']}, not of {experiment.name}")
    kind = type(next(iter(experiment.presets.values())))
    try:
        described = record["data"]
        arrays = {k: np.zeros((0, *shape), dtype) for k, (shape, dtype) in described["arrays"].items()}
        attributes = tuple(
            Attribute(one["name"], tuple(one["values"]), one["set"]) for one in described.get("attributes", ())
        )
        data = Dataset(arrays, tuple(described["label_names"]), attributes=attributes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not readable as the settings of a run") from error
    try:
        return kind.read(record["config"] | ({} if steps is None else {"steps": steps})), data
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _experiment_of(path: Path) -> Experiment:
    """Imports the experiment that made a run: by the name of its module, or else from its file."""
    record = read_record(path)
    name, file = record["experiment"], record.get("file")
    module = record.get("module") if "module" in record else f"{EARLIER}.{name}"
    found = _imported(module) or (_from_file(Path(file), module) if file and Path(file).exists() else None)
    for value in vars(found).values() if found else ():
        if isinstance(value, Experiment) and value.name == name:
            return value
    where = module or file
    raise ValueError(f"{path}: its experiment {where} cannot be imported; pass open_run(..., experiment=...)")


def _imported(module: str | None) -> ModuleType | None:
    if module is None:
        return None
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            return None
        raise


def _from_file(file: Path, module: str | None) -> ModuleType | None:
    """The module of a script; one that is part of a package is imported as such."""
    if module is not None:
        root = file.parents[module.count(".")]
        sys.path.append(str(root))
        return _imported(module)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        return None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, loaded)  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded
