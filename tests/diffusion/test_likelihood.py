import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from jaxgen.diffusion import Denoiser, DiscreteProcess, ode_bound, ode_log_prob, variances, variational_bound
from jaxgen.diffusion.likelihood import discretised_gaussian_log_prob, gaussian_kl
from jaxgen.diffusion.schedules import Cosine, Linear, Rectified


def test_kl_of_gaussians_is_that_of_quadrature():
    one, other = norm(0.3, 0.5), norm(-0.1, 0.8)
    exact = quad(lambda x: one.pdf(x) * (one.logpdf(x) - other.logpdf(x)), -5, 5)[0]
    found = gaussian_kl(jnp.float32(0.3), 2 * math.log(0.5), -0.1, 2 * math.log(0.8))
    assert float(found) == pytest.approx(exact, abs=1e-5)


def test_mass_of_grey_levels_adds_up_to_one():
    levels = jnp.linspace(-1, 1, 256)[None]
    for mean, scale in [(0.3, 0.1), (-0.99, 0.02), (5.0, 0.5), (0.0, 1e-3)]:
        log_prob = discretised_gaussian_log_prob(levels, jnp.full((1, 1), mean), jnp.float32(scale))
        assert jax.nn.logsumexp(log_prob) == pytest.approx(0, abs=1e-4) and jnp.isfinite(log_prob).all()
    level = levels[0, 200]
    exact = np.log(norm.cdf(level + 1 / 255, 0.3, 0.1) - norm.cdf(level - 1 / 255, 0.3, 0.1))
    found = discretised_gaussian_log_prob(level[None], jnp.float32(0.3)[None], jnp.float32(0.1))
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Rectified()], ids=str)
def test_likelihood_of_the_flow_is_exact(schedule, gaussian, key):
    process, x = DiscreteProcess(schedule), gaussian.draw(50)
    alpha, sigma = process.marginal(1)
    found = ode_log_prob(gaussian.denoiser(process), key(0), x, 250)
    covariance = alpha**2 * gaussian.covariance + sigma**2 * np.eye(2)
    exact = multivariate_normal(alpha * gaussian.mean, covariance).logpdf(np.asarray(x))
    np.testing.assert_allclose(found, exact, atol=0.02)


def test_hutchinson_estimates_the_divergence(gaussian, key):
    """Of an example of shape (1, 2, 1), whose divergence is estimated, not exact: its mean over keys is."""
    flat = gaussian.denoiser(DiscreteProcess())
    pixels = Denoiser(flat.process, lambda x, t: (flat.predict(x.reshape(-1, 2), t)[0].reshape(x.shape), None))
    x = gaussian.draw(1)
    exact = ode_log_prob(flat, key(0), x)
    found = ode_log_prob(pixels, key(0), jnp.tile(x.reshape(1, 1, 2, 1), (4000, 1, 1, 1)))
    assert found.std() > 0.01
    np.testing.assert_allclose(found.mean(), exact[0], atol=4 * found.std() / 4000**0.5 + 1e-4)


def test_bound_of_a_gaussian(gaussian, key):
    """Not below the exact negative log-likelihood, near it with many timesteps, and estimated without bias by few."""
    denoiser, x = gaussian.denoiser(DiscreteProcess(), variance=variances.large), gaussian.draw(2000)
    exact = -multivariate_normal(gaussian.mean, gaussian.covariance).logpdf(np.asarray(x)).mean()
    terms = jax.jit(lambda x: variational_bound(denoiser, key(0), x, discrete=False))(x)
    bound = float(sum(terms).mean())
    assert exact - 0.02 < bound < exact + 0.1
    few = jax.jit(lambda x: variational_bound(denoiser, key(0), x, 20, discrete=False))(x)
    spread = float(few.diffusion.std()) / len(x) ** 0.5
    np.testing.assert_allclose(few.diffusion.mean(), terms.diffusion.mean(), atol=4 * spread + 0.05)


def test_bits_of_a_known_distribution_of_grey_levels(key):
    """Pixels of 1 or -1 with probability 1/2 each, and the denoiser that knows it: one bit, and what p(x_0 | x_1), a
    normal of given width, leaves to other levels."""
    process = DiscreteProcess(Cosine())

    def knows(x, t):
        alpha, sigma = process.marginal(jnp.broadcast_to(t, len(x)))
        return jnp.tanh((alpha / sigma**2)[:, None, None, None] * x), None

    denoiser = Denoiser(process, knows, variance=variances.small)
    image = 2.0 * jax.random.bernoulli(key(0), shape=(500, 1, 2, 1)) - 1
    width = process.transition(np.array(2), np.array(1)).scale
    exact = 1 - norm.logcdf(1 / 255, scale=width) / math.log(2)
    bits = 2 * math.log(2)
    bound = sum(jax.jit(lambda x: variational_bound(denoiser, key(0), x))(image))
    assert exact - 0.01 < float(bound.mean() / bits) < exact + 0.03
    found = jax.jit(lambda x: ode_bound(denoiser, key(0), x, 999))(image)
    assert float(found.mean() / bits) == pytest.approx(exact, abs=0.03)
