"""The names that flags of the command line give to the parts of models, one table for each kind of part.

In Python a part is an object: `GAN(..., loss=losses.hinge)`.
"""

from jaxgen import losses
from jaxgen.diffusion import DDIM, Ancestral, DPMSolver, Heun, Sampler, predictions, schedules, variances, weightings
from jaxgen.diffusion.predictions import Prediction
from jaxgen.diffusion.schedules import Schedule
from jaxgen.diffusion.variances import Variance
from jaxgen.diffusion.weightings import Weighting
from jaxgen.losses.penalties import PenaltyFunction
from jaxgen.models.augmentation import Augmentation, adaptive, diff_augment

__all__ = [
    "ADVERSARIAL_LOSSES",
    "AUGMENTATIONS",
    "LIKELIHOODS",
    "PENALTIES",
    "PREDICTIONS",
    "SAMPLERS",
    "SCHEDULES",
    "VARIANCES",
    "WEIGHTINGS",
]

ADVERSARIAL_LOSSES: dict[str, losses.AdversarialLoss] = {
    "minimax": losses.minimax,
    "non_saturating": losses.non_saturating,
    "least_squares": losses.least_squares,
    "wasserstein": losses.wasserstein,
    "wasserstein_drift": losses.wasserstein_drift,
    "hinge": losses.hinge,
}

PENALTIES: dict[str, PenaltyFunction] = {
    "gradient_penalty": losses.gradient_penalty,
    "one_sided_gradient_penalty": losses.one_sided_gradient_penalty,
    "r1": losses.r1,
    "r2": losses.r2,
    "dragan": losses.dragan,
    "consistency": losses.consistency,
}

AUGMENTATIONS: dict[str, Augmentation] = {"diff_augment": diff_augment, "adaptive": adaptive}

LIKELIHOODS: dict[str, losses.Likelihood] = {
    "bernoulli": losses.Bernoulli(),
    "gaussian": losses.Gaussian(),
    "discretised_logistic": losses.DiscretisedLogistic(),
}

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
