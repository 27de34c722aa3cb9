"""Training: the loop, checkpoints, logs, populations. It draws no pictures and knows no command line."""

from jaxgen.sharding import data_mesh
from jaxgen.training.checkpoints import Checkpoints
from jaxgen.training.fit import Interrupted, NonFinite, abstract_state, fit
from jaxgen.training.logging import Logger, MetricLogger, as_json, read_metrics
from jaxgen.training.population import members, summary
from jaxgen.training.program import minibatches_of, phases_of

__all__ = [
    "Checkpoints",
    "Interrupted",
    "Logger",
    "MetricLogger",
    "NonFinite",
    "abstract_state",
    "as_json",
    "data_mesh",
    "fit",
    "members",
    "minibatches_of",
    "phases_of",
    "read_metrics",
    "summary",
]
