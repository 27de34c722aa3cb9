"""Plots, each written to a PNG: curves of a run's metrics, latent spaces, densities, trade-offs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

__all__ = [
    "plot_curves",
    "plot_densities",
    "plot_heat_map",
    "plot_kl_per_unit",
    "plot_scatter",
    "plot_trade_off",
    "scatter_picture",
]


def plot_curves(path: Path, records: Sequence[Mapping[str, float | int]]) -> None:
    """Plots each metric of `metrics.jsonl` that was read more than once against the step, in a small panel of its own;
    the speed is left out."""
    readings = Counter(name for record in records for name in record)
    names = sorted(name for name, n in readings.items() if n > 1 and name not in ("step", "steps_per_second"))
    columns = min(3, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, i + 1, title=name.replace("_", " "), xlabel="step")
        points = [(record["step"], record[name]) for record in records if name in record]
        axes.plot(*np.array(points).T, marker="o" if len(points) < 20 else None, markersize=3)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 100k, not 100000
    figure.savefig(path, dpi=80)


def plot_scatter(
    path: Path,
    points: Float[np.ndarray, "n 2"],
    labels: Int[np.ndarray, "n"] | None = None,
    label_names: Sequence[str] = (),
    title: str = "",
    axis_names: tuple[str, str] = ("", ""),
) -> None:
    """Plots points in the plane, coloured by class."""
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel=axis_names[0], ylabel=axis_names[1])
    if labels is None:
        axes.scatter(*points.T, s=6)
    else:
        for label, name in enumerate(label_names):
            axes.scatter(*points[labels == label].T, s=6, label=name, color=f"C{label % 10}")
        if len(label_names) <= 20:
            axes.legend(markerscale=2, fontsize="small")
    figure.savefig(path, dpi=80)


def plot_kl_per_unit(path: Path, kl: Float[np.ndarray, "z"], threshold: float) -> None:
    """Plots a bar for each latent unit's KL term in nats, the largest first, on a logarithmic scale. Units at or above
    the threshold, where the line is, count as used."""
    order = np.argsort(-kl, kind="stable")
    used = kl[order] >= threshold
    figure = Figure(figsize=(max(5, 1.5 + 0.42 * len(kl)), 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="latent unit", ylabel="KL to the prior (nats)", yscale="log")
    axes.set_title(f"{used.sum()} of {len(kl)} latent units are used; KL {kl.sum():.1f} nats in all")
    bottom = threshold / 100
    shown = np.maximum(kl[order], bottom)
    bars = axes.bar(np.arange(len(kl)), shown, color=np.where(used, "C0", "silver"))
    axes.bar_label(bars, [f"{value:.2g}" if value >= bottom else "0" for value in kl[order]], fontsize="small")
    axes.axhline(threshold, color="red", linewidth=1, linestyle="--", label=f"used from {threshold:g} nats")
    axes.legend(loc="upper right", fontsize="small")
    axes.set_xticks(np.arange(len(kl)), order, fontsize="small")
    axes.set_ylim(bottom / 1.5, shown.max() * 4)
    figure.savefig(path, dpi=80)


def plot_heat_map(
    path: Path,
    values: Float[np.ndarray, "r c"],
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str = "",
    unit: str = "",
) -> None:
    """Plots a table of numbers from 0, each on its colour; `unit` says what the numbers are."""
    rows, columns = values.shape
    figure = Figure(figsize=(max(5.5, 3 + 0.85 * columns), 1.5 + 0.32 * rows), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = figure.add_subplot()
    picture = axes.imshow(values, cmap="viridis", vmin=0, aspect="auto")
    figure.colorbar(picture, ax=axes, label=unit)
    axes.set_xticks(range(columns), column_names, fontsize="small")
    axes.set_yticks(range(rows), row_names, fontsize="small")
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value < 0.6 * values.max() else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize="small")
    figure.savefig(path, dpi=80)


def plot_trade_off(path: Path, figures: Mapping[str, Mapping[str, float]], x: str, y: str, line: bool = True) -> None:
    """Plots one figure of merit against another, a point for each setting, with a line in the order of the settings."""
    points = np.array([(one[x], one[y]) for one in figures.values()])
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    axes.plot(*points.T, marker="o", linestyle="-" if line else "")
    for name, point in zip(figures, points, strict=True):
        axes.annotate(name, point, xytext=(5, 4), textcoords="offset points", fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=80)


def plot_densities(
    path: Path, densities: Mapping[str, Float[np.ndarray, "h w"]], extent: tuple[float, float, float, float]
) -> None:
    """Plots densities over one rectangle of the plane side by side, in the colours of the first; rows go up. `extent`
    is (left, right, bottom, top)."""
    figure = Figure(figsize=(4 * len(densities), 4), layout="constrained")
    highest = np.quantile(next(iter(densities.values())), 0.999)
    for i, (name, density) in enumerate(densities.items()):
        axes = figure.add_subplot(1, len(densities), i + 1, title=name)
        axes.imshow(density, origin="lower", extent=extent, vmin=0, vmax=highest, cmap="magma")
    figure.savefig(path, dpi=80)


def scatter_picture(points: Float[np.ndarray, "n 2"]) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a picture of points in the plane, on equal axes."""
    figure = Figure(figsize=(4, 4), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(aspect="equal", adjustable="datalim")
    axes.scatter(*points.T, s=4, alpha=0.4, linewidths=0)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
