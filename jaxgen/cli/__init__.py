"""The command line: configs, experiments, run folders, and one file for each command.

    experiment = Experiment(__file__, {"digits": MyConfig()}, build, evaluator, doc=__doc__)
    main(experiment)

`open_run` gives a run folder back as an object.
"""

from jaxgen.cli.config import Config, DataOptions, EvaluationOptions, MirrorOptions, SampleOptions, at_least, positive
from jaxgen.cli.experiment import Experiment, main
from jaxgen.cli.flags import flag_of, parse
from jaxgen.cli.opened import OnRun
from jaxgen.cli.run import Run, open_run
from jaxgen.cli.sampling import ByLabel, Drawn, Sampling
from jaxgen.cli.study import run_study

__all__ = [
    "ByLabel",
    "Config",
    "DataOptions",
    "Drawn",
    "EvaluationOptions",
    "Experiment",
    "MirrorOptions",
    "OnRun",
    "Run",
    "SampleOptions",
    "Sampling",
    "at_least",
    "flag_of",
    "main",
    "open_run",
    "parse",
    "positive",
    "run_study",
]
