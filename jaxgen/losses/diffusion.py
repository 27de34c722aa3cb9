"""The terms of diffusion models: noise schedules, what the network predicts, weights of its error, and the Gaussians
of the variational bound. All in closed form, of α_t and σ_t alone:

    x_t = α_t x_0 + σ_t ε,   ε ~ N(0, I),   t = 0 (the data: α = 1, σ = 0), 1, …, T
"""

from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

__all__ = [
    "PREDICTIONS",
    "SCHEDULES",
    "WEIGHTINGS",
    "Transition",
    "discretised_gaussian_log_prob",
    "gaussian_kl",
    "noise_schedule",
    "transition",
]

LARGEST_BETA = 0.999  # of one step, so that α_T stays above 0


def _linear(u: np.ndarray) -> np.ndarray:
    """β from 1e-4 to 0.02 in 1,000 steps (Ho et al. 2020, section 4); other numbers of steps share their sum."""
    steps = len(u) - 1
    beta = np.linspace(1e-4, 0.02, steps) * 1000 / steps
    return np.cumprod(1 - np.append(0, np.minimum(beta, LARGEST_BETA)))


def _cosine(u: np.ndarray) -> np.ndarray:
    """Nichol & Dhariwal 2021, eq. 17, with s = 0.008."""
    return np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2


def _sigmoid(u: np.ndarray) -> np.ndarray:
    """Jabri et al. 2022 (arXiv:2212.11972), algorithm 2, from -3 to 3 with τ = 1."""
    return 1 / (1 + np.exp(6 * u - 3)) - 1 / (1 + np.exp(3))


SCHEDULES = {"linear": _linear, "cosine": _cosine, "sigmoid": _sigmoid, "rectified": None}
"""ᾱ = α² of u = t / T, up to a factor, with σ² = 1 - α²; `rectified`: α = 1 - u and σ = u (Liu et al. 2023, Lipman et
al. 2023)."""


@lru_cache
def noise_schedule(name: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """α and σ at t = 0 … T, float64 (T + 1,); `steps` is T. ValueError for an unknown name and for T < 1."""
    if name not in SCHEDULES:
        raise ValueError(f"schedule {name!r}: choose from {', '.join(SCHEDULES)}")
    if steps < 1:
        raise ValueError(f"timesteps={steps}: at least 1 is needed")
    if name == "rectified":  # the last step ends just short of pure noise, where α would be 0
        sigma = np.arange(steps + 1) / (steps + 1)
        return 1 - sigma, sigma
    cumulative = SCHEDULES[name](np.arange(steps + 1) / steps)
    kept = np.maximum(cumulative[1:] / cumulative[:-1], 1 - LARGEST_BETA)
    alpha_bar = np.cumprod(np.append(1, kept))
    return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)


PREDICTIONS = {
    "noise": lambda alpha, sigma: (jnp.ones_like(alpha), jnp.zeros_like(alpha)),
    "image": lambda alpha, sigma: (jnp.zeros_like(alpha), -jnp.ones_like(alpha)),
    "velocity": lambda alpha, sigma: (alpha, sigma),
    "flow": lambda alpha, sigma: (jnp.ones_like(alpha), jnp.ones_like(alpha)),
}
"""The network predicts a ε - b x_0; by name, (a, b) of α and σ. `velocity`: Salimans & Ho 2022, section 4; `flow`: the
velocity of the straight line from x_0 to ε, of a rectified flow."""

WEIGHTINGS = {
    "simple": None,
    "snr": lambda snr: snr,
    "min_snr": lambda snr: jnp.minimum(snr, 5.0),
    "bound": None,
}
"""Of the squared error of x_0, by SNR = α² / σ². `simple`: no weight on the error of what is predicted (Ho et al. 2020,
eq. 14, where that is the noise); `snr`: the error of the noise, whatever is predicted; `min_snr`: Hang et al. 2023 with
γ = 5; `bound`: the variational bound itself."""


class Transition(NamedTuple):
    """q(x_s | x_t, x_0) = N(of_x x_t + of_image x_0, small), for s < t; `large` is the variance of q(x_t | x_s), β_t
    where s = t - 1 (Ho et al. 2020, eqs. 6 and 7)."""

    of_x: np.ndarray
    of_image: np.ndarray
    small: np.ndarray
    large: np.ndarray


def transition(schedule: tuple[np.ndarray, np.ndarray], t: np.ndarray, s: np.ndarray) -> Transition:
    """The transitions of timesteps t to earlier ones s, each in float64."""
    alpha, sigma = schedule
    kept = alpha[t] / alpha[s]
    large = sigma[t] ** 2 - kept**2 * sigma[s] ** 2
    remaining = sigma[s] ** 2 / sigma[t] ** 2
    return Transition(kept * remaining, alpha[s] * large / sigma[t] ** 2, large * remaining, large)


def gaussian_kl(
    mean: Array, log_variance: Array | float, other_mean: Array | float, other_log_variance: Array | float
) -> Float[Array, "..."]:
    """KL(N(mean, variance) || N(other mean, other variance)) of each value, in nats."""
    difference = log_variance - other_log_variance
    return 0.5 * (jnp.exp(difference) + jnp.square(mean - other_mean) * jnp.exp(-other_log_variance) - 1 - difference)


def discretised_gaussian_log_prob(
    image: Float[Array, "*#s"], mean: Float[Array, "*#s"], scale: Float[Array, "*#s"], levels: int = 256
) -> Float[Array, "*s"]:
    """log of the mass that N(mean, scale²) puts on each value's grey level in [-1, 1], the outermost open (Ho et al.
    2020, eq. 13), in nats."""
    half = 1 / (levels - 1)
    # A normal's tail is exact only on its lower side, so what lies above the mean is mirrored.
    distance = -jnp.abs(image - mean)
    upper, lower = log_ndtr((distance + half) / scale), log_ndtr((distance - half) / scale)
    inside = upper + jnp.log(-jnp.expm1(jnp.minimum(lower - upper, -1e-7)))
    lowest = log_ndtr((image - mean + half) / scale)
    highest = log_ndtr((mean - image + half) / scale)
    return jnp.where(image < half - 1, lowest, jnp.where(image > 1 - half, highest, inside))
