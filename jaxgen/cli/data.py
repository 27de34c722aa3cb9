"""The data of a run: what its config names, and whether other data fit it."""

import dataclasses
from typing import Any

from jaxgen.cli.config import Config
from jaxgen.data import Dataset, StreamedDataset, load

__all__ = ["Data", "check_data", "load_data"]

Data = Dataset | StreamedDataset


def load_data(config: Any) -> tuple[Data, Data]:
    """Reads the training and the test split of the config's source."""
    names = {"image_size", "channels", "flip", "jitter", "corrupt"} & {f.name for f in dataclasses.fields(config)}
    options = {name: getattr(config, name) for name in names}
    return load(config.source, "train", **options), load(config.source, "test", **options)


def check_data(config: Config, data: Data, trained_on: Data) -> None:
    """Raises ValueError where `data` has other shapes, classes or attributes than the run was trained on."""
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
