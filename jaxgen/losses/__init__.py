"""Pure functions of arrays: what the models minimise and maximise."""

from jaxgen.losses.adversarial import (
    AdversarialLoss,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    wasserstein,
    wasserstein_drift,
)
from jaxgen.losses.penalties import (
    Penalty,
    consistency,
    dragan,
    gradient_penalty,
    one_sided_gradient_penalty,
    penalise,
    r1,
    r2,
)
from jaxgen.losses.regularisers import DIP, BetaTC, KLParts, Regulariser, decompose_kl, permute_units
from jaxgen.losses.variational import (
    Bernoulli,
    DiscretisedLogistic,
    Gaussian,
    Likelihood,
    kl_to_standard_normal,
    normal_log_prob,
    standard_normal_log_prob,
)

__all__ = [
    "DIP",
    "AdversarialLoss",
    "Bernoulli",
    "BetaTC",
    "DiscretisedLogistic",
    "Gaussian",
    "KLParts",
    "Likelihood",
    "Penalty",
    "Regulariser",
    "consistency",
    "decompose_kl",
    "dragan",
    "gradient_penalty",
    "hinge",
    "kl_to_standard_normal",
    "least_squares",
    "minimax",
    "non_saturating",
    "normal_log_prob",
    "one_sided_gradient_penalty",
    "penalise",
    "permute_units",
    "r1",
    "r2",
    "standard_normal_log_prob",
    "wasserstein",
    "wasserstein_drift",
]
