"""The command `diagnose`: tells what fails in the training of a GAN."""

import numpy as np

from jaxgen.cli.experiment import Experiment
from jaxgen.cli.flags import parse
from jaxgen.cli.opened import OnRun
from jaxgen.evaluation import diagnosis
from jaxgen.evaluation.game import game_eigenvalues
from jaxgen.evaluation.pictures import draw_diagnosis
from jaxgen.training import read_metrics

__all__ = ["diagnose"]


def diagnose(experiment: Experiment, args: list[str]) -> None:
    """Tells what fails in a run and by what it shows, for small players with the eigenvalues of their game; writes
    diagnosis.png into the run folder."""
    if not experiment.diagnosed:
        raise ValueError(f"{experiment.name}: only the training of a GAN is diagnosed")
    flags = parse(OnRun, args, f"{experiment.program} diagnose", diagnose.__doc__ or "")
    run = flags.open(experiment)
    if run.config.seeds > 1:
        raise ValueError(
            f"{run.path} is a population, whose metrics are means over {run.config.seeds} runs: diagnose a single run"
        )
    training, test = run.load_data()
    figures = experiment.evaluator(run.config, run.model, training, test)(run.state).figures
    records = [*read_metrics(run.path), {"step": run.step, **figures}]
    batch = training.batch(np.arange(run.config.batch_size * run.model.minibatches) % len(training))
    try:
        eigenvalues, note = game_eigenvalues(run.model, run.state, batch), ""
    except ValueError as too_large:
        eigenvalues, note = None, f"note      {too_large}\n"
    found = diagnosis.diagnose(records, training.label_names, eigenvalues)
    draw_diagnosis(run.path / "diagnosis.png", records, found, eigenvalues)
    print(f"{found}\n{note}", end="")
    print(f"figure    {run.path / 'diagnosis.png'}")
