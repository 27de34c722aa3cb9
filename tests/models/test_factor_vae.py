import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy import stats

from jaxgen.models import FactorVAE
from jaxgen.networks import FactorVAEDiscriminator, MLPDecoder
from jaxgen.sharding import minibatches

RHO, WIDTH = 0.9, 0.3  # correlation of the codes, scale of the posteriors
COVARIANCE = np.array([[1, RHO], [RHO, 1]])
TOTAL_CORRELATION = -0.5 * np.log(1 - RHO**2)
SHAPE = (1, 2, 1)


class Copies(nn.Module):
    """Posteriors around the example itself."""

    latent: int = 2

    @nn.compact
    def __call__(self, image, label=None):
        mean = image.reshape(len(image), -1) + self.param("shift", nn.initializers.zeros, (2,))
        return mean, jnp.full_like(mean, 2 * np.log(WIDTH))


def model(**options):
    rate = options.pop("rate", 0.0)
    judge = FactorVAEDiscriminator(options.pop("hidden", (64, 64)))
    return FactorVAE(
        Copies(), MLPDecoder(SHAPE, (4,)), optax.sgd(rate), discriminator=judge, **{"gamma": 2.0, **options}
    )


def points(key, n):
    """Of which draws of the posteriors have the covariance above."""
    root = jnp.array(np.linalg.cholesky(COVARIANCE - WIDTH**2 * np.eye(2)), jnp.float32)
    return {"image": (jax.random.normal(key, (n, 2)) @ root.T).reshape(n, *SHAPE)}


def test_discriminator_learns_the_density_ratio_and_with_it_the_total_correlation():
    vae = model(discriminator_optimiser=optax.adam(optax.cosine_decay_schedule(3e-3, 1500), 0.5, 0.9))
    state = jax.jit(vae.init)(jax.random.key(0), points(jax.random.key(0), 2))
    state, metrics = jax.jit(
        lambda s: jax.lax.scan(
            lambda s, key: vae.step(s, points(key, 512)), s, jax.random.split(jax.random.key(1), 1500)
        )
    )(state)
    assert float(metrics["total_correlation"][-200:].mean()) == pytest.approx(TOTAL_CORRELATION, rel=0.1)

    z = np.random.default_rng(0).multivariate_normal([0, 0], COVARIANCE, 500)
    exact = stats.multivariate_normal([0, 0], COVARIANCE).logpdf(z) - stats.norm.logpdf(z).sum(1)
    found = vae.discriminator.apply({"params": state.discriminator.params}, jnp.array(z, jnp.float32))
    assert np.abs(np.asarray(found) - exact).mean() < 0.15
    # the loss of the best discriminator is log 2 minus the Jensen-Shannon divergence
    q, p = exact - np.logaddexp(0, exact), -np.logaddexp(0, exact)
    best = -0.5 * (q.mean() + (p * np.exp(-exact)).mean())
    assert float(metrics["discriminator_loss"][-200:].mean()) == pytest.approx(best, abs=0.03)
    assert 0.6 < float(metrics["discriminator_accuracy"][-200:].mean()) < 0.9


def test_penalty_is_gamma_times_the_mean_log_ratio_and_moves_the_encoder():
    data = points(jax.random.key(0), 512)
    state = jax.jit(model().init)(jax.random.key(1), data)

    def step(gamma):
        return dataclasses.replace(model(rate=1.0), gamma=gamma).step(state, data)

    after, metrics = jax.jit(jax.vmap(step))(jnp.array([0.0, 5.0]))
    total_correlation = float(metrics["total_correlation"][0])
    np.testing.assert_allclose(metrics["loss"][0], -metrics["elbo"][0], rtol=1e-5)
    assert float(metrics["loss"][1] - metrics["loss"][0]) == pytest.approx(5 * total_correlation, abs=1e-3)
    jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[1]), after.params["decoder"])

    # d/dshift of γ E[log ratio(z + shift)], by finite differences
    vae, key = model(), jax.random.split(jax.random.clone(state.key), 4)[1]
    z = jax.jit(vae.elbo)(state, key, jax.tree.map(lambda x: x[0], minibatches(data, 2))).z

    def penalty(shift):
        return 5 * float(vae.discriminator.apply({"params": state.discriminator.params}, z + shift).mean())

    shift = after.params["encoder"]["shift"]
    expected = [(penalty(jnp.array(h)) - penalty(-jnp.array(h))) / 4e-3 for h in np.eye(2, dtype=np.float32) * 2e-3]
    np.testing.assert_allclose(shift[0] - shift[1], expected, rtol=2e-2, atol=2e-3)


def test_each_half_of_the_batch_has_its_part():
    """The bound is that of the first half alone; the second half reaches only the discriminator."""
    vae = model(rate=0.1)
    data = points(jax.random.key(0), 16)
    other = {"image": data["image"].at[1::2].add(1.0)}
    state = jax.jit(vae.init)(jax.random.key(1), data)
    step = jax.jit(vae.step)
    (one, metrics), (two, other_metrics) = (
        step(state.replace(key=jax.random.clone(state.key)), given) for given in (data, other)
    )
    jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
    assert metrics["elbo"] == other_metrics["elbo"]
    assert metrics["discriminator_loss"] != other_metrics["discriminator_loss"]
    with pytest.raises(ValueError, match="batch of 15: the 2 minibatches"):
        vae.step(state, {"image": data["image"][:15]})
    with pytest.raises(ValueError, match="objective_samples=2"):
        model(objective_samples=2)


class Judge(nn.Module):
    """A discriminator with batch normalisation and dropout."""

    @nn.compact
    def __call__(self, z, train=False):
        x = nn.BatchNorm(momentum=0.5)(nn.relu(nn.Dense(8)(z)), use_running_average=not train)
        return nn.Dense(1)(nn.Dropout(0.5)(x, deterministic=not train))[:, 0]


def test_discriminator_may_have_dropout_and_batch_statistics():
    """The averages move; the penalty is by the discriminator in evaluation, so twice the same."""
    vae, data = dataclasses.replace(model(), discriminator=Judge()), points(jax.random.key(0), 64)
    state = jax.jit(vae.init)(jax.random.key(1), data)
    after, metrics = jax.jit(vae.step)(state, data)
    before, moved = (s.discriminator.statistics["batch_stats"]["BatchNorm_0"]["mean"] for s in (state, after))
    assert (before == 0).all() and (moved != 0).any()
    z = jax.jit(vae.draw_codes)(state, jax.random.key(2), data)
    one, two = (jax.jit(vae.penalty)(after, z, z, z)[0] for _ in range(2))
    assert float(one) == float(two) != 0
    expected = vae.discriminator.apply(after.discriminator.variables, z).mean()
    assert float(one) == pytest.approx(2 * float(expected), rel=1e-5)
    plain = float(metrics["discriminator_loss"])
    other = jax.jit(vae.step)(state.replace(key=jax.random.fold_in(jax.random.clone(state.key), 9)), data)[1]
    assert plain != float(other["discriminator_loss"])


def test_the_weight_of_the_penalty_follows_a_schedule():
    vae, data = model(gamma=optax.linear_schedule(0.0, 8.0, 2)), points(jax.random.key(0), 16)
    state = jax.jit(vae.init)(jax.random.key(1), data)
    z = jax.random.normal(jax.random.key(2), (8, 2))
    for step, gamma in enumerate((0.0, 4.0, 8.0)):
        value, metrics = vae.penalty(state.replace(step=jnp.int32(step)), z, z, z)
        assert float(value) == pytest.approx(gamma * float(metrics["total_correlation"]), rel=1e-5)


def test_code_is_made_more_independent():
    """An encoder that may turn and stretch its code loses total correlation by γ."""

    class Linear(nn.Module):
        latent: int = 2

        @nn.compact
        def __call__(self, image, label=None):
            mean = nn.Dense(2, kernel_init=lambda *_: jnp.eye(2))(image.reshape(len(image), -1))
            return mean, jnp.full_like(mean, 2 * np.log(WIDTH))

    def run(gamma):
        vae = model(gamma=gamma, discriminator_optimiser=optax.adam(3e-3, 0.5, 0.9))
        vae = dataclasses.replace(vae, encoder=Linear(), optimiser=optax.adam(1e-3))
        state = vae.init(jax.random.key(0), points(jax.random.key(0), 2))
        keys = jax.random.split(jax.random.key(1), 1000)
        state, _ = jax.lax.scan(lambda state, key: vae.step(state, points(key, 256)), state, keys)
        return vae.encode(state, points(jax.random.key(2), 4000)["image"])[0]

    with jax.debug_key_reuse(False):  # which sees reuse in every vmap of a scan over keys
        free, charged = jax.jit(jax.vmap(run))(jnp.array([0.0, 20.0]))
    assert np.corrcoef(free, rowvar=False)[0, 1] > 0.8
    assert np.abs(np.corrcoef(charged, rowvar=False)[0, 1]) < 0.4
