"""The picture of a diagnosis."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Complex
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from jaxgen.diagnose import Diagnosis, missing_of, recent_shares

__all__ = ["plot_diagnosis", "plot_eigenvalues"]

Records = Sequence[Mapping[str, float | int]]

CURVES = {
    "losses": {"discriminator_loss": "D", "generator_loss": "G"},
    "D's output": {"discriminator_real": "real", "discriminator_fake": "fake"},
    "gradient norms": {"discriminator_gradient_norm": "D", "generator_gradient_norm": "G"},
}


def plot_diagnosis(
    path: Path, records: Records, diagnosis: Diagnosis, eigenvalues: Complex[np.ndarray, "n"] | None = None
) -> None:
    """Both losses, D's output on real and fake examples, both gradients, the histogram of late over the modes with the
    missing ones marked, and the eigenvalues of the game's Jacobian where they are given."""
    shares = recent_shares(records)
    panels = len(CURVES) + bool(shares.size) + (eigenvalues is not None)
    figure = Figure(figsize=(3.6 * panels, 3.4), layout="constrained")
    figure.suptitle(diagnosis.verdict.replace("_", " "))
    axes = iter(figure.subplots(1, panels))
    for title, labels in CURVES.items():
        _draw_curves(next(axes), title, labels, records)
    if shares.size:
        _draw_shares(next(axes), shares.mean(axis=0))
    if eigenvalues is not None:
        plot_eigenvalues(next(axes), eigenvalues)
    figure.savefig(path, dpi=80)


def _draw_curves(axes: Axes, title: str, labels: Mapping[str, str], records: Records) -> None:
    axes.set(title=title, xlabel="step")
    for name, label in labels.items():
        points = [(record["step"], record[name]) for record in records if math.isfinite(record.get(name, math.nan))]
        if points:
            axes.plot(*np.array(points).T, label=label)
    if axes.lines:
        axes.legend(fontsize="small")
    if "gradient" in title:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _draw_shares(axes: Axes, shares: np.ndarray) -> None:
    """Bars; a red cross where one is missing, a line at the fair share."""
    axes.set(title="share of the samples", xlabel="mode or class")
    axes.bar(np.arange(len(shares)), shares)
    axes.axhline(1 / len(shares), color="grey", linewidth=1, linestyle="--")
    if missing := missing_of(shares):
        axes.plot(missing, np.zeros(len(missing)), "rx", label=f"{len(missing)} missing", clip_on=False)
        axes.legend(fontsize="small")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plot_eigenvalues(axes: Axes, eigenvalues: Complex[np.ndarray, "n"], label: str | None = None) -> None:
    """In the complex plane: right of the red line is instability, off the real axis rotation."""
    axes.set(title="eigenvalues of the game", xlabel="real part", ylabel="imaginary part")
    axes.axvline(0, color="red", linewidth=1)
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.scatter(eigenvalues.real, eigenvalues.imag, s=12, label=label)
    axes.grid(alpha=0.3)
