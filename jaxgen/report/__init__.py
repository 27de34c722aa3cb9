"""Pictures of a run: image grids, curves, latent spaces, the page."""

from jaxgen.report.figures import plot_curves, plot_scatter
from jaxgen.report.images import image_grid, save_image
from jaxgen.report.page import write_page

__all__ = ["image_grid", "plot_curves", "plot_scatter", "save_image", "write_page"]
