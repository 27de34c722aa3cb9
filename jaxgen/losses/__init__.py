"""Pure functions of arrays: what the models minimise and maximise."""

from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
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
    "AdversarialLoss",
    "Bernoulli",
    "DiscretisedLogistic",
    "Gaussian",
    "Likelihood",
    "kl_to_standard_normal",
    "standard_normal_log_prob",
]
