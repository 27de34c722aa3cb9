import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import DiscreteProcess
from jaxgen.diffusion.process import broadcast
from jaxgen.diffusion.schedules import Cosine, Linear, Rectified, Sigmoid


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Sigmoid(), Rectified()], ids=str)
def test_posterior_is_that_of_bayes(schedule):
    """q(x_s | x_t, x_0) ∝ q(x_t | x_s) q(x_s | x_0), by the joint normal of x_s and x_t."""
    process = DiscreteProcess(schedule, 50)
    alpha, sigma = process.table
    for t, s in [(50, 49), (30, 12), (2, 1), (1, 0)]:
        found = process.transition(np.array(t), np.array(s))
        kept = alpha[t] / alpha[s]
        added = sigma[t] ** 2 - kept**2 * sigma[s] ** 2
        covariance = kept * sigma[s] ** 2
        gain = covariance / (kept * covariance + added)
        x, image = 0.7, -0.3
        mean = alpha[s] * image + gain * (x - alpha[t] * image)
        np.testing.assert_allclose(found.of_x * x + found.of_image * image, mean)
        np.testing.assert_allclose(found.small, sigma[s] ** 2 - gain * covariance, atol=1e-12)
        np.testing.assert_allclose(found.scale**2, found.small)
        np.testing.assert_allclose(found.large, added)


def test_transitions_compose_to_the_marginal():
    """By draws: x_s from q(x_s | x_t, x_0), with x_t from q(x_t | x_0), is distributed as q(x_s | x_0)."""
    process, rng = DiscreteProcess(Cosine(), 50), np.random.default_rng(0)
    t, s, image = 40, 25, 0.8
    (alpha, sigma), (after_alpha, after_sigma) = process.marginal(t), process.marginal(s)
    x = alpha * image + sigma * rng.normal(size=100_000)
    between = process.transition(np.array(t), np.array(s))
    drawn = between.of_x * x + between.of_image * image + between.scale * rng.normal(size=len(x))
    assert drawn.mean() == pytest.approx(after_alpha * image, abs=0.01)
    assert drawn.std() == pytest.approx(after_sigma, abs=0.01)


def test_a_step_back_is_the_transition_to_the_timestep_before():
    process = DiscreteProcess(timesteps=20)
    t = np.array([1, 2, 20])
    found, exact = process.step_back(jnp.asarray(t)), process.transition(t, t - 1)
    for name in ("of_x", "of_image", "large"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-6)
    np.testing.assert_allclose(found.small[1:], exact.small[1:], rtol=1e-6)
    np.testing.assert_allclose(found.small[0], exact.small[1], rtol=1e-6)
    only = DiscreteProcess(timesteps=1)
    np.testing.assert_allclose(only.step_back(jnp.array([1])).small, np.square(only.table.sigma[1]), rtol=1e-6)


def test_marginals_are_double_on_the_host_and_single_in_a_program():
    process = DiscreteProcess(Cosine(), 10)
    t = np.array([0, 3, 10])
    host, compiled = process.marginal(t), jax.jit(process.marginal)(t)
    assert host.alpha.dtype == np.float64 and compiled.alpha.dtype == jnp.float32
    np.testing.assert_allclose(host, compiled, rtol=1e-6)
    np.testing.assert_array_equal(process.marginal(3).alpha, host.alpha[1])
    np.testing.assert_allclose(process.marginal(jnp.array([3])).snr, (host.alpha[1] / host.sigma[1]) ** 2, rtol=1e-5)
    wide = broadcast(process.marginal(jnp.asarray(t)), 4)
    assert wide.alpha.shape == wide.sigma.shape == (3, 1, 1, 1)


def test_timesteps_are_drawn_from_all_and_told_in_thousandths():
    process = DiscreteProcess(timesteps=4)
    drawn = process.draw_timesteps(jax.random.key(0), 8000)
    np.testing.assert_allclose(np.bincount(drawn, minlength=6), [0, 2000, 2000, 2000, 2000, 0], atol=150)
    np.testing.assert_allclose(process.conditioning(jnp.arange(1, 5)), [0, 250, 500, 750])


def test_the_prior_is_standard_where_the_variance_is_preserved():
    assert DiscreteProcess(Cosine(), 100).log_prior_variance == 0
    assert DiscreteProcess(Rectified(), 100).log_prior_variance == pytest.approx(2 * np.log(100 / 101))


def test_a_schedule_of_ones_own_is_a_function():
    def quadratic(timesteps):
        alpha = 1 - 0.999 * (np.arange(timesteps + 1) / timesteps) ** 2
        return alpha, np.sqrt(1 - alpha**2)

    alpha, sigma = DiscreteProcess(quadratic, 10).marginal(10)
    assert alpha == pytest.approx(1e-3) and sigma == pytest.approx(1, abs=1e-5)
    for schedule, message in [
        (lambda timesteps: quadratic(5), "of length 11 are needed"),
        (lambda timesteps: tuple(x[::-1] for x in quadratic(timesteps)), "α_0 = 1 and σ_0 = 0 are needed"),
        (lambda timesteps: (np.ones(11), np.append(0, np.full(10, 0.5))), "falls"),
    ]:
        with pytest.raises(ValueError, match=message):
            DiscreteProcess(schedule, 10)
    with pytest.raises(ValueError, match="at least 1"):
        DiscreteProcess(timesteps=0)
