"""The denoiser: x_0 as found in x_t. It is all that samplers and likelihoods know of a model.

A denoiser that is known in closed form needs no network:

    denoiser = Denoiser(process, lambda x, t: (mean_of_data(x, t), None))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.diffusion import predictions, variances
from jaxgen.diffusion.predictions import Prediction
from jaxgen.diffusion.process import DiscreteProcess, Transition, broadcast
from jaxgen.diffusion.variances import Variance

__all__ = ["Denoiser", "Reverse"]


class Reverse(NamedTuple):
    """What a step back from x_t to x_s is drawn from."""

    image: Float[Array, "b ..."]
    """x_0, found in x_t."""
    log_variance: Array
    """The logarithm of the variance of p(x_s | x_t)."""
    scale: Array
    """The standard deviation of p(x_s | x_t)."""


@dataclass(frozen=True)
class Denoiser:
    """(x_t, t) -> x_0, where t is one timestep or one for each example."""

    process: DiscreteProcess
    """Where x_t comes from."""
    predict: Callable[[Array, Any], tuple[Array, Array | None]]
    """(x_t, t) -> the prediction, and `v` of a learned variance or None."""
    prediction: Prediction = predictions.image
    """What `predict` predicts."""
    variance: Variance = variances.large
    """The variance of a step back."""
    clip: bool = False
    """Whether x_0 is kept within [-1, 1]."""

    def __call__(self, x: Float[Array, "b ..."], t: Any) -> Float[Array, "b ..."]:
        """Returns the x_0 found in x_t."""
        return self._found(x, t)[0]

    def reverse(self, x: Float[Array, "b ..."], t: Any, between: Transition) -> Reverse:
        """Returns the x_0 found in x_t, and the width of p(x_s | x_t) for the transition `between` t and s."""
        image, v = self._found(x, t)
        return Reverse(image, self.variance.log_variance(between, v), self.variance.scale(between, v))

    def _found(self, x: Array, t: Any) -> tuple[Array, Array | None]:
        t = jnp.asarray(t)
        output, v = self.predict(x, t)
        image = self.prediction.image(output, x, broadcast(self.process.marginal(t), x.ndim))
        return jnp.clip(image, -1, 1) if self.clip else image, v
