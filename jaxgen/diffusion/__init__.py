"""Diffusion without a model: the forward process, what a network predicts and how its errors weigh, samplers,
likelihoods.

    process  = DiscreteProcess(schedules.Cosine(), timesteps=1000)
    denoiser = Denoiser(process, lambda x, t: (x_0_found_in(x, t), None))
    images   = sample_path(Heun(20), denoiser, jax.random.normal(key, (64, 28, 28, 1)))[-1]

`schedules`, `predictions`, `weightings` and `variances` hold the values that `jaxgen.models.Diffusion` takes.
"""

from jaxgen.diffusion import predictions, schedules, variances, weightings
from jaxgen.diffusion.denoiser import Denoiser, Reverse
from jaxgen.diffusion.likelihood import Bound, ode_bound, ode_log_prob, variational_bound
from jaxgen.diffusion.process import DiscreteProcess, Marginal, Transition
from jaxgen.diffusion.samplers import (
    DDIM,
    Ancestral,
    DPMSolver,
    Heun,
    Sampler,
    Step,
    evenly_spaced,
    spaced_by_noise,
)
from jaxgen.diffusion.sampling import sample_path

__all__ = [
    "DDIM",
    "Ancestral",
    "Bound",
    "DPMSolver",
    "Denoiser",
    "DiscreteProcess",
    "Heun",
    "Marginal",
    "Reverse",
    "Sampler",
    "Step",
    "Transition",
    "evenly_spaced",
    "ode_bound",
    "ode_log_prob",
    "predictions",
    "sample_path",
    "schedules",
    "spaced_by_noise",
    "variances",
    "variational_bound",
    "weightings",
]
