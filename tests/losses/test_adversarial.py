import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses import ADVERSARIAL_LOSSES

real = jnp.array([2.0, -1.0, 0.3])
fake = jnp.array([-0.5, 1.5, 0.0])


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_discriminator_descends_the_cross_entropy(name):
    expected = -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()
    assert float(ADVERSARIAL_LOSSES[name].discriminator(real, fake)) == pytest.approx(expected, rel=1e-6)


def test_generator_losses_are_those_of_the_paper():
    saturating, non_saturating = (ADVERSARIAL_LOSSES[n].generator(fake) for n in ("minimax", "non_saturating"))
    assert float(saturating) == pytest.approx(np.log(1 - sigmoid(fake)).mean(), rel=1e-6)
    assert float(non_saturating) == pytest.approx(-np.log(sigmoid(fake)).mean(), rel=1e-6)


def test_only_the_minimax_generator_starves_before_a_sure_discriminator():
    sure = jnp.full(4, -20.0)  # D(fake) = 2e-9
    starved = jax.grad(lambda x: ADVERSARIAL_LOSSES["minimax"].generator(x))(sure)
    fed = jax.grad(lambda x: ADVERSARIAL_LOSSES["non_saturating"].generator(x))(sure)
    assert float(jnp.abs(starved).max()) < 1e-8
    np.testing.assert_allclose(fed, -1 / 4, rtol=1e-6)


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_optimal_discriminator_value_is_the_jensen_shannon_divergence(name):
    """At D* = p / (p + q) the loss is 2 log 2 - 2 JS(p, q) (Goodfellow et al. 2014, theorem 1)."""
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
    logits = np.log(p / q)
    counts_p, counts_q = (8 * p).astype(int), (8 * q).astype(int)
    loss = ADVERSARIAL_LOSSES[name].discriminator(
        jnp.array(np.repeat(logits, counts_p)), jnp.array(np.repeat(logits, counts_q))
    )
    middle = (p + q) / 2
    js = 0.5 * (p * np.log(p / middle)).sum() + 0.5 * (q * np.log(q / middle)).sum()
    assert float(loss) == pytest.approx(2 * np.log(2) - 2 * js, rel=1e-6)


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_huge_logits_stay_finite(name):
    huge = jnp.array([1e4, -1e4])
    loss = ADVERSARIAL_LOSSES[name]
    gradient = jax.grad(lambda x: loss.discriminator(x, x) + loss.generator(x))(huge)
    assert jnp.isfinite(loss.discriminator(huge, huge)) and jnp.isfinite(gradient).all()
