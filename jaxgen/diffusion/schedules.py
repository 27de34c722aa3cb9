"""Noise schedules: how much of the data and how much noise is in x_t = α_t x_0 + σ_t ε, at t = 0 (the data), 1, …, T.

A schedule is a function, or a small frozen dataclass that is called like one: T -> (α, σ), each float64 of length
T + 1, where α_0 = 1, σ_0 = 0 and the signal-to-noise ratio α² / σ² falls. A schedule that preserves the variance,
α² + σ² = 1, can derive from `VariancePreserving` with a `cumulative` of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["LARGEST_BETA", "Cosine", "Linear", "Rectified", "Schedule", "Sigmoid", "VariancePreserving"]

Schedule = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""T -> α and σ at t = 0, …, T."""

LARGEST_BETA = 0.999
"""The largest share of the variance that one step replaces by noise, so that α_T stays above 0."""


@dataclass(frozen=True)
class VariancePreserving:
    """A schedule with σ² = 1 - α², made from ᾱ = α²."""

    def cumulative(self, u: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t"]:
        """Returns ᾱ, up to a factor, at u = t / T from 0 to 1."""
        raise NotImplementedError

    def __call__(self, timesteps: int) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
        """Returns α and σ at t = 0, …, T; no step has β above `LARGEST_BETA`."""
        cumulative = self.cumulative(np.arange(timesteps + 1) / timesteps)
        kept = np.maximum(cumulative[1:] / cumulative[:-1], 1 - LARGEST_BETA)
        alpha_bar = np.cumprod(np.append(1, kept))
        return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)


@dataclass(frozen=True)
class Linear(VariancePreserving):
    """β_t rises linearly (Ho et al. 2020, section 4). The values are those of T = 1000; other T have the same sum."""

    first: float = 1e-4
    """β_1."""
    last: float = 0.02
    """β_T."""

    def cumulative(self, u: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t"]:
        """Returns the products of 1 - β."""
        steps = len(u) - 1
        beta = np.linspace(self.first, self.last, steps) * 1000 / steps
        return np.cumprod(1 - np.append(0, np.minimum(beta, LARGEST_BETA)))


@dataclass(frozen=True)
class Cosine(VariancePreserving):
    """ᾱ is a squared cosine (Nichol & Dhariwal 2021, eq. 17)."""

    offset: float = 0.008
    """s, which keeps β from being tiny near the data."""

    def cumulative(self, u: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t"]:
        """Returns cos²((u + s) / (1 + s) · π / 2)."""
        return np.cos((u + self.offset) / (1 + self.offset) * np.pi / 2) ** 2


@dataclass(frozen=True)
class Sigmoid(VariancePreserving):
    """ᾱ is a falling sigmoid (Jabri et al. 2022, arXiv:2212.11972, algorithm 2)."""

    start: float = -3.0
    """The sigmoid's argument at the data, times τ."""
    end: float = 3.0
    """The sigmoid's argument at the noise, times τ."""
    temperature: float = 1.0
    """τ."""

    def cumulative(self, u: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t"]:
        """Returns sigmoid(-v(u)) - sigmoid(-v(1)), where v goes linearly from `start` / τ to `end` / τ."""
        span = (self.end - self.start) / self.temperature
        value = span * u + self.start / self.temperature
        return 1 / (1 + np.exp(value)) - 1 / (1 + np.exp(self.end / self.temperature))


@dataclass(frozen=True)
class Rectified:
    """Straight lines from data to noise, α = 1 - σ (Liu et al. 2023, Lipman et al. 2023)."""

    def __call__(self, timesteps: int) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
        """Returns α and σ = t / (T + 1): the last step ends just short of pure noise, where α would be 0."""
        sigma = np.arange(timesteps + 1) / (timesteps + 1)
        return 1 - sigma, sigma
