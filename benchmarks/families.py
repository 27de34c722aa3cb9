"""All families of generative models on MNIST, side by side: python -m benchmarks.families --run DIR

Each row is an experiment's preset with other flags, trained into DIR unless it is there. The budgets are a few minutes
on a GPU. A table is printed, with these columns:

parameters  the number of the model's parameters; a GAN counts only its generator's
FID etc.    figures of 10,000 samples against 10,000 training images, by a classifier of the data
bits/dim    the test set's, at 8 bits a pixel: exact given the noise of dequantisation (flow), a bound (VAE, diffusion)
training    the seconds of the training steps as logged: without compilation, checkpoints and evaluations
sampling    the seconds for 500 samples in one batch, compiled before

DIR/families.png shows samples.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.gans import Rows, draw, trained
from experiments import dcgan, diffusion, realnvp, vae, wgan_gp
from jaxgen.cli import open_run
from jaxgen.evaluation.classifier import classifier_extractor
from jaxgen.evaluation.features import real_features
from jaxgen.evaluation.samples import BATCH, SAMPLES, sampled
from jaxgen.metrics import features_of, sample_figures
from jaxgen.models import GAN

ROWS: Rows = {
    "VAE": (vae, "mnist --network conv --likelihood discretised_logistic --importance-samples 0"),
    "DCGAN": (dcgan, "mnist --steps 8000"),
    "WGAN-GP": (wgan_gp, "mnist --steps 6000 --generator-learning-rate 2e-4 --discriminator-learning-rate 2e-4"),
    "RealNVP": (realnvp, "mnist"),
    "diffusion": (diffusion, "mnist --batch-size 128 --steps 8000"),
}
SHARED = "--log-every 100 --eval-every 0"
FIGURES = ("parameters", "fid", "kid", "precision", "recall", "bits/dim", "training, s", "sampling, s")


def parameters(model: Any, state: Any) -> int:
    """Returns the number of parameters of the model; for a GAN, of its generator."""
    params = state.generator.params if isinstance(model, GAN) else state.params
    return sum(x.size for x in jax.tree.leaves(params))


def bits_per_dim(figures: dict[str, float], dimensions: int) -> float:
    """Returns bits per dimension from an experiment's figures of the test set; NaN where they have no likelihood."""
    if "test_elbo" in figures:
        return -figures["test_elbo"] / (dimensions * math.log(2))
    return figures.get("test_bits_per_dim", figures.get("bits_per_dim", math.nan))


def seconds_of_training(metrics: list[dict]) -> float:
    """Returns the seconds of the steps at the rates logged, or at their median where compilation left none."""
    records = [r for r in metrics if r["kind"] == "train"]
    steps = np.diff([0, *(r["step"] for r in records)])
    rates = np.array([r.get("steps_per_second", math.nan) for r in records])
    rates = np.where(np.isnan(rates), np.nanmedian(rates), rates)
    return float((steps / rates).sum())


def measure(folder: Path, figures_of: Callable) -> dict[str, float]:
    """Returns the row of a run; `figures_of` returns the figures of its samples."""
    run = open_run(folder)
    sample = partial(run.model.sample, **run.experiment.sampling.of(run.config).options())
    images = list(sampled(sample, run.state, SAMPLES, classes=run.model.classes))
    began = time.perf_counter()
    next(sampled(sample, run.state, BATCH, classes=run.model.classes))  # compiled by now
    seconds = time.perf_counter() - began
    last = [r for r in run.metrics if {"test_elbo", "test_bits_per_dim", "bits_per_dim"} & r.keys()]
    return figures_of(images) | {
        "parameters": parameters(run.model, run.state),
        "bits/dim": bits_per_dim(last[-1] if last else {}, images[0][0].size),
        "training, s": seconds_of_training(run.metrics),
        "sampling, s": seconds,
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--rows", nargs="+", help="some of the table's rows by name; default: all")
    options = parser.parse_args()
    if unknown := set(options.rows or ()) - ROWS.keys():
        parser.error(f"--rows {', '.join(unknown)}: there are {', '.join(ROWS)}")
    runs = trained({name: ROWS[name] for name in options.rows or ROWS}, SHARED, options.run)
    images, _ = open_run(next(iter(runs.values()))).load_data()
    reader = classifier_extractor(images)
    real = real_features(reader, images, SAMPLES)

    def figures_of(made):
        return sample_figures(reader, real, features_of(reader, made))

    print(f"| family | {' | '.join(FIGURES)} |\n|{'---|' * (1 + len(FIGURES))}")
    for name, folder in runs.items():
        row = measure(folder, figures_of)
        cells = [f"{row[key]:,.0f}" if key == "parameters" else f"{row[key]:.3g}" for key in FIGURES]
        print(f"| {name} | {' | '.join('' if cell == 'nan' else cell for cell in cells)} |", flush=True)
    draw(options.run / "families.png", "mnist", runs)


if __name__ == "__main__":
    main()
