"""Pure functions of arrays: what the models minimise and maximise."""

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from jaxgen.losses.penalties import (
    PENALTIES,
    Penalty,
    add_orthogonal_regularisation,
    clip_weights,
    orthogonality,
)
from jaxgen.losses.variational import (
    LIKELIHOODS,
    Bernoulli,
    DiscretisedLogistic,
    Gaussian,
    Likelihood,
    kl_to_standard_normal,
    standard_normal_log_prob,
)

__all__ = [
    "ADVERSARIAL_LOSSES",
    "LIKELIHOODS",
    "PENALTIES",
    "AdversarialLoss",
    "Bernoulli",
    "DiscretisedLogistic",
    "Gaussian",
    "Likelihood",
    "Penalty",
    "add_orthogonal_regularisation",
    "clip_weights",
    "kl_to_standard_normal",
    "orthogonality",
    "standard_normal_log_prob",
]
