from functools import partial
from itertools import combinations
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats
from scipy.special import logsumexp

from jaxgen.losses import DIP, BetaTC, decompose_kl, kl_to_standard_normal, permute_units

decompose = jax.jit(decompose_kl, static_argnums=(3, 4))


def posteriors(n=7, units=3, seed=0):
    """Means, scales and a draw of each."""
    rng = np.random.default_rng(seed)
    mean, scale = rng.normal(size=(n, units)), rng.uniform(0.3, 1.2, (n, units))
    return [jnp.array(x, jnp.float32) for x in (mean, scale, mean + scale * rng.normal(size=(n, units)))]


def brute_force(mean, scale, z, weight):
    """The parts of the KL with q(z) = Σ_j weight q(z | x_j), one loop a sum."""
    mean, scale, z = (np.asarray(x, np.float64) for x in (mean, scale, z))
    parts = np.zeros(3)
    for i in range(len(z)):
        each = np.array([stats.norm.pdf(z[i], mean[j], scale[j]) for j in range(len(z))])
        posterior, prior = np.log(each[i]).sum(), stats.norm.logpdf(z[i]).sum()
        joint = np.log((weight * each.prod(1)).sum())
        marginals = np.log((weight * each.T).sum(1)).sum()
        parts += np.array([posterior - joint, joint - marginals, marginals - prior]) / len(z)
    return parts


def test_decomposition_is_exact_where_the_batch_is_the_data_set():
    mean, scale, z = posteriors()
    np.testing.assert_allclose(decompose(mean, scale, z, 7), brute_force(mean, scale, z, 1 / 7), rtol=1e-4)


def test_parts_sum_to_the_mean_kl_and_are_what_they_are_called():
    mean, scale, _ = posteriors()
    noise = jax.random.normal(jax.random.key(0), (20_000, *mean.shape))
    found = jax.jit(jax.vmap(lambda e: decompose_kl(mean, scale, mean + scale * e, len(mean))))(noise)
    information, total_correlation, dimension_wise = (float(part.mean()) for part in found)
    kl = float(kl_to_standard_normal(mean, scale).sum(-1).mean())
    assert information + total_correlation + dimension_wise == pytest.approx(kl, abs=0.02)
    assert 0 < information < np.log(7)
    # each unit's KL(q(z_j) || p(z_j)) by quadrature
    grid = np.linspace(-8, 8, 4001)
    q = stats.norm.pdf(grid[:, None, None], mean, scale).mean(1)
    expected = (q * (np.log(q) - stats.norm.logpdf(grid)[:, None])).sum() * (16 / 4000)
    assert dimension_wise == pytest.approx(expected, abs=0.02)
    assert total_correlation > 0.1


def test_total_correlation_of_a_correlated_gaussian():
    """-½ log(1 - ρ²), from 2,000 posteriors narrow enough to be a kernel density."""
    rho, width = 0.9, 0.2
    cov = np.array([[1, rho], [rho, 1]]) - width**2 * np.eye(2)
    rng = np.random.default_rng(0)
    mean = jnp.array(rng.multivariate_normal([0, 0], cov, 2000), jnp.float32)
    scale = jnp.full_like(mean, width)
    found = decompose(mean, scale, mean + scale * jnp.array(rng.normal(size=mean.shape), jnp.float32), 2000)
    assert float(found.total_correlation) == pytest.approx(-0.5 * np.log(1 - rho**2), rel=0.08)
    assert float(found.dimension_wise_kl) == pytest.approx(0, abs=0.03)


def test_stratified_sampling_is_unbiased_for_the_aggregate_posterior():
    """Over all batches of 3 out of 6 with example 0, the estimates of q at a draw of example 0 average to it.

    Only one of the three terms of the mutual information has the draw of example 0 in it. Far out, where the wide
    posterior of example 0 is all there is, this term is log 6; so a difference shows it elsewhere.
    """
    mean, scale, z = posteriors(6)
    scale = scale.at[0].set(2.5)

    def information(draw, others):
        batch = jnp.array([0, *others])
        return 3 * decompose(mean[batch], scale[batch], z[batch].at[0].set(draw), 6).mutual_information

    far, posterior = mean[0] + 8 * scale[0], stats.norm.logpdf(z[0], mean[0], scale[0]).sum()
    estimates = []
    for others in combinations(range(1, 6), 2):
        term = float(information(z[0], others) - information(far, others)) + np.log(6)
        estimates.append(np.exp(posterior - term))
    assert len(estimates) == comb(5, 2) and np.ptp(estimates) > 0.1 * np.mean(estimates)
    density = stats.norm.pdf(np.asarray(z[0], np.float64), mean, scale).prod(-1).mean()
    assert np.mean(estimates) == pytest.approx(density, rel=1e-3)


def test_weighted_sampling_is_that_of_the_paper():
    mean, scale, z = posteriors()
    found = decompose(mean, scale, z, 1000, "weighted")
    np.testing.assert_allclose(found, brute_force(mean, scale, z, 1 / (1000 * 7)), rtol=1e-4)

    @partial(jax.jit, static_argnums=0)
    def gradient(data):
        return jax.grad(lambda m: BetaTC(data)(m, scale, z)[0])(mean)

    np.testing.assert_allclose(gradient(7), gradient(10**6), rtol=1e-3, atol=1e-5)


def test_beta_weighs_the_total_correlation_beyond_the_kl():
    mean, scale, z = posteriors()
    one, six = (jax.jit(BetaTC(7, beta, "stratified").__call__)(mean, scale, z) for beta in (1.0, 6.0))
    assert float(one[0]) == 0
    assert float(six[0]) == pytest.approx(5 * float(six[1]["total_correlation"]), rel=1e-5)
    assert set(six[1]) == {"mutual_information", "total_correlation", "dimension_wise_kl"}
    log_q = stats.norm.logpdf(z[:, None], mean, scale)
    expected = logsumexp(log_q.sum(-1), axis=1) - logsumexp(log_q, axis=1).sum(-1) + 2 * np.log(7)
    assert float(six[0]) == pytest.approx(5 * expected.mean(), rel=1e-3)


@pytest.mark.parametrize("aggregate", [False, True])
def test_dip_equals_numpy(aggregate):
    mean, scale, z = posteriors(50, 4)
    cov = np.cov(np.asarray(mean, np.float64), rowvar=False, bias=True)
    cov += np.diag(np.square(scale).mean(0)) * aggregate
    off = sum(cov[i, j] ** 2 for i in range(4) for j in range(4) if i != j)
    diagonal = sum((cov[i, i] - 1) ** 2 for i in range(4))
    penalty, metrics = jax.jit(DIP(3.0, 7.0, aggregate).__call__)(mean, scale, z)
    assert float(penalty) == pytest.approx(3 * off + 7 * diagonal, rel=1e-4)
    assert float(metrics["covariance_off_diagonal"]) == pytest.approx(off, rel=1e-4)
    assert float(metrics["covariance_diagonal"]) == pytest.approx(diagonal, rel=1e-4)


def test_dip_is_content_with_the_identity():
    corners = jnp.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    scale = jnp.full_like(corners, 0.6)
    assert float(DIP()(corners, scale, corners)[0]) == pytest.approx(0, abs=1e-6)
    assert float(DIP(aggregate=True)(0.8 * corners, scale, corners)[0]) == pytest.approx(0, abs=1e-6)
    assert float(DIP()(0.8 * corners, scale, corners)[0]) == pytest.approx(100 * 2 * 0.36**2, rel=1e-4)


@pytest.mark.parametrize("regulariser", [BetaTC(100), BetaTC(100, 4.0, "stratified"), DIP(), DIP(aggregate=True)])
def test_gradients_equal_finite_differences(regulariser):
    mean, scale, z = posteriors()
    penalty = jax.jit(lambda *x: regulariser(*x)[0])
    check_grads(penalty, (mean, scale, z), order=1, modes=["rev"], eps=1e-3, rtol=1e-2, atol=1e-2)


def test_permutation_keeps_each_marginal_and_breaks_the_joint():
    z = jnp.tile(jnp.arange(4000.0)[:, None], (1, 3))
    permuted = permute_units(jax.random.key(0), z)
    np.testing.assert_array_equal(jnp.sort(permuted, axis=0), z)
    correlation = np.corrcoef(permuted, rowvar=False) - np.eye(3)
    assert np.abs(correlation).max() < 0.06
    assert np.abs(np.corrcoef(permuted[:, 0], z[:, 0])[0, 1]) < 0.06


def test_what_cannot_be_estimated_is_refused():
    mean, scale, z = posteriors()
    with pytest.raises(ValueError, match="batch of 7 out of 6 examples"):
        decompose_kl(mean, scale, z, 6)
    with pytest.raises(ValueError, match="batch of 1 out of 6"):
        BetaTC(6)(mean[:1], scale[:1], z[:1])
    with pytest.raises(ValueError, match="'importance': choose weighted or stratified"):
        BetaTC(7, sampling="importance")(mean, scale, z)
