import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import losses

real = jnp.array([2.0, -1.0, 0.3])
fake = jnp.array([-0.5, 1.5, 0.0])


def log_sigmoid(x):
    return -np.log1p(np.exp(-np.asarray(x, np.float64)))


r, f = np.asarray(real, np.float64), np.asarray(fake, np.float64)
CLOSED = {  # (discriminator, generator), both minimised
    "minimax": (-log_sigmoid(r).mean() - log_sigmoid(-f).mean(), log_sigmoid(-f).mean()),
    "non_saturating": (-log_sigmoid(r).mean() - log_sigmoid(-f).mean(), -log_sigmoid(f).mean()),
    "least_squares": (((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, ((f - 1) ** 2).mean() / 2),
    "wasserstein": (f.mean() - r.mean(), -f.mean()),
    "wasserstein_drift": (f.mean() - r.mean() + 0.001 * (r**2).mean(), -f.mean()),
    "hinge": (np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), -f.mean()),
}


@pytest.mark.parametrize("name", CLOSED)
def test_losses_are_their_closed_forms(name):
    game, (discriminator, generator) = getattr(losses, name), CLOSED[name]
    assert float(game.discriminator(real, fake)) == pytest.approx(discriminator, rel=1e-6)
    assert float(game.generator(real, fake)) == pytest.approx(generator, rel=1e-6)


@pytest.mark.parametrize("name", CLOSED)
def test_both_players_push_the_logits_the_right_way(name):
    """D raises real logits and lowers fake ones, G raises fake ones; a zero-sum G undoes exactly what D does."""
    game = getattr(losses, name)
    by_real, by_fake = jax.grad(game.discriminator, (0, 1))(real * 0.1, fake * 0.1)
    generator = jax.grad(game.generator, 1)(real * 0.1, fake * 0.1)
    assert (by_real < 0).all() and (generator < 0).all()
    assert (by_fake >= 0).all() if name != "least_squares" else (by_fake * fake >= 0).all()
    if game.zero_sum:
        np.testing.assert_allclose(generator, -by_fake, rtol=1e-6)


def test_only_the_minimax_generator_starves_before_a_sure_discriminator():
    sure = jnp.full(4, -20.0)  # D(fake) = 2e-9
    starved = jax.grad(lambda x: losses.minimax.generator(real, x))(sure)
    fed = jax.grad(lambda x: losses.non_saturating.generator(real, x))(sure)
    assert float(jnp.abs(starved).max()) < 1e-8
    np.testing.assert_allclose(fed, -1 / 4, rtol=1e-6)


p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
OPTIMUM = {  # the best logits against densities p and q, and the divergence that the loss then is
    "minimax": (np.log(p / q), 2 * np.log(2) - (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))).sum()),
    "non_saturating": (np.log(p / q), None),
    "least_squares": (p / (p + q), 0.5 * (p * q / (p + q)).sum()),
    "hinge": (np.where(p >= q, 1.0, -1.0), 2 - np.abs(p - q).sum()),
}


@pytest.mark.parametrize("name", OPTIMUM)
def test_optimal_discriminators_and_the_divergences_they_measure(name):
    """No step from the optimum is better, and its value is 2 log 2 - 2 JS (Goodfellow et al. 2014, theorem 1), a
    Pearson χ² (Mao et al. 2017, section 3.2), or 2 - 2 TV (Lim & Ye 2017)."""
    logits, divergence = OPTIMUM[name]
    divergence = OPTIMUM["minimax"][1] if divergence is None else divergence

    def value(logits):  # the expectation under p and q, from functions of single logits
        loss = getattr(losses, name).discriminator
        zero = jnp.zeros(1)
        each = jax.vmap(lambda x: jnp.stack([loss(x[None], zero), loss(zero, x[None])]))(logits)
        return (p * each[:, 0] + q * each[:, 1]).sum() - loss(zero, zero)

    best = float(value(jnp.asarray(logits)))
    assert best == pytest.approx(divergence, abs=1e-6)
    for seed in range(20):
        other = jnp.asarray(logits) + 0.3 * jax.random.normal(jax.random.key(seed), 3)
        assert float(value(other)) >= best - 1e-6
