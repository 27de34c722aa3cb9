"""The names by which the command line knows the library's values, one table for each kind."""

from jaxgen.diffusion import DDIM, Ancestral, DPMSolver, Heun, Sampler, predictions, schedules, variances, weightings
from jaxgen.diffusion.predictions import Prediction
from jaxgen.diffusion.schedules import Schedule
from jaxgen.diffusion.variances import Variance
from jaxgen.diffusion.weightings import Weighting

__all__ = ["PREDICTIONS", "SAMPLERS", "SCHEDULES", "VARIANCES", "WEIGHTINGS"]

SCHEDULES: dict[str, Schedule] = {
    "linear": schedules.Linear(),
    "cosine": schedules.Cosine(),
    "sigmoid": schedules.Sigmoid(),
    "rectified": schedules.Rectified(),
}
PREDICTIONS: dict[str, Prediction] = {
    "noise": predictions.noise,
    "image": predictions.image,
    "velocity": predictions.velocity,
    "flow": predictions.flow,
}
WEIGHTINGS: dict[str, Weighting] = {
    "simple": weightings.simple,
    "snr": weightings.snr,
    "min_snr": weightings.MinSNR(),
    "bound": weightings.bound,
}
VARIANCES: dict[str, Variance] = {
    "small": variances.small,
    "large": variances.large,
    "learned": variances.learned,
}
SAMPLERS: dict[str, type[Sampler]] = {"ancestral": Ancestral, "ddim": DDIM, "dpm_solver": DPMSolver, "heun": Heun}
"""Each takes `steps`; DDIM takes `eta` too."""
