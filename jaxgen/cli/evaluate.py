"""The command `evaluate`: computes the figures of a run on the test set."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Annotated, Any

from jaxgen.cli.config import Config, EvaluationOptions
from jaxgen.cli.data import check_data
from jaxgen.cli.experiment import Experiment
from jaxgen.cli.flags import parse
from jaxgen.cli.opened import OnRun, config_of
from jaxgen.cli.process import use_devices
from jaxgen.cli.report import figures_of, print_figures
from jaxgen.cli.run import read_run, restore
from jaxgen.training import as_json

__all__ = ["evaluate"]


def evaluate(experiment: Experiment, args: list[str]) -> None:
    """Computes the figures of a run on the test set; flags replace the run's settings, such as the source."""
    import tyro

    config = config_of(experiment, args)
    kind = options_of(type(config))
    default = kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})

    @dataclass(frozen=True)
    class Evaluate(OnRun):
        options: Annotated[kind, tyro.conf.arg(name="")] = default  # pyright: ignore[reportInvalidTypeForm]

    flags = parse(Evaluate, args, f"{experiment.program} evaluate", evaluate.__doc__ or "")
    _, trained_on = read_run(experiment, flags.run)
    config = dataclasses.replace(config, **{f.name: getattr(flags.options, f.name) for f in dataclasses.fields(kind)})
    use_devices(config)
    data = experiment.load(config)
    check_data(config, data[0], trained_on)
    run = restore(experiment, flags.run, config, data[0], flags.checkpoint)
    evaluator = experiment.evaluator(config, run.model, *data)
    evaluations = [evaluator(state) for state in run.states]
    figures = figures_of(evaluations)
    record = {"step": run.step, "extractor": evaluations[0].extractor}
    record |= {name: as_json(value) for name, value in figures.items()}
    (flags.run / "evaluation.json").write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
    print(f"step {run.step}")
    print_figures(figures)


def options_of(config: type[Config]) -> Any:
    """Returns a dataclass of those settings of a config that evaluation uses: its `EvaluationOptions`."""
    groups = [kind for kind in config.__mro__ if issubclass(kind, EvaluationOptions) and not issubclass(kind, Config)]
    return dataclass(frozen=True)(type("Options", tuple(groups), {"__doc__": "The settings that evaluation uses."}))
