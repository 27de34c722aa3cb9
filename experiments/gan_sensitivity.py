"""Measures how sensitive GANs are to their hyperparameters, by the modes of the ring that they cover.

python -m experiments.gan_sensitivity          the plain GAN, WGAN-GP and the unrolled GAN, in runs/gan_sensitivity

Each panel of sensitivity.png is one population, in which all pairs of a learning rate and β1 are trained in one vmapped
program, with k steps of the discriminator for each of the generator. The axes are the learning rate, which both
players share, and β1.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.figure import Figure

from experiments.shared.adversarial import TANH
from jaxgen import losses
from jaxgen.cli import run_study
from jaxgen.data import Mixture, toy_world
from jaxgen.metrics import mode_coverage
from jaxgen.models import GAN
from jaxgen.networks import PointDiscriminator, PointGenerator
from jaxgen.types import State

METHODS: dict[str, dict[str, Any]] = {  # the fields of `GAN` in which each differs
    "GAN": {},
    "WGAN-GP": {"loss": losses.wasserstein, "penalties": (losses.Penalty(losses.gradient_penalty, 0.1),)},
    "unrolled GAN": {"loss": losses.minimax, "unroll": 5},
}
SAMPLES = 2_500  # the samples in which modes are counted


@dataclass(frozen=True)
class Sensitivity:
    """The settings of the script."""

    run: Path = Path("runs/gan_sensitivity")
    """The folder of the figure and of sensitivity.json."""
    overwrite: bool = False
    """Delete what the run folder holds and start afresh."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    """The learning rates of Adam, for both players."""
    b1s: tuple[float, ...] = (0.0, 0.5, 0.9)
    """The decays of Adam's first moment."""
    discriminator_steps: tuple[int, ...] = (1, 5)
    """The numbers of steps of the discriminator for each of the generator: k of Algorithm 1."""
    steps: int = 2000
    """The number of steps of the generator."""
    batch_size: int = 128
    """The number of points in a minibatch."""
    seed: int = 0
    """The seed of the parameters, the noise and the data."""

    def __post_init__(self) -> None:
        for name in ("learning_rates", "b1s", "discriminator_steps"):
            if not getattr(self, name):
                raise ValueError(f"--{name.replace('_', '-')}: at least one value is needed")
        if not all(0 < rate < math.inf for rate in self.learning_rates):
            raise ValueError(f"--learning-rates {self.learning_rates}: positive numbers are needed")
        if not all(0 <= b1 < 1 for b1 in self.b1s):
            raise ValueError(f"--b1s {self.b1s}: 0 to below 1 is allowed")
        if min(self.steps, self.batch_size, *self.discriminator_steps) < 1:
            raise ValueError("--steps, --batch-size and --discriminator-steps: at least 1 is needed")


def modes_covered(config: Sensitivity, method: str, k: int) -> Float[Array, "rates b1s"]:
    """Trains a population, and returns the number of modes that each member covers."""
    world = toy_world("ring")
    assert isinstance(world, Mixture)
    points = jnp.asarray(world.sample(0, 100_000)[0])
    init_key, data_key, sample_key = jax.random.split(jax.random.key(config.seed), 3)

    def gan(rate: Any, b1: Any) -> GAN:
        players = (network(hidden=(128, 128), **TANH) for network in (PointGenerator, PointDiscriminator))
        adams = optax.adam(rate, b1, eps_root=1e-16), optax.adam(rate, b1, eps_root=1e-16)
        return GAN(*players, *adams, latent=16, discriminator_steps=k, **METHODS[method])

    start = gan(0.0, 0.0).init(init_key, {"image": points[:1]})  # the same for all rates and β1

    def train(rate: Array, b1: Array) -> Array:
        def step(i: Array, state: State) -> State:
            chosen = jax.random.randint(jax.random.fold_in(data_key, i), (k * config.batch_size,), 0, len(points))
            return gan(rate, b1).step(state, {"image": points[chosen]})[0]

        state = jax.lax.fori_loop(0, config.steps, step, start)
        samples = gan(rate, b1).sample(state, sample_key, SAMPLES)
        return mode_coverage(samples, world.modes, world.scale).modes_covered

    rates, b1s = jnp.meshgrid(jnp.array(config.learning_rates), jnp.array(config.b1s), indexing="ij")
    return jax.jit(jax.vmap(jax.vmap(train)))(rates, b1s)


def draw(config: Sensitivity, found: dict[str, dict[str, list[list[int]]]], path: Path) -> None:
    """Draws a heat map for each method (columns) and k (rows)."""
    rows, columns = len(config.discriminator_steps), len(METHODS)
    figure = Figure(figsize=(2.9 * columns, 2.9 * rows + 0.4), layout="constrained")
    for column, method in enumerate(METHODS):
        for row, k in enumerate(config.discriminator_steps):
            axes = figure.add_subplot(rows, columns, row * columns + column + 1, title=f"{method}, k = {k}")
            modes = np.array(found[method][str(k)])
            axes.imshow(modes, vmin=0, vmax=8, cmap="viridis", aspect="auto")
            for (i, j), value in np.ndenumerate(modes):
                axes.text(j, i, value, ha="center", va="center", color="black" if value > 4 else "white")
            axes.set_xticks(range(len(config.b1s)), config.b1s)
            axes.set_yticks(range(len(config.learning_rates)), [f"{rate:g}" for rate in config.learning_rates])
            axes.set(xlabel="β1", ylabel="learning rate")
    figure.suptitle(f"modes of 8 covered after {config.steps} steps")
    figure.savefig(path, dpi=80)


def main(config: Sensitivity) -> None:
    """Trains all populations, prints their means, and writes the figure and the table."""
    found: dict[str, dict[str, list[list[int]]]] = {}
    for method in METHODS:
        found[method] = {
            str(k): np.asarray(modes_covered(config, method, k)).tolist() for k in config.discriminator_steps
        }
        for k, modes in found[method].items():
            mean, all_modes = np.mean(modes), np.mean(np.equal(modes, 8))
            print(f"{method:13} k = {k}: {mean:.2f} modes of 8 on average; {all_modes:.0%} of the settings find all")
    (config.run / "sensitivity.json").write_text(json.dumps(found) + "\n")
    draw(config, found, config.run / "sensitivity.png")
    print(f"figure    {config.run / 'sensitivity.png'}")


if __name__ == "__main__":
    run_study(Sensitivity, main, __file__, __doc__)
