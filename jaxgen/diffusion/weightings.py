"""How the losses at different noise levels are weighed against each other.

A weighting is a function, or a small frozen dataclass that is called like one, from the `Terms` of a training step to
the loss. One that weighs the squared error of x_0 by the signal-to-noise ratio is an `ImageError`:

    weighting = ImageError(jnp.sqrt)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.diffusion.predictions import Prediction
from jaxgen.diffusion.process import Marginal

__all__ = ["ImageError", "MinSNR", "Terms", "Weighting", "bound", "simple", "snr"]


class Terms(NamedTuple):
    """What a weighting may use of a training step, each example at a timestep of its own."""

    error: Float[Array, "b ..."]
    """The squared error of what the network predicts."""
    marginal: Marginal
    """α_t and σ_t, of shape (b, 1, …)."""
    prediction: Prediction
    """What the network predicts."""
    bound: Callable[[], Float[Array, ""]]
    """An estimate of the variational bound without its constant L_T, in nats per value."""


Weighting = Callable[[Terms], Float[Array, ""]]
"""Terms -> loss."""


def simple(terms: Terms) -> Float[Array, ""]:
    """Returns the mean squared error of what is predicted, unweighted (Ho et al. 2020, eq. 14, for noise)."""
    return terms.error.mean()


def bound(terms: Terms) -> Float[Array, ""]:
    """Returns the variational bound itself (Ho et al. 2020, eq. 5). Learned variances are then trained by it alone."""
    return terms.bound()


@dataclass(frozen=True)
class ImageError:
    """The mean squared error of x_0, weighed by the signal-to-noise ratio, whatever is predicted."""

    weight: Callable[[Array], Array]
    """SNR -> weight."""

    def __call__(self, terms: Terms) -> Float[Array, ""]:
        """Returns the loss."""
        of_image = jnp.square(terms.marginal.sigma / terms.prediction.sensitivity(terms.marginal))
        return (terms.error * (self.weight(terms.marginal.snr) * of_image)).mean()


snr: ImageError = ImageError(lambda snr: snr)
"""The error of the noise, whatever is predicted."""


@dataclass(frozen=True)
class MinSNR:
    """The error of the noise, with a weight that is bounded near the data (Hang et al. 2023)."""

    gamma: float = 5.0
    """γ: the weight of the error of x_0 is min(SNR, γ)."""

    def __call__(self, terms: Terms) -> Float[Array, ""]:
        """Returns the loss."""
        return ImageError(lambda snr: jnp.minimum(snr, self.gamma))(terms)
