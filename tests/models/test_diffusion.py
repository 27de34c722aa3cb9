import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jaxgen.losses.diffusion import SCHEDULES, discretised_gaussian_log_prob, noise_schedule, transition
from jaxgen.samplers import visited
from scipy.stats import multivariate_normal, norm

from jaxgen.data import load
from jaxgen.models import Diffusion
from jaxgen.networks import PointDenoiser
from jaxgen.training import fit

MEAN, COVARIANCE = np.array([0.4, -0.2]), np.array([[0.3, 0.12], [0.12, 0.2]])


def key(seed=0):
    return jax.random.key(seed)


class GaussianDenoiser(nn.Module):
    """E[x_0 | x_t] of N(MEAN, COVARIANCE), so that the best that a network can learn is known."""

    schedule: str = "linear"
    timesteps: int = 1000

    @nn.compact
    def __call__(self, x, time, label=None, *, train=False):
        self.param("unused", nn.initializers.zeros, ())
        t = jnp.round(time * self.timesteps / 1000).astype(int) + 1
        alpha, sigma = (jnp.asarray(a, x.dtype)[t][:, None] for a in noise_schedule(self.schedule, self.timesteps))

        def one(x, alpha, sigma):
            total = alpha**2 * COVARIANCE + sigma**2 * jnp.eye(2)
            return MEAN + alpha * COVARIANCE @ jnp.linalg.solve(total, x - alpha * MEAN)

        return jax.vmap(one)(x, alpha, sigma).astype(x.dtype)


def gaussian(schedule="linear", timesteps=1000, **options):
    network = GaussianDenoiser(schedule, timesteps)
    model = Diffusion((2,), network, optax.sgd(0.0), timesteps, schedule, prediction="image", clip=False, **options)
    return model, model.init(key(), {"image": jnp.zeros((4, 2))})


def of_data(n, seed=0):
    return jnp.asarray(np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, n), jnp.float32)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_go_from_data_to_noise(name):
    alpha, sigma = noise_schedule(name, 100)
    assert alpha[0] == 1 and sigma[0] == 0 and 0 < alpha[-1] < 0.02 and sigma[-1] > 0.98
    assert (np.diff(np.log(alpha / np.maximum(sigma, 1e-9))) < 0).all()
    if name != "rectified":
        np.testing.assert_allclose(alpha**2 + sigma**2, 1)
    if name == "linear":
        beta = 1 - np.square(noise_schedule(name, 1000)[0][1:] / noise_schedule(name, 1000)[0][:-1])
        np.testing.assert_allclose(beta, np.linspace(1e-4, 0.02, 1000), rtol=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_posterior_is_that_of_bayes(name):
    """q(x_s | x_t, x_0) ∝ q(x_t | x_s) q(x_s | x_0), by the joint normal of x_s and x_t."""
    schedule = alpha, sigma = noise_schedule(name, 50)
    for t, s in [(50, 49), (30, 12), (2, 1), (1, 0)]:
        found = transition(schedule, np.array(t), np.array(s))
        kept = alpha[t] / alpha[s]
        added = sigma[t] ** 2 - kept**2 * sigma[s] ** 2
        covariance = kept * sigma[s] ** 2
        gain = covariance / (kept * covariance + added)
        x, image = 0.7, -0.3
        mean = alpha[s] * image + gain * (x - alpha[t] * image)
        np.testing.assert_allclose(found.of_x * x + found.of_image * image, mean)
        np.testing.assert_allclose(found.small, sigma[s] ** 2 - gain * covariance, atol=1e-12)
        np.testing.assert_allclose(found.large, added)


def test_mass_of_grey_levels_adds_up_to_one():
    levels = jnp.linspace(-1, 1, 256)[None]
    for mean, scale in [(0.3, 0.1), (-0.99, 0.02), (5.0, 0.5), (0.0, 1e-3)]:
        log_prob = discretised_gaussian_log_prob(levels, jnp.full((1, 1), mean), jnp.float32(scale))
        assert jax.nn.logsumexp(log_prob) == pytest.approx(0, abs=1e-4) and jnp.isfinite(log_prob).all()
    level = levels[0, 200]
    exact = np.log(norm.cdf(level + 1 / 255, 0.3, 0.1) - norm.cdf(level - 1 / 255, 0.3, 0.1))
    found = discretised_gaussian_log_prob(level[None], jnp.float32(0.3)[None], jnp.float32(0.1))
    np.testing.assert_allclose(found, exact, rtol=1e-4)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "rectified"])
def test_predictions_have_the_same_loss_at_matched_weights(schedule):
    """By networks that say the same of x_0 in another way, at the weight SNR."""

    class Says(nn.Module):
        prediction: str

        @nn.compact
        def __call__(self, x, time, label=None, *, train=False):
            self.param("unused", nn.initializers.zeros, ())
            t = jnp.round(time / 10).astype(int) + 1
            alpha, sigma = (jnp.asarray(a, x.dtype)[t][:, None] for a in noise_schedule(schedule, 100))
            image = jnp.tanh(x)
            noise = (x - alpha * image) / sigma
            velocity = alpha * noise - sigma * image
            return {"image": image, "noise": noise, "velocity": velocity, "flow": noise - image}[self.prediction]

    losses = []
    for prediction in ("image", "noise", "velocity", "flow"):
        model = Diffusion(
            (2,), Says(prediction), optax.sgd(0.0), 100, schedule, prediction, weighting="snr", clip=False
        )
        state = model.init(key(), {"image": of_data(64)})
        losses.append(float(model.step(state, {"image": of_data(64)})[1]["loss"]))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "ancestral", "variance": "small"},
        {"sampler": "ancestral", "variance": "large", "schedule": "cosine"},
        {"sampler": "ddim", "eta": 0.5},
        {"sampler": "ddim", "sampling_steps": 200},
        {"sampler": "ddim", "schedule": "rectified", "sampling_steps": 200},
        {"sampler": "dpm_solver", "sampling_steps": 30},
        {"sampler": "dpm_solver", "schedule": "sigmoid", "sampling_steps": 60},
        {"sampler": "heun", "sampling_steps": 30},
    ],
    ids=str,
)
def test_samplers_reproduce_a_gaussian(options):
    model, state = gaussian(**options)
    samples = np.asarray(jax.jit(model.sample, static_argnums=2)(state, key(), 8000))
    np.testing.assert_allclose(samples.mean(0), MEAN, atol=0.02)
    np.testing.assert_allclose(np.cov(samples.T), COVARIANCE, atol=0.02)


def test_few_steps_of_a_higher_order_come_nearer():
    """To the probability flow of all timesteps, from the same noise."""
    latent = jax.random.normal(key(), (200, 2))
    model, state = gaussian(sampler="heun")
    exact = jax.jit(model.decode)(state, latent)

    def error(sampler, steps):
        few = dataclasses.replace(model, sampler=sampler, sampling_steps=steps)
        return float(jnp.abs(few.decode(state, latent) - exact).mean())

    assert error("dpm_solver", 10) < 0.5 * error("ddim", 10)
    assert 12 < error("heun", 20) / error("heun", 80) < 30  # of second order: 16
    assert 3 < error("ddim", 20) / error("ddim", 80) < 5  # of first: 4


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver", "heun"])
def test_as_many_timesteps_are_visited_as_asked_for(sampler, schedule):
    for count in (1, 2, 10, 20):
        t = visited(sampler, noise_schedule(schedule, 1000), 1000, count)
        assert len(set(t)) == count and t[-1] == 1000 and (count == 1 or t[0] == 1)


def test_ddim_with_eta_1_is_ancestral_sampling_and_with_eta_0_draws_nothing():
    ancestral, state = gaussian(timesteps=50, sampler="ancestral", variance="small")
    eta_1 = dataclasses.replace(ancestral, sampler="ddim", eta=1.0)
    np.testing.assert_allclose(ancestral.sample(state, key(), 100), eta_1.sample(state, key(), 100), atol=1e-5)
    eta_0 = dataclasses.replace(ancestral, sampler="ddim")
    latent = jax.random.normal(key(), (100, 2))
    one, other = (eta_0.decode(state, latent, key=jax.random.key(i)) for i in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, eta_0.decode(state, latent))
    with pytest.raises(ValueError, match="a key is needed"):
        eta_1.decode(state, latent)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "rectified"])
def test_likelihood_of_the_flow_is_exact(schedule):
    model, state = gaussian(schedule)
    alpha, sigma = (a[1] for a in noise_schedule(schedule, 1000))
    x = of_data(50)
    found = model.log_prob(state, key(), x, steps=250)
    exact = multivariate_normal(alpha * MEAN, alpha**2 * COVARIANCE + sigma**2 * np.eye(2)).logpdf(np.asarray(x))
    np.testing.assert_allclose(found, exact, atol=0.02)


def test_hutchinson_estimates_the_divergence():
    """Of an example of shape (1, 2, 1), whose divergence is estimated, not exact: its mean over keys is."""

    class Pixels(GaussianDenoiser):
        @nn.compact
        def __call__(self, x, time, label=None, *, train=False):
            return GaussianDenoiser()(x.reshape(-1, 2), time).reshape(x.shape)

    flat, state = gaussian()
    model = dataclasses.replace(flat, shape=(1, 2, 1), network=Pixels())
    pixels = model.init(key(), {"image": jnp.zeros((1, 1, 2, 1))})
    x = of_data(1)
    exact = flat.log_prob(state, key(), x)
    many = jnp.tile(x.reshape(1, 1, 2, 1), (4000, 1, 1, 1))
    found = model.log_prob(pixels, key(), many)
    assert found.std() > 0.01
    np.testing.assert_allclose(found.mean(), exact[0], atol=4 * found.std() / 4000**0.5 + 1e-4)


def test_bound_of_a_gaussian():
    """Not below the exact negative log-likelihood, near it with many timesteps, and estimated without bias by few."""
    model, state = gaussian(variance="large")
    x = of_data(2000)
    exact = -multivariate_normal(MEAN, COVARIANCE).logpdf(np.asarray(x)).mean()
    terms = jax.jit(model.variational_bound)(state, key(), {"image": x})
    bound = float(sum(terms).mean())
    assert exact - 0.02 < bound < exact + 0.1
    few = jax.jit(model.variational_bound, static_argnums=3)(state, key(), {"image": x}, 20)
    spread = float(few.diffusion.std()) / len(x) ** 0.5
    np.testing.assert_allclose(few.diffusion.mean(), terms.diffusion.mean(), atol=4 * spread + 0.05)
    bits = model.bits_per_dim(state, key(), {"image": x}, 20)
    np.testing.assert_allclose(bits.mean(), sum(few).mean() / (2 * math.log(2)), rtol=1e-5)


def test_bits_of_a_known_distribution_of_grey_levels():
    """Pixels of 255 or 0 with probability 1/2 each, and the network that knows it: one bit, and what p(x_0 | x_1), a
    normal of given width, leaves to other levels."""

    class Knows(nn.Module):
        @nn.compact
        def __call__(self, x, time, label=None, *, train=False):
            self.param("unused", nn.initializers.zeros, ())
            t = time.astype(int) + 1
            alpha, sigma = (jnp.asarray(a, x.dtype)[t][:, None, None, None] for a in noise_schedule("cosine", 1000))
            return jnp.tanh(alpha * x / sigma**2)

    model = Diffusion((1, 2, 1), Knows(), optax.sgd(0.0), 1000, "cosine", "image", variance="small")
    image = 255 * jax.random.bernoulli(key(), shape=(500, 1, 2, 1)).astype(jnp.uint8)
    state = model.init(key(), {"image": image})
    schedule = noise_schedule("cosine", 1000)
    exact = 1 - norm.logcdf(1 / 255, scale=transition(schedule, np.array(2), np.array(1)).small ** 0.5) / math.log(2)
    bound = model.bits_per_dim(state, key(), {"image": image})
    assert exact - 0.01 < float(bound.mean()) < exact + 0.03
    found = jax.jit(model.ode_bits_per_dim, static_argnums=3)(state, key(), {"image": image}, 999)
    assert float(found.mean()) == pytest.approx(exact, abs=0.03)


@pytest.fixture(scope="module")
def moons():
    """A conditional model of the two moons, after training."""
    data = load("moons")
    model = Diffusion(
        (2,),
        PointDenoiser((128,) * 3, classes=2),
        optax.adam(2e-3),
        100,
        "cosine",
        "velocity",
        classes=2,
        ema=0.99,
        sampler="dpm_solver",
        sampling_steps=20,
        clip=False,
    )
    return data, model, fit(model, data, steps=1500, batch_size=256, progress=False)


def nearest(points, data):
    """Of the nearest data points the distance and the label."""
    distance = jnp.linalg.norm(points[:, None] - data.arrays["image"][None, :3000], axis=-1)
    return distance.min(1), data.arrays["label"][np.asarray(distance.argmin(1))]


def test_it_learns_the_moons_each_by_its_label(moons):
    data, model, state = moons
    distance, label = nearest(model.sample(state, key(), 400), data)
    assert float(jnp.median(distance)) < 0.1
    assert (label == np.arange(400) % 2).mean() > 0.95
    guided = dataclasses.replace(model, guidance=2.0)
    _, label = nearest(guided.sample(state, key(), 400), data)
    assert (label == np.arange(400) % 2).mean() > 0.98


def test_trajectory_ends_in_the_samples_and_progress_is_told(moons):
    _, model, state = moons
    label, told = jnp.zeros(5, jnp.int32), []
    steps = len(visited("dpm_solver", noise_schedule("cosine", 100), 100, 20))
    frames = model.trajectory(state, key(), 5, label, frames=4)
    assert frames.shape == (4, 5, 2)
    np.testing.assert_allclose(frames[-1], model.sample(state, key(), 5, label, progress=told.append))
    jax.effects_barrier()
    assert sorted(map(int, told)) == list(range(1, steps + 1))


def test_edit_keeps_what_little_noise_leaves(moons):
    data, model, state = moons
    points, label = (jnp.asarray(data.arrays[name][:100]) for name in ("image", "label"))
    near = jnp.abs(model.edit(state, key(), points, 0.05, label) - points).mean()
    far = jnp.abs(model.edit(state, key(), points, 0.9, label) - points).mean()
    assert near < 0.1 < far
    with pytest.raises(ValueError, match=r"strength=0\.0: a number above 0"):
        model.edit(state, key(), points, 0.0)


def test_inpaint_keeps_what_is_known(moons):
    data, model, state = moons
    points, label = (jnp.asarray(data.arrays[name][:200]) for name in ("image", "label"))
    made = model.inpaint(state, key(), points, jnp.array([1.0, 0.0]), label)
    np.testing.assert_allclose(made[:, 0], points[:, 0], atol=1e-6)
    distance, _ = nearest(made, data)
    assert float(jnp.median(distance)) < 0.15 and float(jnp.abs(made[:, 1] - points[:, 1]).mean()) > 0.01


@pytest.mark.parametrize(
    "options", [{"variance": "learned"}, {"weighting": "bound"}, {"weighting": "min_snr"}], ids=str
)
def test_other_objectives_descend(options):
    outputs = 2 if "variance" in options else 1
    model = Diffusion((2,), PointDenoiser((64,), outputs), optax.adam(3e-3), 50, clip=False, **options)
    state, losses = model.init(key(), {"image": of_data(256)}), []
    step = jax.jit(model.step)
    for i in range(300):
        state, metrics = step(state, {"image": of_data(256, seed=i)})
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-30:]) < 0.8 * np.mean(losses[:10])
    assert np.isfinite(model.sample(state, key(), 10)).all()


def test_refusals():
    def make(**options):
        return Diffusion((2,), PointDenoiser((8,)), optax.sgd(1e-2), **options)

    for options, message in [
        ({"sampling_steps": 1001}, "1 to the 1000 timesteps"),
        ({"guidance": 1.0}, "labels are needed"),
        ({"guidance": 1.0, "classes": 3, "label_dropout": 0.0}, "some are hidden in training"),
        ({"sampler": "euler"}, "choose from ancestral, ddim, dpm_solver, heun"),
        ({"schedule": "square"}, "choose from linear, cosine"),
        ({"prediction": "score"}, "choose from noise, image"),
        ({"eta": 2.0}, "0 to 1 is allowed"),
        ({"timesteps": 0}, "at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(**options)
    with pytest.raises(ValueError, match="but the data's images are"):
        make().init(key(), {"image": jnp.zeros((1, 3))})
    with pytest.raises(ValueError, match="with variance learned need"):
        make(variance="learned").init(key(), {"image": jnp.zeros((1, 2))})
