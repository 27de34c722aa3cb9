import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxgen.losses import Bernoulli, DiscretisedLogistic, Gaussian, kl_to_standard_normal, standard_normal_log_prob


def image(values):
    return jnp.array(values, jnp.float32).reshape(1, 1, -1, 1)


def parameters(*columns):
    return jnp.stack([jnp.array(c, jnp.float32) for c in columns], -1).reshape(1, 1, len(columns[0]), -1)


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 2.5)])
def test_kl_equals_quadrature(mean, scale):
    q, p = stats.norm(mean, scale), stats.norm()
    expected, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - 12 * scale, mean + 12 * scale)
    assert float(kl_to_standard_normal(jnp.array([mean]), jnp.array([scale]))[0]) == pytest.approx(expected, abs=1e-5)


def test_standard_normal_log_prob_equals_scipy():
    z = np.array([[0.3, -1.2, 2.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(standard_normal_log_prob(jnp.array(z)), stats.norm.logpdf(z).sum(-1), rtol=1e-5)


def test_bernoulli_equals_scipy_on_binary_pixels():
    logits, pixels = [2.0, -1.0, 0.5, 30.0], [1, 0, 0, 1]
    found = Bernoulli().log_prob(parameters(logits), image([2 * p - 1 for p in pixels]))
    expected = stats.bernoulli.logpmf(pixels, 1 / (1 + np.exp(-np.array(logits)))).sum()
    assert found.shape == (1,)
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)


def test_bernoulli_of_grey_pixels_is_the_cross_entropy():
    probability, grey = 0.7, 0.25
    found = Bernoulli().log_prob(parameters([np.log(0.7 / 0.3)]), image([2 * grey - 1]))
    expected = grey * np.log(probability) + (1 - grey) * np.log(1 - probability)
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)


def test_gaussian_equals_scipy():
    raw, x = np.array([0.4, -0.2]), np.array([0.5, -0.9])
    fixed = Gaussian(scale=0.3).log_prob(parameters(raw), image(x))
    assert float(fixed[0]) == pytest.approx(stats.norm.logpdf(x, np.tanh(raw), 0.3).sum(), rel=1e-5)
    spread = np.array([0.1, -1.0])
    learned = Gaussian().log_prob(parameters(raw, spread), image(x))
    scale = 0.01 + np.log1p(np.exp(spread))
    assert float(learned[0]) == pytest.approx(stats.norm.logpdf(x, np.tanh(raw), scale).sum(), rel=1e-5)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, -1.0), (0.99, -4.0), (-1.5, -2.0), (0.2, -7.0)])
def test_discretised_logistic_is_a_distribution_over_256_levels(mean, log_scale):
    levels = np.arange(256) / 127.5 - 1
    log_mass = jax.vmap(lambda x: DiscretisedLogistic().log_prob(parameters([mean], [log_scale])[0], image([x])[0]))(
        jnp.array(levels, jnp.float32)
    )
    assert float(jnp.exp(log_mass).sum()) == pytest.approx(1, abs=1e-4)
    # the mass of an inner bin is a difference of logistic distribution functions
    edge = stats.logistic(mean, np.exp(log_scale))
    inner = edge.cdf(levels[140] + 1 / 255) - edge.cdf(levels[140] - 1 / 255)
    assert float(jnp.exp(log_mass[140])) == pytest.approx(inner, rel=1e-2, abs=1e-7)


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(), Gaussian(scale=0.1), DiscretisedLogistic()])
def test_extreme_parameters_have_finite_gradients_and_means_are_pixels(likelihood):
    extreme = jnp.tile(jnp.array([50.0, -50.0]), likelihood.outputs).reshape(1, 1, 2, likelihood.outputs)
    gradient = jax.grad(lambda p: likelihood.log_prob(p, image([-1.0, 1.0])).sum())(extreme)
    assert jnp.isfinite(gradient).all()
    assert float(jnp.abs(likelihood.mean(extreme)).max()) <= 1
