"""Compares how disentangled β-VAE, β-TCVAE and FactorVAE are, and what it costs them in reconstruction.

python -m experiments.disentanglement_study    sprites at 32×32, in runs/disentanglement_study

    ... --image-size 64 --learning-rate 1e-4 --steps 300000        the setting of Locatello et al. (2019), for a GPU

The networks are those of the literature, with 10 latent units. All pairs of a weight and a seed of a method are one
population, trained in one compiled program. From β = 1 to 4 or 8, disentanglement is expected to rise while the
reconstruction gets worse. β-TCVAE and FactorVAE weigh the total correlation alone, and are expected to reach a higher
MIG at an equal reconstruction error.

The script writes study.json, with every figure of each member, and study.png.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from experiments import beta_vae
from experiments.beta_vae import BetaVAEConfig
from experiments.shared.latent import evaluator
from jaxgen.cli import flag_of, run_study
from jaxgen.cli.data import load_data
from jaxgen.cli.process import mesh_of, use_cpu_devices
from jaxgen.data import Dataset, factor_world
from jaxgen.losses import BetaTC
from jaxgen.models import VAE, FactorVAE
from jaxgen.training import as_json, fit, members

METHODS = {"β-VAE": "betas", "β-TCVAE": "tc_betas", "FactorVAE": "gammas"}  # the flag of the weights
METRICS = {"mig": "MIG", "factor_vae": "FactorVAE score", "dci_disentanglement": "DCI", "sap": "SAP"}
TABLE = {"test_log_likelihood": "log p(x given z)", "test_kl": "KL", **METRICS, "active_units": "active units"}


@dataclass(frozen=True)
class Study:
    """The settings of the script."""

    run: Path = Path("runs/disentanglement_study")
    """The folder of the figure, of study.json and of the populations."""
    resume: bool = False
    """Go on from the newest good checkpoints, with the run's settings."""
    overwrite: bool = False
    """Delete what the run folder holds and start afresh."""
    source: str = "sprites"
    """`sprites`, `sprites-colour`, `tfds:dsprites`, `tfds:shapes3d` or `tfds:smallnorb`."""
    image_size: int | None = 32
    """The number of pixels a side, a multiple of 16."""
    betas: tuple[float, ...] = (1.0, 4.0, 8.0, 16.0)
    """The values of β of β-VAE, the weight of the KL term; without values the method is left out."""
    tc_betas: tuple[float, ...] = (2.0, 4.0, 6.0, 10.0)
    """The values of β of β-TCVAE, the weight of the total correlation in the KL term; without values the method is left
    out."""
    gammas: tuple[float, ...] = (10.0, 40.0)
    """The values of γ of FactorVAE, the weight of the total correlation besides the KL term; without values the method
    is left out."""
    seeds: int = 3
    """The number of seeds of each weight, from `seed` on. The largest number of devices that divides the members of a
    method shares them."""
    seed: int = 0
    """The first seed of the parameters, the noise and the order of the data."""
    steps: int = 4000
    """The number of training steps of each member."""
    batch_size: int = 64
    """The number of examples in a minibatch."""
    learning_rate: float = 1e-3
    """The learning rate of Adam."""
    points: int = 10_000
    """The number of points to which the metrics fit their predictors; half that number tests them."""
    log_every: int = 100
    """Steps between lines of metrics.jsonl, which have means and deviations over all members of a method."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        weights = {flag: getattr(self, flag) for flag in METHODS.values()}
        if not any(weights.values()):
            raise ValueError(f"nothing to train: one of {', '.join(map(flag_of, weights))} needs a value")
        for flag, values in weights.items():
            if not all(0 <= value < math.inf for value in values) or len(set(values)) < len(values):
                raise ValueError(f"{flag_of(flag)} {values}: different numbers of at least 0 are needed")
        if self.points < 100:
            raise ValueError(f"--points {self.points}: at least 100 are needed")
        if self.image_size is not None and self.image_size % 16:
            raise ValueError(f"--image-size {self.image_size}: a multiple of 16 is needed")
        factor_world(self.source)  # a source without known factors is refused
        _ = self.settings  # settings that a single run does not allow are refused

    @property
    def settings(self) -> BetaVAEConfig:
        """The settings that all members share, as those of a single run."""
        shared = ("source", "image_size", "seeds", "seed", "steps", "batch_size", "learning_rate")
        common = {name: getattr(self, name) for name in (*shared, "log_every", "checkpoint_every")}
        return replace(beta_vae.presets["higgins"], beta=1.0, factor_points=self.points, **common)


def family(method: str, base: VAE, examples: int) -> Callable[[Array], VAE]:
    """Returns the function from the weight of a method to its model."""
    if method == "β-TCVAE":
        return lambda beta: replace(base, regulariser=BetaTC(examples, beta))
    if method == "FactorVAE":
        return lambda gamma: FactorVAE(**vars(base), gamma=gamma)
    return lambda beta: replace(base, beta=beta)


def train(config: Study, method: str, base: VAE, data: Dataset, grid: Sequence[tuple[float, int]]) -> list[Any]:
    """Trains a member for each pair of a weight and a seed in `grid`, and returns their states."""
    weights, seeds = zip(*grid, strict=True)
    state = fit(
        family(method, base, len(data)),
        data,
        steps=config.steps,
        batch_size=config.batch_size,
        seed=seeds,
        sweep=jnp.array(weights, jnp.float32),
        run=config.run / method,
        resume=config.resume,
        mesh=mesh_of(replace(config.settings, seeds=len(grid), mesh=1 if len(grid) == 1 else None)),
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
    )
    return [jax.device_put(member, jax.devices()[0]) for member in members(state)]


def groups(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, float], list[Mapping[str, Any]]]:
    """Returns the rows by method and weight; the rows of a group differ by their seed."""
    found: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["method"], row["weight"]), []).append(row)
    return found


def spread(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[float, float]:
    """Returns the mean and the standard deviation (by n - 1; 0 for a single row) of a figure."""
    values = np.array([row[name] for row in rows])
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table in Markdown: mean ± standard deviation over the seeds."""
    lines = [f"| method | weight | {' | '.join(TABLE.values())} |", f"|{'---|' * (2 + len(TABLE))}"]
    for (method, weight), same in groups(rows).items():
        figures = [f"{mean:.3g} ± {deviation:.2g}" for mean, deviation in (spread(same, name) for name in TABLE)]
        lines.append(f"| {method} | {weight:g} | {' | '.join(figures)} |")
    return "\n".join(lines)


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws a column for each metric, first against the reconstruction error, then against the weight. Bars are one
    standard deviation over the seeds."""
    figure = Figure(figsize=(3.4 * len(METRICS), 6.6), layout="constrained")
    panels = figure.subplots(2, len(METRICS), sharex="row")
    for column, (metric, title) in enumerate(METRICS.items()):
        for axes, label in zip(panels[:, column], ("-log p(x | z), nats", "weight: β or γ"), strict=True):
            axes.set(title=title, xlabel=label)
            axes.grid(alpha=0.3)
        panels[1, column].set_xscale("symlog", base=2, linthresh=1)
        panels[1, column].set_xticks(weights := sorted({row["weight"] for row in rows}), [f"{w:g}" for w in weights])
        for i, method in enumerate(METHODS):
            same = {weight: group for (of, weight), group in groups(rows).items() if of == method}
            if not same:
                continue
            score, score_std = np.array([spread(group, metric) for group in same.values()]).T
            fitted, fitted_std = np.array([spread(group, "test_log_likelihood") for group in same.values()]).T
            look = {"marker": "o", "markersize": 4, "capsize": 2, "label": method, "color": f"C{i}"}
            panels[0, column].errorbar(-fitted, score, score_std, fitted_std, **look)
            panels[1, column].errorbar(list(same), score, score_std, **look)
            for weight, *point in zip(same, -fitted, score, strict=True):
                panels[0, column].annotate(f"{weight:g}", point, xytext=(3, 3), textcoords="offset points", fontsize=7)
    for axes in panels.flat:
        axes.set_ylim(bottom=0)
    panels[0, 0].legend(fontsize=8)
    figure.savefig(path, dpi=80)


def main(config: Study) -> None:
    """Trains and evaluates what study.json does not have yet, prints the table, and draws the figure."""
    use_cpu_devices(os.cpu_count() or 1)
    data, test = load_data(config.settings)
    base = beta_vae.build(config.settings, data)
    evaluate = evaluator(config.settings, base, data, test)
    record = config.run / "study.json"
    found = json.loads(record.read_text()).get("members", ()) if record.exists() else ()
    rows = [row for row in found if row["step"] >= config.steps]
    for method, flag in METHODS.items():
        grid = [(w, s) for w in getattr(config, flag) for s in range(config.seed, config.seed + config.seeds)]
        known = {(row["weight"], row["seed"]) for row in rows if row["method"] == method}
        if known.issuperset(grid):
            continue
        states = train(config, method, base, data, grid)
        for (weight, seed), state in zip(grid, states, strict=True):
            if (weight, seed) in known:
                continue
            figures = {name: as_json(value) for name, value in evaluate(state).figures.items()}
            rows.append({"method": method, "weight": weight, "seed": seed, "step": int(state.step), **figures})
            temporary = record.with_suffix(".tmp")
            temporary.write_text(json.dumps({"members": rows}, indent=2) + "\n")
            os.replace(temporary, record)
            shown = ", ".join(f"{title} {rows[-1][name]:.3g}" for name, title in TABLE.items())
            print(f"{method} {weight:g}, seed {seed}: {shown}", flush=True)
    print(table(rows))
    draw(rows, config.run / "study.png")
    print(f"figure    {config.run / 'study.png'}")


if __name__ == "__main__":
    run_study(Study, main, __file__, __doc__)
