"""The forward process, which turns data into noise, in closed form:

    x_t = α_t x_0 + σ_t ε,   ε ~ N(0, I),   t = 0 (the data: α = 1, σ = 0), 1, …, T

What trains and samples asks a process for the marginals q(x_t | x_0) and the transitions q(x_s | x_t, x_0) and reads
nothing else of the schedule.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxgen.diffusion.schedules import Linear, Schedule

__all__ = ["DiscreteProcess", "Marginal", "Transition"]

T = TypeVar("T", bound=tuple)


class Marginal(NamedTuple):
    """q(x_t | x_0) = N(α_t x_0, σ_t² I), at one timestep or at an array of timesteps."""

    alpha: Any
    sigma: Any

    @property
    def snr(self) -> Any:
        """The signal-to-noise ratio α² / σ²."""
        return jnp.square(self.alpha / self.sigma)


class Transition(NamedTuple):
    """q(x_s | x_t, x_0) = N(of_x x_t + of_image x_0, small), for s < t (Ho et al. 2020, eqs. 6 and 7)."""

    of_x: Any
    of_image: Any
    small: Any
    """The variance of q(x_s | x_t, x_0)."""
    scale: Any
    """The square root of `small`."""
    large: Any
    """The variance of q(x_t | x_s), which is β_t where s = t - 1."""


@dataclass(frozen=True)
class DiscreteProcess:
    """A process of T timesteps, by a table of α and σ."""

    schedule: Schedule = field(default_factory=Linear)
    """A function from T to α and σ at t = 0, …, T; see `jaxgen.diffusion.schedules`."""
    timesteps: int = 1000
    """T."""

    def __post_init__(self) -> None:
        if self.timesteps < 1:
            raise ValueError(f"timesteps={self.timesteps}: at least 1 is needed")
        alpha, sigma = self.table
        if alpha.shape != (self.timesteps + 1,) or sigma.shape != alpha.shape:
            raise ValueError(
                f"schedule {self.schedule}: α and σ of length {self.timesteps + 1} are needed, for t = 0 to "
                f"T = {self.timesteps}, but their shapes are {alpha.shape} and {sigma.shape}"
            )
        with np.errstate(all="ignore"):
            falls = np.diff(alpha[1:] / sigma[1:]) < 0
        if alpha[0] != 1 or sigma[0] != 0 or alpha[-1] <= 0 or not falls.all():
            raise ValueError(
                f"schedule {self.schedule}: α_0 = 1 and σ_0 = 0 are needed, and a ratio α / σ that falls and stays "
                "above 0"
            )

    @cached_property
    def table(self) -> Marginal:
        """α and σ at t = 0, …, T, float64."""
        alpha, sigma = self.schedule(self.timesteps)
        return Marginal(np.asarray(alpha, np.float64), np.asarray(sigma, np.float64))

    def marginal(self, t: int | np.integer | Int[np.ndarray | Array, "..."]) -> Marginal:
        """Returns α_t and σ_t: float64 for NumPy timesteps, float32 for those of JAX."""
        if isinstance(t, int | np.integer | np.ndarray):
            return Marginal(self.table.alpha[t], self.table.sigma[t])
        return Marginal(*(jnp.asarray(x, jnp.float32)[t] for x in self.table))

    def transition(self, t: Int[np.ndarray, "..."], s: Int[np.ndarray, "..."]) -> Transition:
        """Returns q(x_s | x_t, x_0) from timesteps t to earlier ones s, in float64."""
        alpha, sigma = self.table
        kept = alpha[t] / alpha[s]
        large = sigma[t] ** 2 - kept**2 * sigma[s] ** 2
        remaining = sigma[s] ** 2 / sigma[t] ** 2
        small = large * remaining
        return Transition(kept * remaining, alpha[s] * large / sigma[t] ** 2, small, np.sqrt(small), large)

    def step_back(self, t: Int[Array, "b"]) -> Transition:
        """Returns q(x_{t-1} | x_t, x_0), float32. At t = 1, where the variance is 0, `small` is that of t = 2, which
        p(x_0 | x_1) takes over."""
        every = np.arange(1, self.timesteps + 1)
        terms = self.transition(every, every - 1)
        small = np.append(terms.small[1:2] if len(every) > 1 else terms.large, terms.small[1:])
        terms = terms._replace(small=small, scale=np.sqrt(small))
        return Transition(*(jnp.asarray(x, jnp.float32)[t - 1] for x in terms))

    def draw_timesteps(self, key: Key[Array, ""], n: int) -> Int[Array, "n"]:
        """Draws the timesteps of n training examples, uniform in 1, …, T."""
        return jax.random.randint(key, (n,), 1, self.timesteps + 1)

    def conditioning(self, t: Int[Array, "..."]) -> Float[Array, "..."]:
        """Returns what the network is told of the time: t - 1, in units in which T is 1,000."""
        return (t - 1) * (1000 / self.timesteps)

    @property
    def log_prior_variance(self) -> float:
        """The logarithm of the variance of p(x_T): 0, or log σ_T² where the schedule does not preserve the variance."""
        alpha, sigma = (float(x[-1]) for x in self.table)
        return 0.0 if math.isclose(alpha**2 + sigma**2, 1, rel_tol=1e-9) else 2 * math.log(sigma)


def broadcast(parts: T, ndim: int) -> T:
    """Returns a `Marginal` or `Transition` with axes of length 1 appended to its arrays (b,), up to `ndim` axes."""
    return type(parts)(*(x.reshape(*x.shape, *[1] * (ndim - x.ndim)) if x.ndim else x for x in parts))
