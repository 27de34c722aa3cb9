"""The picture of a diagnosis."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Complex, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

__all__ = ["plot_diagnosis", "plot_eigenvalues"]

Records = Sequence[Mapping[str, float | int]]

CURVES = {
    "losses": {"discriminator_loss": "D", "generator_loss": "G"},
    "D's output": {"discriminator_real": "real", "discriminator_fake": "fake"},
    "gradient norms": {"discriminator_gradient_norm": "D", "generator_gradient_norm": "G"},
}


def plot_diagnosis(
    path: Path,
    records: Records,
    verdict: str,
    shares: Float[np.ndarray, "k"] | None = None,
    missing: Sequence[int] = (),
    eigenvalues: Complex[np.ndarray, "n"] | None = None,
) -> None:
    """Draws what a GAN's diagnosis is read from, side by side, under the name of the verdict.

    Args:
        path: the PNG to write.
        records: the records of the run in order, each with a `step`; losses, D's outputs and gradient norms are drawn.
        verdict: the name of the verdict.
        shares: the share of each mode or class in the samples.
        missing: the indices of the modes or classes that are marked as missing.
        eigenvalues: those of the game's Jacobian.
    """
    panels = len(CURVES) + (shares is not None) + (eigenvalues is not None)
    figure = Figure(figsize=(3.6 * panels, 3.4), layout="constrained")
    figure.suptitle(verdict.replace("_", " "))
    axes = iter(figure.subplots(1, panels))
    for title, labels in CURVES.items():
        _draw_curves(next(axes), title, labels, records)
    if shares is not None:
        _draw_shares(next(axes), shares, missing)
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


def _draw_shares(axes: Axes, shares: np.ndarray, missing: Sequence[int]) -> None:
    """Bars, with a red cross where one is missing and a line at the fair share."""
    axes.set(title="share of the samples", xlabel="mode or class")
    axes.bar(np.arange(len(shares)), shares)
    axes.axhline(1 / len(shares), color="grey", linewidth=1, linestyle="--")
    if missing:
        axes.plot(list(missing), np.zeros(len(missing)), "rx", label=f"{len(missing)} missing", clip_on=False)
        axes.legend(fontsize="small")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plot_eigenvalues(axes: Axes, eigenvalues: Complex[np.ndarray, "n"], label: str | None = None) -> None:
    """Draws the eigenvalues of a game in the complex plane: those right of the red line are instability, those off the
    real axis rotation."""
    axes.set(title="eigenvalues of the game", xlabel="real part", ylabel="imaginary part")
    axes.axvline(0, color="red", linewidth=1)
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.scatter(np.real(eigenvalues), np.imag(eigenvalues), s=12, label=label)
    axes.grid(alpha=0.3)
