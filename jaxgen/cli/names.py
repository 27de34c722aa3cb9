"""The names that flags of the command line give to the parts of models, one table for each kind of part."""

from jaxgen import losses
from jaxgen.losses.penalties import PenaltyFunction
from jaxgen.models.augmentation import Augmentation, adaptive, diff_augment

__all__ = ["ADVERSARIAL_LOSSES", "AUGMENTATIONS", "PENALTIES"]

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
