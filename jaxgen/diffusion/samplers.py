"""The samplers, each a small frozen dataclass that says which timesteps are visited and how x_t becomes x_s.

A sampler of your own derives from `Sampler`. It needs `timesteps` and `step`, and works wherever the library's do:

    @dataclass(frozen=True)
    class Euler(Sampler):
        steps: int = 50

        def timesteps(self, process, start):
            return evenly_spaced(process, start, self.steps)

        def step(self, denoiser, x, memory, step):
            image = denoiser(x, step.t)
            noise = (x - step.before.alpha * image) / step.before.sigma
            return step.after.alpha * image + step.after.sigma * noise, memory

    images = diffusion.sample(state, key, 64, sampler=Euler(20))

The loop, its key, known pixels, frames and progress are the library's: see `jaxgen.diffusion.sampling`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen.diffusion.denoiser import Denoiser
from jaxgen.diffusion.process import DiscreteProcess, Marginal, Transition

__all__ = [
    "DDIM",
    "Ancestral",
    "DPMSolver",
    "Heun",
    "Sampler",
    "Step",
    "evenly_spaced",
    "spaced_by_noise",
]

RHO = 7  # of the spacing by noise (Karras et al. 2022, eq. 5)
LARGEST_LEVEL = 80  # up to which σ / α is spaced


class Step(NamedTuple):
    """One step of a sampler, from timestep t to s. Inside the loop its numbers are traced scalars."""

    t: Any
    """The timestep of x, at least 1."""
    s: Any
    """The timestep that the step leads to; 0 is the data."""
    before: Marginal
    """α and σ at t."""
    after: Marginal
    """α and σ at s."""
    transition: Transition
    """q(x_s | x_t, x_0)."""
    coefficients: Any
    """What `Sampler.coefficients` returned for this step."""
    key: Any
    """A key for noise; None where the sampler is not `stochastic` and no key was given."""


class Sampler:
    """What all samplers share, and what one of your own overrides: `timesteps` and `step`, and the others at need."""

    @property
    def stochastic(self) -> bool:
        """Whether `step` draws noise from `step.key`."""
        return False

    def timesteps(self, process: DiscreteProcess, start: int) -> Int[np.ndarray, "steps"]:
        """Returns the timesteps to visit, falling, the first of which is `start`: T, or less where an image is edited.
        After the last one, at least 1, the loop goes on to 0."""
        raise NotImplementedError

    def coefficients(self, process: DiscreteProcess, t: Int[np.ndarray, "steps"], s: Int[np.ndarray, "steps"]) -> Any:
        """Returns numbers that the steps from t to s need, any pytree of arrays (steps, ...), computed before the loop
        in double precision; each step finds its own in `step.coefficients`."""
        return None

    def init(self, x: Float[Array, "b ..."]) -> Any:
        """Returns the memory before the first step, any pytree of arrays."""
        return None

    def step(
        self, denoiser: Denoiser, x: Float[Array, "b ..."], memory: Any, step: Step
    ) -> tuple[Float[Array, "b ..."], Any]:
        """Returns x_s and the memory for the next step. `denoiser(x, t)` is x_0 as found in x_t, guided and clipped;
        `denoiser.reverse` tells the model's variance of a step too."""
        raise NotImplementedError


def evenly_spaced(process: DiscreteProcess, start: int, steps: int | None) -> Int[np.ndarray, "steps"]:
    """Returns the timesteps from `start` down to 1, evenly spaced: of all T timesteps `steps` (None: all) are visited,
    and of the first `start` their share."""
    count = _count(process, start, steps)
    if count == 1:
        return np.array([start])
    return np.unique(np.linspace(1, start, count).round().astype(int))[::-1]


def spaced_by_noise(process: DiscreteProcess, start: int, steps: int | None) -> Int[np.ndarray, "steps"]:
    """Returns timesteps like `evenly_spaced`, but spaced so that σ / α grows up to 80 as in Karras et al. 2022, eq. 5,
    with ρ = 7. What lies above 80 is one step."""
    count = _count(process, start, steps)
    if count == 1:
        return np.array([start])
    alpha, sigma = process.table
    root = (sigma[1 : start + 1] / alpha[1 : start + 1]) ** (1 / RHO)
    largest = LARGEST_LEVEL ** (1 / RHO)
    levels = np.append(np.linspace(root[0], min(root[-1], largest), count - (root[-1] > largest)), root[-1])
    return (np.unique(np.abs(root[:, None] - levels).argmin(0)) + 1)[::-1]


def _count(process: DiscreteProcess, start: int, steps: int | None) -> int:
    if steps is not None and not 1 <= steps <= process.timesteps:
        raise ValueError(f"steps={steps}: 1 to the {process.timesteps} timesteps are allowed")
    return max(1, round((steps or process.timesteps) * start / process.timesteps))


class Linear(NamedTuple):
    """The coefficients of x_s = of_x x_t + of_image x_0 + noise z, with z ~ N(0, I)."""

    of_x: np.ndarray
    of_image: np.ndarray
    noise: np.ndarray


def linear(process: DiscreteProcess, t: np.ndarray, s: np.ndarray, eta: float) -> Linear:
    """Returns the coefficients of DDIM's steps (Song et al. 2021a, eqs. 12 and 16)."""
    (_, sigma_t), (alpha_s, sigma_s) = process.marginal(t), process.marginal(s)
    noise = eta * process.transition(t, s).scale
    of_x = np.sqrt(np.maximum(sigma_s**2 - noise**2, 0)) / sigma_t
    return Linear(of_x, alpha_s - process.marginal(t).alpha * of_x, noise)


@dataclass(frozen=True)
class Ancestral(Sampler):
    """DDPM (Ho et al. 2020, algorithm 2): each step draws from p(x_s | x_t), with the model's variance."""

    steps: int | None = None
    """The number of timesteps that are visited; None: all."""

    @property
    def stochastic(self) -> bool:
        """True: every step but the last draws noise."""
        return True

    def timesteps(self, process: DiscreteProcess, start: int) -> Int[np.ndarray, "steps"]:
        """Returns evenly spaced timesteps."""
        return evenly_spaced(process, start, self.steps)

    def coefficients(self, process: DiscreteProcess, t: np.ndarray, s: np.ndarray) -> Linear:
        """Returns the mean of q(x_s | x_t, x_0), as DDIM with η = 1 has it."""
        return linear(process, t, s, 1.0)

    def step(self, denoiser: Denoiser, x: Array, memory: Any, step: Step) -> tuple[Array, Any]:
        """Returns the mean and noise; without noise where x_s is the data."""
        image, _, scale = denoiser.reverse(x, step.t, step.transition)
        mean = step.coefficients.of_x * x + step.coefficients.of_image * image
        return mean + jnp.where(step.s > 0, scale, 0) * jax.random.normal(step.key, x.shape), memory


@dataclass(frozen=True)
class DDIM(Sampler):
    """DDIM (Song et al. 2021a), which for a rectified flow is Euler's method."""

    steps: int | None = None
    """The number of timesteps that are visited; None: all."""
    eta: float = 0.0
    """η: 0 is deterministic, 1 is ancestral sampling with the variance `small`."""

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta={self.eta}: 0 to 1 is allowed")

    @property
    def stochastic(self) -> bool:
        """Whether η is above 0."""
        return self.eta > 0

    def timesteps(self, process: DiscreteProcess, start: int) -> Int[np.ndarray, "steps"]:
        """Returns evenly spaced timesteps."""
        return evenly_spaced(process, start, self.steps)

    def coefficients(self, process: DiscreteProcess, t: np.ndarray, s: np.ndarray) -> Linear:
        """Returns those of eq. 12."""
        return linear(process, t, s, self.eta)

    def step(self, denoiser: Denoiser, x: Array, memory: Any, step: Step) -> tuple[Array, Any]:
        """Returns eq. 12."""
        of_x, of_image, noise = step.coefficients
        after = of_x * x + of_image * denoiser(x, step.t)
        return after + noise * jax.random.normal(step.key, x.shape) if self.stochastic else after, memory


class Multistep(NamedTuple):
    """The coefficients of x_s = of_x x_t + of_image (x_0 + extrapolation (x_0 - the x_0 of the step before))."""

    of_x: np.ndarray
    of_image: np.ndarray
    extrapolation: np.ndarray


@dataclass(frozen=True)
class DPMSolver(Sampler):
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), of second order with one evaluation of the network a step."""

    steps: int | None = None
    """The number of timesteps that are visited; None: all."""

    def timesteps(self, process: DiscreteProcess, start: int) -> Int[np.ndarray, "steps"]:
        """Returns timesteps spaced by noise."""
        return spaced_by_noise(process, start, self.steps)

    def coefficients(self, process: DiscreteProcess, t: np.ndarray, s: np.ndarray) -> Multistep:
        """Returns those of DDIM, and how far x_0 is extrapolated, which the first and the last step do not."""
        of_x, of_image, _ = linear(process, t, s, 0.0)
        extrapolation = np.zeros(len(t))
        if len(t) > 2:
            alpha, sigma = process.marginal(t)
            step = np.diff(np.log(alpha / sigma))
            extrapolation[1:-1] = step[1:] / (2 * step[:-1])
        return Multistep(of_x, of_image, extrapolation)

    def init(self, x: Array) -> Array:
        """Returns the x_0 before the first step, which is not used."""
        return jnp.zeros_like(x)

    def step(self, denoiser: Denoiser, x: Array, memory: Array, step: Step) -> tuple[Array, Array]:
        """Returns x_s, and the x_0 found in x_t."""
        of_x, of_image, extrapolation = step.coefficients
        image = denoiser(x, step.t)
        return of_x * x + of_image * (image + extrapolation * (image - memory)), image


@dataclass(frozen=True)
class Heun(Sampler):
    """Heun's method for the probability-flow ODE dx̃ = ε dσ̃, where x̃ = x / α and σ̃ = σ / α (Karras et al. 2022,
    algorithm 1): of second order, with two evaluations of the network a step, one in the last."""

    steps: int | None = None
    """The number of timesteps that are visited; None: all."""

    def timesteps(self, process: DiscreteProcess, start: int) -> Int[np.ndarray, "steps"]:
        """Returns timesteps spaced by noise."""
        return spaced_by_noise(process, start, self.steps)

    def coefficients(self, process: DiscreteProcess, t: np.ndarray, s: np.ndarray) -> Linear:
        """Returns those of Euler's step, which is DDIM's."""
        return linear(process, t, s, 0.0)

    def step(self, denoiser: Denoiser, x: Array, memory: Any, step: Step) -> tuple[Array, Any]:
        """Returns Euler's step and, except at the last, the step again with the mean of the slopes at its two ends."""
        (alpha, sigma), (new_alpha, new_sigma) = step.before, step.after
        image = denoiser(x, step.t)
        euler = step.coefficients.of_x * x + step.coefficients.of_image * image

        def corrected() -> Array:
            first = (x - alpha * image) / sigma
            second = (euler - new_alpha * denoiser(euler, step.s)) / new_sigma
            change = new_sigma / new_alpha - sigma / alpha
            return new_alpha * (x / alpha + change * (first + second) / 2)

        return jax.lax.cond(step.s > 0, corrected, lambda: euler), memory
