"""The GANs of the zoo side by side: python -m benchmarks.gans TABLE --run DIR

ring, grid      the modes covered, of 8 and of 25, by those of 2,500 samples that are within 3 standard deviations of a
                mode (Srivastava et al. 2017): two layers of 128 with ReLU or tanh, minibatches of 128, six seeds
stacked         the modes of stacked MNIST covered, of 1,000, by 26,000 samples that a classifier reads: narrow
                networks, the discriminator half as wide as the generator (Metz et al. 2017), half the steps if unrolled
mnist, cifar10  FID and the like of 10,000 samples against 10,000 training images, by a classifier of the data: narrow
                networks, fewer steps for the methods whose steps are slower

Each row is an experiment's preset with other flags, trained into DIR/TABLE unless it is there. A table of figures (±
standard deviations over the seeds) is printed; DIR/TABLE.png shows samples. The budgets are for a laptop.
"""

import argparse
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from experiments import dcgan, gan, lsgan, sngan, unrolled_gan, wgan, wgan_gp
from jaxgen.cli import main, open_run
from jaxgen.data import Mixture, toy_world
from jaxgen.evaluation.points import POINTS
from jaxgen.evaluation.samples import sampled
from jaxgen.report import image_grid
from jaxgen.training import read_metrics

Rows = dict[str, tuple[ModuleType, str]]
"""Rows by name: an experiment, and the words of its command line, a preset and flags."""

POINT_GANS: Rows = {
    "GAN": (gan, ""),
    "LSGAN": (gan, "--loss least_squares"),
    "GAN + R1": (gan, "--penalty r1 --penalty-weight 0.1"),
    "PacGAN2": (gan, "--packing 2"),
    "WGAN-GP": (wgan_gp, ""),
    "GAN, tanh": (gan, "--network points_tanh"),
    "PacGAN2, tanh": (gan, "--network points_tanh --packing 2"),
    "minimax GAN, tanh": (unrolled_gan, "--unroll 0"),
    "unrolled 5, tanh": (unrolled_gan, ""),
}
PLAIN = "--unroll 0 --loss non_saturating --discriminator-learning-rate 2e-4"
STACKED_GANS: Rows = {
    "DCGAN": (unrolled_gan, f"stacked {PLAIN}"),
    "unrolled 1": (unrolled_gan, "stacked --unroll 1 --steps 2500"),
    "unrolled 5": (unrolled_gan, "stacked --unroll 5 --steps 2500"),
    "unrolled 10": (unrolled_gan, "stacked --unroll 10 --steps 2500"),
    "PacGAN2": (unrolled_gan, f"stacked {PLAIN} --packing 2"),
    "WGAN-GP": (wgan_gp, "mnist --source stacked-digits:tfds:mnist --width 16 --discriminator-width 8"),
}
IMAGE_GANS: Rows = {
    "DCGAN": (dcgan, "--steps 6000"),
    "LSGAN": (lsgan, "--steps 6000"),
    # ten times the paper's rate, because 2,000 steps at 5e-5 lead nowhere
    "WGAN": (wgan, "--steps 2000 --generator-learning-rate 5e-4 --discriminator-learning-rate 5e-4"),
    "WGAN-GP": (wgan_gp, "--steps 1500"),
    "SN-GAN": (sngan, "--steps 1500 --width 16"),
}
CIFAR_GANS: Rows = {  # DCGAN's own networks: with the preset's `deep_conv` a step takes twenty times longer
    "DCGAN": (dcgan, "--steps 6000 --network dcgan --discriminator-steps 1"),
    "LSGAN": (lsgan, "--steps 6000 --network dcgan --discriminator-steps 1"),
    "WGAN": (wgan, f"{IMAGE_GANS['WGAN'][1]} --network dcgan"),
    "WGAN-GP": (wgan_gp, "--steps 1000 --network wgan_gp --generator-batch 1"),
    "SN-GAN": (sngan, "--steps 1000 --width 16 --discriminator-steps 2 --generator-batch 1"),
}


def on(preset: str, rows: Rows) -> Rows:
    """Returns the rows with the name of a preset before their flags."""
    return {name: (module, f"{preset} {flags}") for name, (module, flags) in rows.items()}


POINT_FLAGS = "--seeds 6 --steps 15000 --batch-size 128 --log-every 500"
IMAGE_FLAGS = "--width 32 --batch-size 64 --log-every 100"
COVERAGE, QUALITY = ("modes_covered", "high_quality", "reverse_kl"), ("fid", "kid", "precision", "recall")
TABLES: dict[str, tuple[Rows, str, tuple[str, ...]]] = {  # rows, flags that they share and may override, figures
    "ring": (on("ring", POINT_GANS), POINT_FLAGS, COVERAGE),
    "grid": (on("grid", POINT_GANS), POINT_FLAGS, COVERAGE),
    "stacked": (STACKED_GANS, "--batch-size 64 --steps 5000 --eval-every 2500", ("modes_covered", "reverse_kl")),
    "mnist": (on("mnist", IMAGE_GANS), IMAGE_FLAGS, QUALITY),
    "cifar10": (on("cifar10", CIFAR_GANS), IMAGE_FLAGS, QUALITY),
}


def cells(run: Path, figures: tuple[str, ...]) -> list[str]:
    """Returns the last figures of a run, as the cells of its row."""
    record = [r for r in read_metrics(run) if figures[0] in r][-1]
    spread = {name: f" ± {record[f'{name}_std']:.2g}" if f"{name}_std" in record else "" for name in figures}
    return [f"{record[name]:.3g}{spread[name]}" for name in figures]


def draw_points(axes: Axes, world: str, points: np.ndarray) -> None:
    """Draws points (n, 2) in front of those of the true distribution."""
    truth = toy_world(world)
    assert isinstance(truth, Mixture)
    axes.scatter(*truth.sample(1, POINTS)[0].T, s=1, color="0.8", linewidths=0)
    axes.scatter(*points.T, s=1, color="C3", linewidths=0)
    reach = 1.3 * np.abs(truth.modes).max()
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def draw(path: Path, table: str, runs: dict[str, Path]) -> None:
    """Draws a panel of samples for each run; for a population, of its first member."""
    columns = len(runs) if len(runs) <= 5 else -(-len(runs) // 2)
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(2.2 * columns, 2.4 * rows), layout="constrained")
    for i, (name, folder) in enumerate(runs.items(), 1):
        run = open_run(folder)
        sample = partial(run.model.sample, **run.experiment.sampling.of(run.config).options())
        samples = np.concatenate(list(sampled(sample, run.state, POINTS)))
        axes = figure.add_subplot(rows, columns, i, xticks=[], yticks=[])
        axes.set_title(name, size="small")
        if samples.ndim == 2:
            draw_points(axes, table, samples)
        else:
            axes.imshow(image_grid(samples[:16], 4, smallest=1), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_axis_off()
    figure.savefig(path, dpi=80)
    # a palette takes a third of the bytes
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def trained(rows: Rows, shared: str, folder: Path) -> dict[str, Path]:
    """Trains each row in a folder of its own, unless it is there, and returns the folders by the rows' names."""
    runs = {}
    for name, (module, settings) in rows.items():
        preset, *flags = settings.split()
        run = folder / "".join(c if c.isalnum() else "_" for c in name)
        if not (run / "report.html").exists():  # the report is written last
            main(module.experiment, [preset, *shared.split(), *flags, "--resume", "--run", str(run)])
        runs[name] = run
    return runs


def run_table() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--run", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--rows", nargs="+", help="some of the table's rows by name; default: all")
    options = parser.parse_args()
    rows, shared, figures = TABLES[options.table]
    if unknown := set(options.rows or ()) - rows.keys():
        parser.error(f"--rows {', '.join(unknown)}: {options.table} has {', '.join(rows)}")
    chosen = {name: rows[name] for name in options.rows or rows}
    runs = trained(chosen, shared, options.run / options.table)
    print(f"| method | {' | '.join(name.replace('_', ' ') for name in figures)} |\n|{'---|' * (1 + len(figures))}")
    for name, folder in runs.items():
        print(f"| {name} | {' | '.join(cells(folder, figures))} |")
    draw(options.run / f"{options.table}.png", options.table, runs)


if __name__ == "__main__":
    run_table()
