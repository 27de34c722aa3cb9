"""The loop of every sampler: from noise, or from a noisy image, to the data."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxgen.diffusion.denoiser import Denoiser
from jaxgen.diffusion.samplers import Sampler, Step

__all__ = ["Known", "Progress", "sample_path"]

T = TypeVar("T")

Known = tuple[Float[Array, "..."], Float[Array, "..."]]
"""Images, and a mask that is above 0 where they are known."""

Progress = Callable[[int], None]
"""Called on the host with the number of each step after it."""


def sample_path(
    sampler: Sampler,
    denoiser: Denoiser,
    x: Float[Array, "b ..."],
    key: Key[Array, ""] | None = None,
    *,
    start: int | None = None,
    known: Known | None = None,
    frames: int = 1,
    progress: Progress | None = None,
) -> Float[Array, "frames b ..."]:
    """Goes from x at timestep `start` (None: T, where x is noise) to the data, and returns x at `frames` moments (at
    most one a step), evenly spaced; the last are the samples.

    Pixels that are `known` are put in after each step, as noisy as the step is (Lugmayr et al. 2022, eq. 8, without
    resampling). ValueError where a key is needed for noise but not given, and for timesteps that do not fall from
    `start`.
    """
    process = denoiser.process
    start = process.timesteps if start is None else start
    t = _checked(sampler, sampler.timesteps(process, start), start)
    s = np.append(t[1:], 0)
    if (sampler.stochastic or known is not None) and key is None:
        raise ValueError(f"{sampler}: a key is needed for its noise")
    keys = None if key is None else jax.random.split(key, len(t))
    frames = min(frames, len(t))
    numbers = process.marginal(t), process.marginal(s), process.transition(t, s), sampler.coefficients(process, t, s)
    steps = Step(t, s, *_cast(numbers, x.dtype), keys)
    slots = np.arange(len(t)) * frames // len(t)

    def one(carry, inputs):
        x, memory, history = carry
        known_key: Any = None
        number, slot, step = inputs
        if step.key is not None:
            step_key, known_key = jax.random.split(step.key)
            step = step._replace(key=step_key)
        x, memory = sampler.step(denoiser, x, memory, step)
        if known is not None:
            image, mask = known
            noisy = step.after.alpha * image + step.after.sigma * jax.random.normal(known_key, x.shape)
            x = jnp.where(mask > 0, noisy, x)
        if progress is not None:
            jax.debug.callback(progress, number)
        return (x, memory, history.at[slot].set(x)), None

    history = jnp.zeros((frames, *x.shape), x.dtype)
    inputs = np.arange(1, len(t) + 1), slots, steps
    return jax.lax.scan(one, (x, sampler.init(x), history), inputs)[0][2]


def _checked(sampler: Sampler, t: np.ndarray, start: int) -> Int[np.ndarray, "steps"]:
    t = np.asarray(t)
    whole = np.issubdtype(t.dtype, np.integer)
    if not whole or t.ndim != 1 or len(t) == 0 or t[0] != start or t[-1] < 1 or (np.diff(t) >= 0).any():
        raise ValueError(
            f"{sampler}: timesteps {t.tolist()}, but whole numbers that fall from {start}, all above 0, are needed"
        )
    return t


def _cast(tree: T, dtype: jnp.dtype) -> T:
    """Real numbers as arrays of `dtype`."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype if np.issubdtype(x.dtype, np.floating) else None), tree)
