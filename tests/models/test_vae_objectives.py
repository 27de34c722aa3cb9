"""Capacity, regularisers and the importance-weighted bound as objectives of `VAE`."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy import stats
from scipy.special import logsumexp

from jaxgen.losses import DIP, BetaTC
from jaxgen.models import VAE
from jaxgen.networks import MLPDecoder, MLPEncoder

SHAPE = (3, 3, 1)


def tiny(latent=2, **options):
    return VAE(MLPEncoder(latent, (8,)), MLPDecoder(SHAPE, (8,)), optax.adam(1e-2), **options)


def batch(n=8, seed=0):
    rng = np.random.default_rng(seed)
    return {"image": jnp.array(rng.integers(0, 2, (n, *SHAPE)).astype(np.uint8) * 255)}


def train(vae, data, steps):
    """The state after, and the metrics of every step."""

    @jax.jit
    def run(key):
        return jax.lax.scan(lambda state, _: vae.step(state, data), vae.init(key, data), length=steps)

    return run(jax.random.key(0))


# ---- Capacity


def test_capacity_grows_linearly_and_is_held():
    vae = tiny(beta=1000.0, capacity=optax.linear_schedule(0.0, 2.0, 200))
    _, metrics = train(vae, batch(), 500)
    np.testing.assert_allclose(metrics["capacity"], np.minimum(np.arange(500) / 100, 2), rtol=1e-5)
    expected = 1000 * jnp.abs(metrics["kl"] - metrics["capacity"]) - metrics["log_likelihood"]
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
    assert float(jnp.abs(metrics["kl"][-100:] - 2).mean()) < 0.2


# ---- Regularisers


def both(mean, scale, z):
    """A regulariser is any such function."""
    (tc, tc_parts), (dip, dip_parts) = BetaTC(8, 6.0)(mean, scale, z), DIP(2.0, 3.0, True)(mean, scale, z)
    return tc + dip, tc_parts | dip_parts


def test_step_descends_the_elbo_and_the_penalty():
    """The loss, its parts by name, and the gradient by finite differences along the update of plain descent."""
    data, vae = batch(), dataclasses.replace(tiny(regulariser=both), optimiser=optax.sgd(1.0))
    state = jax.jit(vae.init)(jax.random.key(0), data)
    after, metrics = jax.jit(vae.step)(state, data)
    step_key = jax.random.split(jax.random.clone(state.key))[1]

    @jax.jit
    def loss(params):
        terms = vae.elbo(state.replace(params=params), jax.random.clone(step_key), data)
        penalty, parts = both(terms.mean, terms.scale, terms.z)
        return penalty - terms.elbo.mean(), parts

    value, parts = loss(state.params)
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-4)
    for name, part in parts.items():
        assert float(metrics[name]) == pytest.approx(float(part), rel=1e-3, abs=1e-5)

    gradient = optax.tree.sub(state.params, after.params)
    squared_norm = float(optax.tree.norm(gradient)) ** 2
    h = 1e-2 / squared_norm**0.5
    ahead, behind = (loss(optax.tree.add_scale(state.params, s * h, gradient))[0] for s in (1, -1))
    assert float(ahead - behind) / (2 * h) == pytest.approx(squared_norm, rel=2e-2)


def test_sweep_over_a_weight_is_a_vmap_and_the_weight_acts():
    """Images of one bit, which a code of two units copies twice unless it costs."""
    bits = np.random.default_rng(0).choice([-1.0, 1.0], (64, 1, 1, 1))
    data = {"image": jnp.array(bits * np.ones((1, *SHAPE)), jnp.float32)}

    def run(beta):
        return train(tiny(regulariser=BetaTC(64, beta, "stratified")), data, 150)[1]["total_correlation"]

    with jax.debug_key_reuse(False):  # which sees reuse in every vmap of a scan over keys
        free, charged = jax.jit(jax.vmap(run))(jnp.array([1.0, 50.0]))[:, -20:].mean(1)
    assert float(charged) < 0.3 * float(free)


# ---- The importance-weighted bound

WEIGHTS = np.array([[0.6, 0.3, -0.5, 0.2], [0.4, -0.8, 0.1, 0.6]])  # (z, x)
WEIGHTS[1] -= WEIGHTS[0] * (WEIGHTS[0] @ WEIGHTS[1]) / (WEIGHTS[0] @ WEIGHTS[0])  # orthogonal: a diagonal posterior
BIAS, NOISE = np.array([0.1, -0.2, 0.3, 0.0]), 0.5


@dataclass(frozen=True)
class LinearGaussian:
    """x = the decoder's output + noise."""

    outputs: int = 1

    def log_prob(self, parameters, image):
        return jax.scipy.stats.norm.logpdf(image, parameters, NOISE).sum((-3, -2, -1))

    def mean(self, parameters):
        return parameters


class LinearDecoder(nn.Module):
    @nn.compact
    def __call__(self, z, label=None):
        weights = self.param("weights", lambda _: jnp.array(WEIGHTS, jnp.float32))
        return (z @ weights + jnp.array(BIAS, jnp.float32)).reshape(-1, 1, 4, 1)


class ExactEncoder(nn.Module):
    """The posterior of p(x | z) = N(Wᵀz + b, σ²): variance (1 + |w|²/σ²)⁻¹ of each unit (Tipping & Bishop 1999)."""

    latent: int = 2
    shift: float = 0.0
    """What the mean is wrong by."""

    @nn.compact
    def __call__(self, image, label=None):
        weights = self.param("weights", lambda _: jnp.array(WEIGHTS, jnp.float32))
        variance = 1 / (1 + jnp.square(weights).sum(1) / NOISE**2)
        mean = (image.reshape(-1, 4) - jnp.array(BIAS, jnp.float32)) @ weights.T * variance / NOISE**2
        return mean + self.shift, jnp.broadcast_to(jnp.log(variance), mean.shape)


def linear(shift=0.0, **options):
    """Model, state, data, and log p(x)."""
    covariance = WEIGHTS.T @ WEIGHTS + NOISE**2 * np.eye(4)
    x = np.random.default_rng(0).multivariate_normal(BIAS, covariance, 16)
    vae = VAE(ExactEncoder(shift=shift), LinearDecoder(), optax.sgd(1e-2), LinearGaussian(), **options)
    data = {"image": jnp.array(x.reshape(-1, 1, 4, 1), jnp.float32)}
    exact = stats.multivariate_normal(BIAS, covariance).logpdf(x)
    return vae, jax.jit(vae.init)(jax.random.key(0), data), data, exact


def log_densities(vae, state, key, data, k):
    """log p(x | z) and log q(z | x) - log p(z), each (k, b), at k draws of each posterior."""
    log_normal = jax.scipy.stats.norm.logpdf
    mean, scale = vae.encode(state, data["image"])
    z = mean + scale * jax.random.normal(key, (k, *mean.shape))
    parameters = vae.decoder.apply(state.variables("decoder"), z.reshape(-1, mean.shape[1]))
    log_likelihood = vae.likelihood.log_prob(parameters.reshape(k, -1, *parameters.shape[1:]), data["image"])
    return log_likelihood, (log_normal(z, mean, scale) - log_normal(z)).sum(-1)


def test_with_the_exact_posterior_every_bound_is_the_log_likelihood():
    vae, state, data, exact = linear(objective_samples=50)

    @jax.jit
    def bounds(key):
        return [vae.log_likelihood(state, jax.random.fold_in(key, k), data, k) for k in (1, 7)]

    for bound in bounds(jax.random.key(1)):
        np.testing.assert_allclose(bound, exact, rtol=1e-4)
    metrics = {name: float(value) for name, value in jax.jit(vae.step)(state, data)[1].items()}
    assert metrics["bound"] == -metrics["loss"] == pytest.approx(exact.mean(), rel=1e-4)
    assert metrics["elbo"] == pytest.approx(metrics["log_likelihood"] - metrics["kl"], rel=1e-5)
    assert metrics["elbo"] == pytest.approx(exact.mean(), rel=0.05)


@pytest.fixture(scope="module")
def shifted():
    """A model whose posteriors are off by 1/2, and log p(x | z) and log q(z | x) - log p(z) at 25,600 draws."""
    vae, state, data, exact = linear(shift=0.5)

    @jax.jit
    def draw(key):
        return vae.encode(state, data["image"])[1], *log_densities(vae, state, key, data, 25_600)

    return vae, state, data, exact, *map(np.asarray, draw(jax.random.key(1)))


def test_one_sample_is_the_elbo(shifted):
    """The objective itself exactly; and the mean of log p(x, z) / q(z | x), the importance-weighted bound of one."""
    vae, state, data, exact, scale, log_likelihood, log_ratio = shifted
    assert vae.objective_samples == 1
    elbo = jax.jit(vae.elbo)(state, jax.random.split(state.key)[1], data)
    _, metrics = jax.jit(vae.step)(state.replace(key=jax.random.clone(state.key)), data)
    assert float(metrics["loss"]) == pytest.approx(-float(elbo.elbo.mean()), rel=1e-6)
    np.testing.assert_allclose(log_ratio.mean(0), elbo.kl, atol=0.05)
    # an exact posterior moved by δ: the bound is KL(q || p(z | x)) = ½ Σ (δ / scale)² below log p(x)
    expected = exact - 0.5 * np.square(0.5 / scale).sum(-1)
    np.testing.assert_allclose((log_likelihood - log_ratio).mean(0), expected, atol=0.05)


def test_bound_increases_with_the_samples_and_stays_below_the_log_likelihood(shifted):
    exact, log_weight = shifted[3], shifted[5] - shifted[6]

    def bound(k):
        return float((logsumexp(log_weight.reshape(-1, k, len(exact)), axis=1) - np.log(k)).mean())

    bounds = [bound(k) for k in (1, 2, 8, 64, 512)]
    assert bounds == sorted(bounds)
    assert bounds[1] > bounds[0] + 0.1
    assert exact.mean() - 0.05 < bounds[-1] < exact.mean()


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_gradient_of_the_bound_is_in_the_mean_that_of_its_value_with_less_noise(beta):
    """The decoder's is that at every draw (Burda et al. 2016); the encoder's in the mean (Tucker et al. 2019)."""
    vae, state, data, _ = linear(shift=0.5, objective_samples=5, beta=beta)

    def gradient(loss):
        """Encoder's and decoder's, each as one vector, at 20,000 draws."""
        one = jax.grad(lambda params, key: loss(state.replace(params=params), key))
        keys = jax.random.split(jax.random.key(3), 20_000)
        found = jax.jit(jax.vmap(one, (None, 0)))(state.params, keys)
        return (np.asarray(found[part]["weights"], float).reshape(len(keys), -1) for part in ("encoder", "decoder"))

    def plain(given, key):
        log_likelihood, log_ratio = log_densities(
            vae, given, jax.random.split(key)[1], data, 5
        )  # the draws of the loss
        return -jax.nn.logsumexp(log_likelihood - beta * log_ratio, axis=0).mean()

    encoder, decoder = gradient(plain)
    found_encoder, found_decoder = gradient(lambda given, key: vae.loss(given, key, data)[0])
    np.testing.assert_allclose(found_decoder, decoder, rtol=1e-3, atol=1e-4)
    error = np.hypot(encoder.std(0), found_encoder.std(0)) / np.sqrt(len(encoder))
    assert (np.abs(found_encoder.mean(0) - encoder.mean(0)) < 4 * error).all()
    assert (np.abs(encoder.mean(0)) > 40 * error).any()
    if beta == 1:
        assert (found_encoder.std(0) < 0.9 * encoder.std(0)).all()


def test_wrong_combinations_are_refused():
    with pytest.raises(ValueError, match="objective_samples=0: at least 1"):
        tiny(objective_samples=0)
    for option in ({"capacity": 1.0}, {"regulariser": DIP()}):
        with pytest.raises(ValueError, match="objective_samples=5: the importance-weighted bound"):
            tiny(objective_samples=5, **option)
