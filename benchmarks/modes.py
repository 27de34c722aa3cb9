"""Modes covered on the ring of 8 and the grid of 25 by the GANs of the zoo: python -m benchmarks.modes --run DIR

Each method is an experiment's preset with minibatches of 128, trained as a population of seeds (a run that is there
already goes on). Players are two layers of 128 with ReLU, or tanh. Protocol: 2,500 samples, of high quality within 3
standard deviations of a mode (Srivastava et al. 2017; Lin et al. 2018). Printed is a table; modes.png shows the samples
of the first seed.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments import gan, unrolled_gan, wgan_gp
from experiments.adversarial import POINTS, sampled
from jaxgen.data import toy_world
from jaxgen.training import read_metrics
from jaxgen.training.experiment import main
from jaxgen.training.runs import read_run, restore_run

TANH = ["--network", "points_tanh"]
METHODS = {
    "GAN": (gan, []),
    "LSGAN": (gan, ["--loss", "least_squares"]),
    "GAN + R1": (gan, ["--penalty", "r1", "--penalty-weight", "0.1"]),
    "PacGAN2": (gan, ["--packing", "2"]),
    "WGAN-GP": (wgan_gp, []),
    "GAN, tanh": (gan, TANH),
    "PacGAN2, tanh": (gan, [*TANH, "--packing", "2"]),
    "minimax GAN, tanh": (unrolled_gan, ["--unroll", "0"]),
    "unrolled, tanh": (unrolled_gan, []),
}
WORLDS = ("ring", "grid")


def folder(run: Path, world: str, method: str) -> Path:
    return run / f"{world}-{''.join(c if c.isalnum() else '_' for c in method)}"


def row(run: Path, world: str, method: str) -> str:
    record = [r for r in read_metrics(folder(run, world, method)) if "modes_covered" in r][-1]
    cells = (f"{record[n]:.3g} ± {record[f'{n}_std']:.2g}" for n in ("modes_covered", "high_quality", "reverse_kl"))
    return f"| {world} | {method} | {' | '.join(cells)} |"


def draw(run: Path, worlds: list[str], methods: list[str], path: Path) -> None:
    figure = Figure(figsize=(1.9 * len(methods), 2.1 * len(worlds)), layout="constrained")
    for i, world in enumerate(worlds):
        truth = toy_world(world).sample(1, POINTS)[0]
        for j, method in enumerate(methods):
            experiment = METHODS[method][0].experiment
            config, data = read_run(experiment, folder(run, world, method))
            model, [state, *_], _ = restore_run(experiment, folder(run, world, method), config, data, None)
            axes = figure.add_subplot(len(worlds), len(methods), i * len(methods) + j + 1, aspect="equal")
            axes.scatter(*truth.T, s=1, color="0.8", linewidths=0)
            axes.scatter(*np.concatenate(list(sampled(model, state, POINTS))).T, s=1, color="C3", linewidths=0)
            axes.set(xlim=(-5, 5), ylim=(-5, 5), xticks=[], yticks=[], title=method if i == 0 else "")
            axes.title.set_size("small")
    figure.savefig(path, dpi=80)


def run_all() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=25_000)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    options = parser.parse_args()
    for world in options.worlds:
        for method in options.methods:
            module, flags = METHODS[method]
            common = ["--seeds", str(options.seeds), "--steps", str(options.steps), "--log-every", "500"]
            path = str(folder(options.run, world, method))
            main(module.experiment, [world, *flags, *common, "--batch-size", "128", "--resume", "--run", path])
    print("| world | method | modes covered | high quality | reverse KL |\n|---|---|---|---|---|")
    for world in options.worlds:
        for method in options.methods:
            print(row(options.run, world, method))
    draw(options.run, options.worlds, options.methods, options.run / "modes.png")


if __name__ == "__main__":
    run_all()
