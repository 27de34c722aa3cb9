"""Shows how GANs fail and what cures each failure; every run is diagnosed.

python -m experiments.gan_failures             some minutes on a laptop

1. Non-convergence. The game min_x max_y x y is that of a Wasserstein GAN near its equilibrium (the Dirac-GAN of
   Mescheder et al. 2018). Its eigenvalues are ±i, so simultaneous descent spirals out and alternating descent circles;
   extra-gradient, R1 and averaging converge. On a ring of eight Gaussians, a generator that learns faster than its
   discriminator finds the modes and loses them again; unrolling (Metz et al. 2017) and R1 keep them.
2. Mode collapse. On the same ring, WGAN-GP and PacGAN cure it.
3. Vanishing gradient. G starts far from the data and plays the minimax game, and D takes five steps for each of G's
   (Arjovsky & Bottou 2017). The non-saturating loss has a gradient, and that of WGAN-GP leads to the data.

The script writes failures.png and failures.json into the run folder.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.scipy.stats import norm
from jaxtyping import Array
from matplotlib.figure import Figure

from experiments.shared.adversarial import TANH
from jaxgen import losses
from jaxgen.cli import run_study
from jaxgen.cli.names import ADVERSARIAL_LOSSES
from jaxgen.cli.process import use_cpu_devices
from jaxgen.data import load, toy_world
from jaxgen.evaluation.diagnosis import Diagnosis, diagnose
from jaxgen.evaluation.game import game_jacobian
from jaxgen.evaluation.points import point_evaluator
from jaxgen.evaluation.samples import sampled
from jaxgen.models import GAN
from jaxgen.networks import PointDiscriminator, PointGenerator
from jaxgen.report import plot_eigenvalues
from jaxgen.training import fit, read_metrics

RATE, ROUNDS = 0.1, 600  # the learning rate and the number of steps in the bilinear game


Step = Callable[[Array], Array]
"""A step of the bilinear game: it maps a point (x, y) to the next."""


def field(point: Array, gamma: float = 0.0) -> Array:
    """Returns (-∂V/∂x, ∂V/∂y) for V = x y - γ/2 y²; γ is the weight of R1."""
    x, y = point
    return jnp.stack([-y, x - gamma * y])


def simultaneous(point: Array, gamma: float = 0.0) -> Array:
    """Takes a step in which both players move at once."""
    return point + RATE * field(point, gamma)


def alternating(point: Array) -> Array:
    """Takes a step in which y moves first, and x answers."""
    y = point[1] + RATE * point[0]
    return jnp.stack([point[0] - RATE * y, y])


def extra_gradient(point: Array) -> Array:
    """Takes a step along the field at the point that a simultaneous step would reach."""
    return point + RATE * field(simultaneous(point))


BILINEAR: dict[str, tuple[Step, bool]] = {  # a step, and whether its iterates are averaged
    "simultaneous": (simultaneous, False),
    "alternating": (alternating, False),
    "cure: extra-gradient": (extra_gradient, False),
    "cure: R1, γ = 0.5": (functools.partial(simultaneous, gamma=0.5), False),
    "cure: averaging": (alternating, True),
}


def play(step: Step, averaged: bool) -> tuple[np.ndarray, Diagnosis]:
    """Returns the path from (2, 2), and the diagnosis of the GAN that it describes: its data are N(0, 1), G's samples
    N(x, 1), and D(r) = y r."""
    _, path = jax.lax.scan(lambda point, _: (step(point), point), jnp.full(2, 2.0), length=ROUNDS)
    x, y = (np.cumsum(path, axis=0) / np.arange(1, ROUNDS + 1)[:, None] if averaged else np.asarray(path)).T
    metrics = {
        "discriminator_loss": x * y,
        "generator_loss": -x * y,
        "discriminator_accuracy": np.asarray(norm.cdf(-np.sign(y) * x / np.sqrt(2))),
        "discriminator_gradient_norm": abs(x),
        "generator_gradient_norm": abs(y),
    }
    means = {name: values.reshape(-1, 10).mean(axis=1) for name, values in metrics.items()}
    records = [{"step": 10 * i} | {k: float(v[i]) for k, v in means.items()} for i in range(ROUNDS // 10)]
    return np.stack([x, y], axis=-1), diagnose(records)


class Away(nn.Module):
    """A generator that starts away from the data: the two supports do not meet, and neither do those of images."""

    generator: nn.Module

    @nn.compact
    def __call__(self, latent: Array, label: Array | None = None, *, train: bool = False) -> Array:
        """Returns the samples of the generator, shifted by 5 in each coordinate."""
        return self.generator(latent) + 5.0


def adam(rate: float) -> optax.GradientTransformation:
    """Returns Adam with β1 = 0.5. Unrolling differentiates it, so its square root must have a slope at 0."""
    return optax.adam(rate, 0.5, eps_root=1e-16)


def gan(loss: str, g: float = 1e-3, d: float = 1e-3, tanh: bool = True, **options: Any) -> GAN:
    """Returns a GAN whose players have two layers of 128 units and learn by Adam, at the rates `g` and `d`."""
    generator, discriminator = (
        n(hidden=(128, 128), **(TANH if tanh else {})) for n in (PointGenerator, PointDiscriminator)
    )
    return GAN(generator, discriminator, adam(g), adam(d), ADVERSARIAL_LOSSES[loss], latent=16, **options)


def away(model: GAN, rate: float = 1e-3) -> GAN:
    """Returns the GAN with a generator that starts far from the data and learns by plain gradient descent, since Adam
    would hide how small a gradient is."""
    return replace(model, generator=Away(model.generator), generator_optimiser=optax.sgd(rate))


R1: dict[str, Any] = {"penalties": (losses.Penalty(losses.r1, 0.1),)}
GP: dict[str, Any] = {"penalties": (losses.Penalty(losses.gradient_penalty, 1.0),), "discriminator_steps": 3}
GANS = {
    "non-convergence": {
        "G at 3 times D's rate": gan("non_saturating", g=3e-3),
        "cure: unrolled, K = 5": gan("non_saturating", g=3e-3, unroll=5),
        "cure: equal rates, R1": gan("non_saturating", **R1),
    },
    "mode collapse": {
        "non-saturating, ReLU": gan("non_saturating", tanh=False),
        "cure: WGAN-GP": gan("wasserstein", tanh=False, **GP),
        "cure: PacGAN, m = 4": gan("non_saturating", tanh=False, packing=4),
    },
    "vanishing gradient": {
        "minimax, D at 5 steps": away(gan("minimax", discriminator_steps=5)),
        "better: non-saturating": away(gan("non_saturating", discriminator_steps=5), 2e-4),  # D still overpowers
        "cure: WGAN-GP": away(gan("wasserstein", **GP), 1e-2),
    },
}


def train(model: GAN, steps: int, seed: int, run: Path) -> tuple[np.ndarray, Diagnosis]:
    """Trains on the ring, and returns samples of the trained model and the diagnosis of the run."""
    data, every = load("ring"), max(1, steps // 60)
    evaluator = point_evaluator(model.sample, toy_world("ring"))
    often = {"log_every": every, "eval_every": 5 * every, "checkpoint_every": 0, "progress": False}
    state = fit(
        model,
        data,
        steps=steps,
        batch_size=128,
        seed=seed,
        run=run,
        evaluate=lambda state: evaluator(state).figures,
        **often,
    )
    return np.concatenate(list(sampled(model.sample, state, 1000))), diagnose(read_metrics(run), data.label_names)


def draw(path: Path, rows: dict[str, dict[str, tuple[np.ndarray, Diagnosis]]]) -> None:
    """Draws a row for each failure. The bilinear game shows its paths and its eigenvalues, a GAN its samples (blue) and
    the modes (red)."""
    columns = 1 + max(map(len, rows.values()))
    figure = Figure(figsize=(2.4 * columns, 2.6 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), columns)
    for axes in panels.flat[columns:]:
        axes.set_axis_off()
    for (failure, runs), row in zip(rows.items(), panels, strict=True):
        for (name, (points, found)), axes in zip(runs.items(), row, strict=False):
            axes.set_axis_on()
            axes.set_title(f"{failure}\n{name}\n{found.verdict.replace('_', ' ')}", fontsize=8)
            axes.plot(*(toy_world("ring").modes.T if failure in GANS else (0, 0)), "r+", zorder=3)
            axes.plot(*points.T, "." if failure in GANS else "-", markersize=2, linewidth=0.7)
    for gamma in (0.0, 0.5):
        jacobian = game_jacobian(functools.partial(field, gamma=gamma), jnp.zeros(2))
        plot_eigenvalues(panels[0, -1], np.linalg.eigvals(np.asarray(jacobian)).astype(complex), f"γ = {gamma}")
    panels[0, -1].legend(fontsize=7)
    panels[0, -1].set_title("eigenvalues", fontsize=8)
    figure.savefig(path, dpi=90)


@dataclass(frozen=True)
class Failures:
    """The settings of the script."""

    run: Path = Path("runs/gan_failures")
    """The folder of the figure, the table and the runs."""
    steps: int = 5000
    """The number of training steps of each GAN."""
    seed: int = 0
    """The seed of the parameters, the noise and the order of the data."""
    overwrite: bool = False
    """Delete what the run folder holds and start afresh."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.seed < 2**32:
            raise ValueError(f"--steps {self.steps} --seed {self.seed}: at least 1, and 0 to 2**32 - 1 are allowed")


def main(config: Failures) -> None:
    """Provokes each failure and each cure, prints the diagnoses, and writes the figure and the table."""
    use_cpu_devices(1)
    rows = {"bilinear game": {}} | {failure: {} for failure in GANS}

    def report(failure: str, name: str, points: np.ndarray, found: Diagnosis) -> None:
        rows[failure][name] = points, found
        modes = f"{8 * found.evidence['modes_found']:.3g} of 8 modes" if "modes_found" in found.evidence else ""
        print(f"{failure:20}{name:28}{found.verdict.replace('_', ' '):28}{modes}", flush=True)

    for name, how in BILINEAR.items():
        report("bilinear game", name, *play(*how))
    for failure, models in GANS.items():
        for i, (name, model) in enumerate(models.items()):
            folder = config.run / f"{failure.replace(' ', '_')}_{i}"
            report(failure, name, *train(model, config.steps, config.seed, folder))
    draw(config.run / "failures.png", rows)
    table = {
        failure: {name: {"verdict": d.verdict, "missing": d.missing, **d.evidence} for name, (_, d) in runs.items()}
        for failure, runs in rows.items()
    }
    (config.run / "failures.json").write_text(json.dumps(table, indent=2) + "\n")
    print(f"figure    {config.run / 'failures.png'}")


if __name__ == "__main__":
    run_study(Failures, main, __file__, __doc__)
