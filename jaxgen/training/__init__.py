"""Training: the loop, checkpoints, logs, the mesh."""

from jaxgen.sharding import data_mesh
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.fit import Interrupted, NonFinite, abstract_state, fit
from jaxgen.training.logging import Logger, read_metrics
from jaxgen.training.population import members, summary

__all__ = [
    "Checkpoints",
    "Interrupted",
    "Logger",
    "NonFinite",
    "abstract_state",
    "data_mesh",
    "fit",
    "members",
    "read_metrics",
    "summary",
]
