"""Pictures of a run: image grids, curves, latent spaces, diagnoses, the page."""

from jaxgen.report.diagnosis import plot_diagnosis, plot_eigenvalues
from jaxgen.report.figures import (
    plot_curves,
    plot_densities,
    plot_heat_map,
    plot_kl_per_unit,
    plot_scatter,
    plot_trade_off,
    scatter_picture,
)
from jaxgen.report.images import draw_samples, image_grid, save_animation, save_image
from jaxgen.report.page import pictures_of, write_page

__all__ = [
    "draw_samples",
    "image_grid",
    "pictures_of",
    "plot_curves",
    "plot_densities",
    "plot_diagnosis",
    "plot_eigenvalues",
    "plot_heat_map",
    "plot_kl_per_unit",
    "plot_scatter",
    "plot_trade_off",
    "save_animation",
    "save_image",
    "scatter_picture",
    "write_page",
]
