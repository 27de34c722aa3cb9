"""The samplers of diffusion models, as numbers: which timesteps are visited, and each step's coefficients in

    x_s = of_x x_t + of_image D + noise z,   D = x_0 + extrapolation (x_0 - the x_0 of the step before)

where x_0 is the image that the network finds in x_t, and z ~ N(0, I). α and σ are those of `jaxgen.losses.diffusion`.
"""

from typing import NamedTuple

import numpy as np

from jaxgen.losses.diffusion import transition

__all__ = ["SAMPLERS", "Coefficients", "coefficients", "visited"]

SAMPLERS = ("ancestral", "ddim", "dpm_solver", "heun")

Schedule = tuple[np.ndarray, np.ndarray]  # α and σ at t = 0 … T


class Coefficients(NamedTuple):
    """Of each step, float64."""

    of_x: np.ndarray
    of_image: np.ndarray
    noise: np.ndarray
    extrapolation: np.ndarray


def visited(sampler: str, schedule: Schedule, last: int, count: int) -> np.ndarray:
    """At most `count` of the timesteps 1 to `last`, rising, both included: evenly spaced, for the solvers of the ODE so
    that σ̃ = σ / α grows up to 80 as in Karras et al. 2022, eq. 5, with ρ = 7; what is above is one step."""
    if count == 1:
        return np.array([last])
    if sampler in ("ancestral", "ddim"):
        return np.unique(np.linspace(1, last, count).round().astype(int))
    alpha, sigma = schedule
    root = (sigma[1 : last + 1] / alpha[1 : last + 1]) ** (1 / 7)
    levels = np.linspace(root[0], min(root[-1], 80 ** (1 / 7)), count - (root[-1] > 80 ** (1 / 7)))
    return np.unique(np.abs(root[:, None] - np.append(levels, root[-1])).argmin(0)) + 1


def coefficients(sampler: str, schedule: Schedule, t: np.ndarray, s: np.ndarray, eta: float) -> Coefficients:
    """Of the steps from timesteps t to s. DDIM with η (Song et al. 2021a, eqs. 12 and 16), which with η = 1 is
    ancestral and with η = 0 the first half of Heun's step; DPM-Solver++(2M) (Lu et al. 2022, algorithm 2) extrapolates
    too, except in the first and the last step."""
    alpha, sigma = schedule
    noise = eta * np.sqrt(transition(schedule, t, s).small)
    of_x = np.sqrt(np.maximum(sigma[s] ** 2 - noise**2, 0)) / sigma[t]
    extrapolation = np.zeros(len(t))
    if sampler == "dpm_solver" and len(t) > 2:
        step = np.diff(np.log(alpha[t] / sigma[t]))
        extrapolation[1:-1] = step[1:] / (2 * step[:-1])
    return Coefficients(of_x, alpha[s] - alpha[t] * of_x, noise, extrapolation)
