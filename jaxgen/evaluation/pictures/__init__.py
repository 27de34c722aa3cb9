"""Pictures of what a trained state can do, each a PNG or GIF that is written to a folder.

The functions take the model's own functions, its state and data; what they draw with is `jaxgen.report`.
"""

from jaxgen.evaluation.pictures.codes import draw_codes
from jaxgen.evaluation.pictures.denoising import draw_inpainting, draw_trajectory
from jaxgen.evaluation.pictures.density import draw_density
from jaxgen.evaluation.pictures.diagnosis import draw_diagnosis
from jaxgen.evaluation.pictures.flow import draw_flow, draw_temperatures
from jaxgen.evaluation.pictures.latent_space import (
    draw_arithmetic,
    draw_information,
    draw_interpolations,
    draw_latent_space,
    draw_scatter,
    draw_traversals,
)
from jaxgen.evaluation.pictures.samples import draw_neighbours, draw_points, draw_walks
from jaxgen.evaluation.pictures.single_image import draw_single_image

__all__ = [
    "draw_arithmetic",
    "draw_codes",
    "draw_density",
    "draw_diagnosis",
    "draw_flow",
    "draw_information",
    "draw_inpainting",
    "draw_interpolations",
    "draw_latent_space",
    "draw_neighbours",
    "draw_points",
    "draw_scatter",
    "draw_single_image",
    "draw_temperatures",
    "draw_trajectory",
    "draw_traversals",
    "draw_walks",
]
