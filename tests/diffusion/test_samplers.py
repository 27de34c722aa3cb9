"""The samplers on normal data, for which the best denoiser is linear and all that they make is known in closed form."""

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import (
    DDIM,
    Ancestral,
    DiscreteProcess,
    DPMSolver,
    Heun,
    Sampler,
    evenly_spaced,
    sample_path,
    spaced_by_noise,
    variances,
)
from jaxgen.diffusion.schedules import Cosine, Linear, Rectified, Sigmoid


@dataclass(frozen=True)
class AdamsBashforth(Sampler):
    """A user's sampler: the two-step method of Adams and Bashforth for dx̃ = ε dσ̃, with x̃ = x / α and σ̃ = σ / α."""

    steps: int = 50

    def timesteps(self, process, start):
        return spaced_by_noise(process, start, self.steps)

    def coefficients(self, process, t, s):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = process.marginal(t), process.marginal(s)
        h = sigma_s / alpha_s - sigma_t / alpha_t
        return h, np.append(0, h[1:] / h[:-1] / 2)

    def init(self, x):
        return jnp.zeros_like(x)

    def step(self, denoiser, x, memory, step):
        h, share = step.coefficients
        noise = (x - step.before.alpha * denoiser(x, step.t)) / step.before.sigma
        slope = noise + share * (noise - memory)
        return step.after.alpha * (x / step.before.alpha + h * slope), noise


def sampled(sampler, denoiser, n):
    latent_key, key = jax.random.split(jax.random.key(0))
    latent = jax.random.normal(latent_key, (n, 2))
    return np.asarray(jax.jit(lambda x, key: sample_path(sampler, denoiser, x, key)[-1])(latent, key))


@pytest.mark.parametrize(
    ("sampler", "schedule", "variance"),
    [
        (Ancestral(), Linear(), variances.small),
        (Ancestral(), Cosine(), variances.large),
        (DDIM(eta=0.5), Linear(), variances.large),
        (DDIM(200), Linear(), variances.large),
        (DDIM(200), Rectified(), variances.large),
        (DPMSolver(30), Linear(), variances.large),
        (DPMSolver(60), Sigmoid(), variances.large),
        (Heun(30), Linear(), variances.large),
        (AdamsBashforth(60), Linear(), variances.large),
    ],
    ids=str,
)
def test_samplers_reproduce_a_gaussian(sampler, schedule, variance, gaussian):
    samples = sampled(sampler, gaussian.denoiser(DiscreteProcess(schedule), variance=variance), 8000)
    np.testing.assert_allclose(samples.mean(0), gaussian.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(samples.T), gaussian.covariance, atol=0.02)


@pytest.mark.parametrize(
    ("sampler", "variance", "eta"),
    [
        (Ancestral(6), variances.small, 1.0),
        (Ancestral(6), variances.large, None),
        (DDIM(6, eta=1.0), variances.large, 1.0),
        (DDIM(6, eta=0.4), variances.large, 0.4),
        (DDIM(6), variances.large, 0.0),
    ],
    ids=str,
)
def test_few_steps_make_the_gaussian_of_their_recursion(sampler, variance, eta, gaussian):
    """A step is linear in x_t, so mean and covariance go from timestep to timestep in closed form: with six steps far
    from the data's. `eta` None: the mean of q(x_s | x_t, x_0), with the variance of q(x_t | x_s)."""
    process = DiscreteProcess(Cosine(), 100)
    mean, covariance = np.zeros(2), np.eye(2)
    visited = [100, 80, 60, 41, 21, 1, 0]
    for t, s in pairwise(visited):
        (alpha, sigma), (after_alpha, after_sigma) = process.marginal(t), process.marginal(s)
        between = process.transition(np.array(t), np.array(s))
        added = (1 if eta is None else eta**2) * between.small
        of_x = np.sqrt(after_sigma**2 - added) / sigma
        of_image = after_alpha - alpha * of_x
        gain = gaussian.gain(alpha, sigma)
        matrix = of_x * np.eye(2) + of_image * gain
        mean = matrix @ mean + of_image * (gaussian.mean - alpha * gain @ gaussian.mean)
        covariance = matrix @ covariance @ matrix.T + (between.large if eta is None and s else added) * np.eye(2)
    samples = sampled(sampler, gaussian.denoiser(process, variance=variance), 20_000)
    np.testing.assert_allclose(samples.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(samples.T), covariance, atol=0.012)


@pytest.mark.parametrize("sampler", [Ancestral(1), DDIM(1, eta=1.0), DPMSolver(1), Heun(1)], ids=str)
def test_the_last_step_is_to_the_image_itself(sampler, gaussian):
    denoiser, latent = gaussian.denoiser(DiscreteProcess()), jax.random.normal(jax.random.key(0), (5, 2))
    made = sample_path(sampler, denoiser, latent, jax.random.key(1))[-1]
    np.testing.assert_allclose(made, denoiser(latent, 1000), atol=1e-6)


def test_solvers_follow_the_probability_flow_with_their_order(gaussian):
    """From the same noise, against the flow in closed form, which goes on to σ = 0 where the solvers take one step."""
    process, latent = DiscreteProcess(), jax.random.normal(jax.random.key(0), (200, 2))
    denoiser, exact = gaussian.denoiser(process), gaussian.flow(process, latent)

    def error(sampler):
        return float(np.abs(sample_path(sampler, denoiser, latent)[-1] - exact).mean())

    assert error(Heun()) < 1e-3
    assert error(DPMSolver(10)) < 0.5 * error(DDIM(10))
    assert 12 < error(Heun(20)) / error(Heun(80)) < 30  # of second order: 16
    assert 3 < error(DDIM(20)) / error(DDIM(80)) < 5  # of first: 4
    assert 8 < error(AdamsBashforth(20)) / error(AdamsBashforth(80)) < 30


@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=str)
@pytest.mark.parametrize("spaced", [evenly_spaced, spaced_by_noise])
def test_as_many_timesteps_are_visited_as_asked_for(spaced, schedule):
    process = DiscreteProcess(schedule)
    for count in (1, 2, 10, 20):
        t = spaced(process, 1000, count)
        assert len(t) == count and (np.diff(t) < 0).all() and t[0] == 1000 and (count == 1 or t[-1] == 1)
    np.testing.assert_array_equal(evenly_spaced(process, 1000, None), np.arange(1000, 0, -1))
    edited = spaced(process, 400, 20)
    assert edited[0] == 400 and len(edited) == 8  # its share of 20
    for count in (0, 1001):
        with pytest.raises(ValueError, match=f"steps={count}: 1 to the 1000 timesteps"):
            spaced(process, 1000, count)


def test_noise_levels_are_spaced_by_their_root():
    process = DiscreteProcess()
    t = spaced_by_noise(process, 1000, 12)
    levels = (process.table.sigma[t] / process.table.alpha[t]) ** (1 / 7)
    np.testing.assert_allclose(np.diff(levels[1:]), np.diff(levels[1:])[0], rtol=0.3)
    assert levels[1] ** 7 == pytest.approx(80, rel=0.02) and levels[0] ** 7 > 100


def test_ddim_with_eta_1_is_ancestral_sampling_and_with_eta_0_draws_nothing(gaussian):
    denoiser = gaussian.denoiser(DiscreteProcess(timesteps=50), variance=variances.small)
    ancestral, eta_1 = (sampled(sampler, denoiser, 100) for sampler in (Ancestral(), DDIM(eta=1.0)))
    np.testing.assert_allclose(ancestral, eta_1, atol=1e-5)
    latent = gaussian.draw(100)
    one, other = (sample_path(DDIM(), denoiser, latent, jax.random.key(i)) for i in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, sample_path(DDIM(), denoiser, latent))
    with pytest.raises(ValueError, match="a key is needed"):
        sample_path(DDIM(eta=1.0), denoiser, latent)
    with pytest.raises(ValueError, match=r"eta=2\.0: 0 to 1 is allowed"):
        DDIM(eta=2.0)
