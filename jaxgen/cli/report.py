"""The command `report`: draws the pictures of a run, and a page that shows them with its settings and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jaxgen.cli.config import settings_of
from jaxgen.cli.experiment import Experiment
from jaxgen.cli.flags import parse
from jaxgen.cli.opened import OnRun
from jaxgen.cli.sampling import Drawn
from jaxgen.evaluation import Evaluation
from jaxgen.pixels import to_uint8
from jaxgen.report import draw_samples, image_grid, pictures_of, plot_curves, save_image, write_page
from jaxgen.training import read_metrics, summary
from jaxgen.types import State

__all__ = ["draw_report", "figures_of", "picture_of", "print_figures", "report"]


def report(experiment: Experiment, args: list[str]) -> None:
    """Draws the pictures of a run, and a page that shows them with the settings and the figures."""
    flags = parse(OnRun, args, f"{experiment.program} report", report.__doc__ or "")
    run = flags.open(experiment)
    data = run.load_data()
    evaluator = experiment.evaluator(run.config, run.model, *data)
    figures = figures_of([evaluator(state) for state in run.states])
    draw_report(experiment, run.path, run.config, run.model, run.state, data, figures)


def draw_report(
    experiment: Experiment,
    run: Path,
    config: Any,
    model: Any,
    state: State,
    data: tuple[Any, Any],
    figures: Mapping[str, float],
) -> None:
    """Writes the pictures and the page of a run, and prints its figures, where the pictures are and what to do next.

    `data` is the training and the test set.
    """
    save_image(run / "samples.png", picture_of(experiment.sampling.of(config).picture(model, lambda: data)(state)))
    if experiment.pictures:
        experiment.pictures(config, model, state, *data, run)
    plot_curves(run / "curves.png", read_metrics(run))
    write_page(run, f"{experiment.name}, step {int(state.step)}", settings_of(config), figures)
    print_figures(figures)
    print(f"pictures  {run}/ {' '.join(path.name for path in pictures_of(run))} report.html")
    if config.steps:  # a run without took the steps of its phases, and is complete
        print(f"go on     {experiment.program} --run {run} --resume --steps {2 * int(state.step)}")
    print(f"sample    {experiment.program} sample --run {run} --n 64 --out grid.png")


def picture_of(made: Drawn) -> UInt8[np.ndarray, "h w c"]:
    """Returns the grid of samples; points are drawn as a scatter, and one image stands by itself, pixel for pixel."""
    if made.images.ndim == 4 and len(made.images) == 1:
        return np.asarray(to_uint8(jnp.asarray(made.images[0])))
    if made.names:
        return image_grid(made.images, made.columns, smallest=64, names=made.names)
    return draw_samples(made.images, made.columns)


def figures_of(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """Returns the figures of a run, of a population as means and standard deviations, and the counts behind them."""
    return summary([one.figures for one in evaluations]) | dict(evaluations[0].counts)


def print_figures(figures: Mapping[str, float]) -> None:
    """Prints one figure a line."""
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):32} {value if isinstance(value, int) else f'{value:.4g}'}")
