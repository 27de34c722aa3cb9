"""Training: the loop, checkpoints, logs, populations. It draws no pictures and knows no command line."""

from jaxgen.sharding import data_mesh
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.fit import Interrupted, NonFinite, abstract_state, fit
from jaxgen.training.logging import Logger, MetricLogger, read_metrics
from jaxgen.training.population import members, summary

__all__ = [
    "Checkpoints",
    "Interrupted",
    "Logger",
    "MetricLogger",
    "NonFinite",
    "abstract_state",
    "data_mesh",
    "fit",
    "members",
    "read_metrics",
    "summary",
]
