"""What the network of a diffusion model predicts: a ε - b x_0, where a and b depend on α_t and σ_t.

`noise`, `image`, `velocity` and `flow` are values of `Prediction`, and so is one of your own:

    score = Prediction(lambda alpha, sigma: (-1 / sigma, jnp.zeros_like(alpha)))
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.diffusion.process import Marginal

__all__ = ["Prediction", "flow", "image", "noise", "velocity"]


@dataclass(frozen=True)
class Prediction:
    """A linear target a ε - b x_0, from which x_0 follows given x_t."""

    coefficients: Callable[[Array, Array], tuple[Array, Array]]
    """(α, σ) -> (a, b), for which a α + b σ is not 0."""

    def target(self, image: Array, noise: Array, marginal: Marginal) -> Array:
        """Returns what the network should predict for x_t = α x_0 + σ ε."""
        a, b = self.coefficients(*marginal)
        return a * noise - b * image

    def image(self, output: Array, x: Array, marginal: Marginal) -> Array:
        """Returns x_0 from the network's output and x_t."""
        a, _ = self.coefficients(*marginal)
        return (a * x - marginal.sigma * output) / self.sensitivity(marginal)

    def sensitivity(self, marginal: Marginal) -> Array:
        """Returns a α + b σ: an error e of the prediction is an error of size σ e / (a α + b σ) of x_0."""
        a, b = self.coefficients(*marginal)
        return a * marginal.alpha + b * marginal.sigma


noise: Prediction = Prediction(lambda alpha, sigma: (jnp.ones_like(alpha), jnp.zeros_like(alpha)))
"""ε (Ho et al. 2020)."""

image: Prediction = Prediction(lambda alpha, sigma: (jnp.zeros_like(alpha), -jnp.ones_like(alpha)))
"""x_0."""

velocity: Prediction = Prediction(lambda alpha, sigma: (alpha, sigma))
"""α ε - σ x_0 (Salimans & Ho 2022, section 4)."""

flow: Prediction = Prediction(lambda alpha, sigma: (jnp.ones_like(alpha), jnp.ones_like(alpha)))
"""ε - x_0, the velocity of the straight line from x_0 to ε (Liu et al. 2023, Lipman et al. 2023)."""
