"""How likely data are under a denoiser: the variational bound, and the probability-flow ODE. All in nats."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float, Int, Key

from jaxgen.diffusion.denoiser import Denoiser, Reverse
from jaxgen.diffusion.process import Transition, broadcast
from jaxgen.diffusion.samplers import spaced_by_noise

__all__ = [
    "Bound",
    "bound_term",
    "discretised_gaussian_log_prob",
    "gaussian_kl",
    "ode_bound",
    "ode_log_prob",
    "variational_bound",
]


class Bound(NamedTuple):
    """The terms of the negative variational bound, in nats per example (Ho et al. 2020, eq. 5)."""

    prior: Float[Array, "b"]
    """L_T."""
    diffusion: Float[Array, "b"]
    """The sum of L_1 to L_{T-1}."""
    decoder: Float[Array, "b"]
    """L_0."""


def variational_bound(
    denoiser: Denoiser,
    key: Key[Array, ""],
    image: Float[Array, "b ..."],
    evaluations: int | None = None,
    *,
    discrete: bool = True,
) -> Bound:
    """Returns the terms of -log p(x) ≤ L_T + Σ L_t + L_0, one draw of noise each.

    Of the T - 1 timesteps in the sum, `evaluations`, stratified and drawn for each example, stand for all (None: all).
    Where `discrete`, the images have 256 grey levels in [-1, 1] and their probability counts, else their density.
    """
    process, n = denoiser.process, len(image)
    every = process.timesteps - 1
    count = every if evaluations is None else min(evaluations, every)
    time_key, noise_key, decoder_key = jax.random.split(key, 3)

    def term(t, key):
        alpha, sigma = broadcast(process.marginal(t), image.ndim)
        x = alpha * image + sigma * jax.random.normal(key, image.shape)
        between = broadcast(process.step_back(t), image.ndim)
        return _total(bound_term(image, x, t, denoiser.reverse(x, t, between), between, discrete))

    if count == 0:
        total = jnp.zeros(n)
    else:
        shift = jax.random.uniform(time_key, (count, n)) if evaluations is not None else 0.5
        strata = (jnp.arange(count)[:, None] + shift) / count * every
        times = jnp.broadcast_to(strata.astype(jnp.int32), (count, n)).clip(0, every - 1) + 2
        terms = jax.lax.map(lambda inputs: term(*inputs), (times, jax.random.split(noise_key, count)))
        total = terms.mean(0) * every
    first = term(jnp.ones(n, jnp.int32), decoder_key)
    alpha, sigma = (float(x[-1]) for x in process.table)
    prior = gaussian_kl(alpha * image, 2 * math.log(sigma), 0.0, process.log_prior_variance)
    return Bound(_total(prior), total, first)


def bound_term(
    image: Float[Array, "b ..."],
    x: Float[Array, "b ..."],
    t: Int[Array, "b"],
    found: Reverse,
    between: Transition,
    discrete: bool,
) -> Float[Array, "b ..."]:
    """Returns KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) of each value; at t = 1, -log p(x_0 | x_1).

    `between` is `process.step_back(t)`, and `found` what the denoiser says of x = x_t and `between`.
    """
    mean = between.of_x * x + between.of_image * found.image
    true_mean = between.of_x * x + between.of_image * image
    kl = gaussian_kl(true_mean, jnp.log(between.small), mean, found.log_variance)
    if discrete:
        decoder = -discretised_gaussian_log_prob(image, mean, jnp.exp(0.5 * found.log_variance))
    else:
        squared = jnp.square(image - mean) * jnp.exp(-found.log_variance)
        decoder = 0.5 * (squared + found.log_variance + math.log(2 * math.pi))
    return jnp.where(t.reshape(-1, *[1] * (image.ndim - 1)) == 1, decoder, kl)


def ode_log_prob(
    denoiser: Denoiser, key: Key[Array, ""], x: Float[Array, "b ..."], steps: int = 100
) -> Float[Array, "b"]:
    """Returns log p(x) by the probability-flow ODE (Song et al. 2021b, section 4.3), for x as at the first timestep,
    where σ is small: the log density of the noise that x leads to, and the divergence on the way, by Heun's method.

    The divergence is that along one random direction of ±1, an unbiased estimate (Hutchinson), exact for points (b, d).
    """
    process, values = denoiser.process, math.prod(x.shape[1:])
    times = spaced_by_noise(process, process.timesteps, min(steps + 1, process.timesteps))[::-1].copy()
    alpha, sigma = process.table
    directions = jax.random.rademacher(key, (1, *x.shape), x.dtype)
    if x.ndim == 2:
        directions = jnp.broadcast_to(jnp.eye(values)[:, None], (values, *x.shape))

    def image_of(scaled, t):
        """x_0 found from x̃ = x / α, and its divergence with respect to x̃."""
        alpha = process.marginal(t).alpha
        image, along = jax.linearize(lambda x: denoiser(alpha * x, t), scaled)
        divergence = sum(_total(direction * along(direction)) for direction in directions)
        return image, divergence

    def one(carry, inputs):
        # With σ̃ = σ / α, dx̃ = (x̃ - x_0) d log σ̃: what x̃ itself adds to the divergence is known.
        scaled, total = carry
        t, s, ratio = inputs
        first, first_divergence = image_of(scaled, t)
        slope = scaled - first
        second, second_divergence = image_of(first + ratio * slope, s)
        scaled += (ratio - 1) / 2 * (slope + slope + (first - second) / ratio)
        return (scaled, total - jnp.log(ratio) / 2 * (first_divergence + second_divergence)), None

    ratios = jnp.asarray(np.exp(np.diff(np.log(sigma[times] / alpha[times]))), x.dtype)
    start = x / alpha[1], jnp.zeros(len(x), x.dtype)
    (scaled, total), _ = jax.lax.scan(one, start, (times[:-1], times[1:], ratios))
    end = alpha[-1] * scaled
    variance = math.exp(process.log_prior_variance)
    density = -0.5 * jnp.square(end) / variance - 0.5 * math.log(2 * math.pi * variance)
    return _total(density) + total + values * math.log(sigma[-1] / sigma[1])


def ode_bound(
    denoiser: Denoiser, key: Key[Array, ""], image: Float[Array, "b ..."], steps: int = 100, *, discrete: bool = True
) -> Float[Array, "b"]:
    """Returns an upper bound of -log p(x_0) by the likelihood of the probability-flow ODE: E[log q(x_1 | x_0) -
    log p_ODE(x_1) - log p(x_0 | x_1)] over x_1, which is x_0 with the noise of the first timestep."""
    process = denoiser.process
    noise_key, key = jax.random.split(key)
    t = jnp.ones(len(image), jnp.int32)
    alpha, sigma = broadcast(process.marginal(t), image.ndim)
    noise = jax.random.normal(noise_key, image.shape)
    x = alpha * image + sigma * noise
    between = broadcast(process.step_back(t), image.ndim)
    decoder = bound_term(image, x, t, denoiser.reverse(x, t, between), between, discrete)
    entropy = -0.5 * jnp.square(noise) - 0.5 * math.log(2 * math.pi) - jnp.log(sigma)
    return _total(entropy + decoder) - ode_log_prob(denoiser, key, x, steps)


def gaussian_kl(
    mean: Array, log_variance: Array | float, other_mean: Array | float, other_log_variance: Array | float
) -> Float[Array, "..."]:
    """Returns KL(N(mean, variance) || N(other mean, other variance)) of each value."""
    difference = log_variance - other_log_variance
    return 0.5 * (jnp.exp(difference) + jnp.square(mean - other_mean) * jnp.exp(-other_log_variance) - 1 - difference)


def discretised_gaussian_log_prob(
    image: Float[Array, "*#s"], mean: Float[Array, "*#s"], scale: Float[Array, "*#s"], levels: int = 256
) -> Float[Array, "*s"]:
    """Returns the logarithm of the mass that N(mean, scale²) puts on each value's grey level in [-1, 1], the outermost
    levels open (Ho et al. 2020, eq. 13)."""
    half = 1 / (levels - 1)
    # A normal's tail is exact only on its lower side, so what lies above the mean is mirrored.
    distance = -jnp.abs(image - mean)
    upper, lower = log_ndtr((distance + half) / scale), log_ndtr((distance - half) / scale)
    inside = upper + jnp.log(-jnp.expm1(jnp.minimum(lower - upper, -1e-7)))
    lowest = log_ndtr((image - mean + half) / scale)
    highest = log_ndtr((mean - image + half) / scale)
    return jnp.where(image < half - 1, lowest, jnp.where(image > 1 - half, highest, inside))


def _total(values: Float[Array, "b ..."]) -> Float[Array, "b"]:
    """The sum over the values of each example."""
    return values.reshape(len(values), -1).sum(1)
