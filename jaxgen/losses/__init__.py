"""Pure functions of arrays: what the models minimise and maximise."""

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from jaxgen.losses.penalties import (
    PENALTIES,
    Penalty,
    add_orthogonal_regularisation,
    clip_weights,
    orthogonality,
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
    "ADVERSARIAL_LOSSES",
    "DIP",
    "PENALTIES",
    "AdversarialLoss",
    "Bernoulli",
    "BetaTC",
    "DiscretisedLogistic",
    "Gaussian",
    "KLParts",
    "Likelihood",
    "Penalty",
    "Regulariser",
    "add_orthogonal_regularisation",
    "clip_weights",
    "decompose_kl",
    "kl_to_standard_normal",
    "normal_log_prob",
    "orthogonality",
    "permute_units",
    "standard_normal_log_prob",
]
