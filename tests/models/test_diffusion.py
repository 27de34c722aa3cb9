import dataclasses
import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.data import load
from jaxgen.diffusion import (
    DDIM,
    Ancestral,
    DiscreteProcess,
    DPMSolver,
    Sampler,
    evenly_spaced,
    predictions,
    sample_path,
    spaced_by_noise,
    variances,
    weightings,
)
from jaxgen.diffusion.schedules import Cosine, Linear, Rectified
from jaxgen.models import Diffusion
from jaxgen.networks import PointDenoiser
from jaxgen.training import fit


def key(seed=0):
    return jax.random.key(seed)


def points(n, seed=0):
    return jnp.asarray(0.5 * np.random.default_rng(seed).normal(size=(n, 2)), jnp.float32)


class Bell(nn.Module):
    """E[x_0 | x_t] of N(0, 1/4 I), the data of `points`."""

    process: DiscreteProcess

    @nn.compact
    def __call__(self, x, time, label=None, *, train=False):
        self.param("unused", nn.initializers.zeros, ())
        t = jnp.round(time * self.process.timesteps / 1000).astype(int) + 1
        alpha, sigma = (a[:, None] for a in self.process.marginal(t))
        return x * alpha / 4 / (alpha**2 / 4 + sigma**2)


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Rectified()], ids=str)
def test_predictions_have_the_same_loss_at_matched_weights(schedule):
    """By networks that say the same of x_0 in another way, at the weight SNR."""
    process = DiscreteProcess(schedule, 100)

    class Says(nn.Module):
        prediction: str

        @nn.compact
        def __call__(self, x, time, label=None, *, train=False):
            self.param("unused", nn.initializers.zeros, ())
            alpha, sigma = (a[:, None] for a in process.marginal(jnp.round(time / 10).astype(int) + 1))
            image = jnp.tanh(x)
            noise = (x - alpha * image) / sigma
            velocity = alpha * noise - sigma * image
            return {"image": image, "noise": noise, "velocity": velocity, "flow": noise - image}[self.prediction]

    losses = []
    for name in ("image", "noise", "velocity", "flow"):
        prediction = getattr(predictions, name)
        model = Diffusion((2,), Says(name), optax.sgd(0.0), process, prediction, weightings.snr, clip=False)
        state = model.init(key(), {"image": points(64)})
        losses.append(float(model.step(state, {"image": points(64)})[1]["loss"]))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)


def test_bounds_and_densities_are_in_nats_and_bits():
    """By the network that knows the normal density of the points."""
    process = DiscreteProcess()
    model = Diffusion((2,), Bell(process), optax.sgd(0.0), process, predictions.image, clip=False)
    state = model.init(key(), {"image": jnp.zeros((4, 2))})
    x = points(1000)
    exact = 2 * math.log(0.5 * math.sqrt(2 * math.pi)) + 2 * jnp.square(x).sum(1)
    bound = jax.jit(model.variational_bound, static_argnums=3)(state, key(), {"image": x}, 50)
    assert -0.05 < float((sum(bound) - exact).mean()) < 0.15
    bits = model.bits_per_dim(state, key(), {"image": x}, 50)
    np.testing.assert_allclose(bits.mean(), sum(bound).mean() / (2 * math.log(2)), rtol=1e-4)
    np.testing.assert_allclose(-model.log_prob(state, key(), x, steps=150), exact, atol=0.02)
    ode = model.ode_bits_per_dim(state, key(), {"image": x}, 150) * 2 * math.log(2)
    assert -0.05 < float((ode - exact).mean()) < 0.15


def test_uint8_images_are_measured_as_256_levels():
    """Pixels of 255 or 0 with probability 1/2 each, and the network that knows it: one bit, and what the width of
    p(x_0 | x_1) leaves to other levels (its exact size: tests/diffusion/test_likelihood.py)."""
    process = DiscreteProcess(Cosine())

    class Knows(nn.Module):
        @nn.compact
        def __call__(self, x, time, label=None, *, train=False):
            self.param("unused", nn.initializers.zeros, ())
            alpha, sigma = process.marginal(time.astype(int) + 1)
            return jnp.tanh((alpha / sigma**2)[:, None, None, None] * x)

    model = Diffusion((1, 2, 1), Knows(), optax.sgd(0.0), process, predictions.image, variance=variances.small)
    image = 255 * jax.random.bernoulli(key(), shape=(500, 1, 2, 1)).astype(jnp.uint8)
    state = model.init(key(), {"image": image})
    bits = model.bits_per_dim(state, key(), {"image": image}, 200).mean()
    ode = model.ode_bits_per_dim(state, key(), {"image": image}, 300).mean()
    assert 0.95 < float(bits) < 2.5
    assert float(ode) == pytest.approx(float(bits), abs=0.1)


@pytest.fixture(scope="module")
def moons():
    """A conditional model of the two moons, after training."""
    data = load("moons")
    model = Diffusion(
        (2,),
        PointDenoiser((128,) * 3, classes=2),
        optax.adam(2e-3),
        DiscreteProcess(Cosine(), 100),
        predictions.velocity,
        classes=2,
        ema=0.99,
        clip=False,
    )
    return data, model, fit(model, data, steps=1500, batch_size=256, progress=False)


@dataclass(frozen=True)
class Midpoint(Sampler):
    """A user's sampler: the midpoint method for dx̃ = ε dσ̃, where x̃ = x / α and σ̃ = σ / α."""

    steps: int = 20

    def timesteps(self, process, start):
        return evenly_spaced(process, start, self.steps)

    def coefficients(self, process, t, s):
        middle = (t + s + 1) // 2
        return middle, process.marginal(middle)

    def step(self, denoiser, x, memory, step):
        middle, halfway = step.coefficients

        def slope(x, t, at):
            return (x - at.alpha * denoiser(x, t)) / at.sigma

        level, between, end = (at.sigma / at.alpha for at in (step.before, halfway, step.after))
        scaled = x / step.before.alpha
        there = halfway.alpha * (scaled + (between - level) * slope(x, step.t, step.before))
        return step.after.alpha * (scaled + (end - level) * slope(there, middle, halfway)), memory


FAST = DPMSolver(20)


def nearest(points, data):
    """The distance and the label of the data point nearest to each."""
    distance = jnp.linalg.norm(points[:, None] - data.arrays["image"][None, :3000], axis=-1)
    return distance.min(1), data.arrays["label"][np.asarray(distance.argmin(1))]


@pytest.mark.parametrize("sampler", [FAST, Ancestral(), Midpoint()], ids=str)
def test_it_learns_the_moons_each_by_its_label(moons, sampler):
    data, model, state = moons
    distance, label = nearest(model.sample(state, key(), 400, sampler=sampler), data)
    assert float(jnp.median(distance)) < 0.1
    assert (label == np.arange(400) % 2).mean() > 0.95
    _, label = nearest(model.sample(state, key(), 400, sampler=sampler, guidance=2.0), data)
    assert (label == np.arange(400) % 2).mean() > 0.98


def test_guidance_extrapolates_from_the_prediction_without_the_label(moons):
    """(1 + w) f(x, label) - w f(x), and so it is for x_0, which is linear in the prediction; w may be traced."""
    _, model, state = moons
    x, label = points(50), jnp.ones(50, jnp.int32)
    told, untold = (model.denoiser(state, y)(x, 40) for y in (label, jnp.full(50, 2)))
    guided = jax.jit(lambda w: model.denoiser(state, label, guidance=w)(x, 40))(1.5)
    np.testing.assert_allclose(guided, 2.5 * told - 1.5 * untold, atol=1e-4)
    assert float(jnp.abs(guided - told).max()) > 0.01


def test_trajectory_ends_in_the_samples_and_progress_is_told(moons):
    _, model, state = moons
    label, told = jnp.zeros(5, jnp.int32), []
    steps = len(spaced_by_noise(model.process, 100, 20))
    frames = model.trajectory(state, key(), 5, label, frames=4, sampler=FAST)
    assert frames.shape == (4, 5, 2)
    samples = model.sample(state, key(), 5, label, sampler=FAST, progress=told.append)
    np.testing.assert_allclose(frames[-1], samples, atol=1e-5)
    jax.effects_barrier()
    assert sorted(map(int, told)) == list(range(1, steps + 1))


def test_samples_are_decoded_noise_and_classes_come_in_turn(moons):
    _, model, state = moons
    latent_key, _ = jax.random.split(key())
    latent, label = jax.random.normal(latent_key, (6, 2)), jnp.arange(6, dtype=jnp.int32) % 2
    samples = model.sample(state, key(), 6, sampler=FAST)
    np.testing.assert_allclose(model.decode(state, latent, label, sampler=FAST), samples, atol=1e-5)
    np.testing.assert_allclose(sample_path(FAST, model.denoiser(state, label), latent)[-1], samples, atol=1e-5)
    with pytest.raises(ValueError, match="a key is needed"):
        model.decode(state, latent, label)


@pytest.mark.parametrize("sampler", [FAST, Midpoint(30)], ids=str)
def test_edit_keeps_what_little_noise_leaves(moons, sampler):
    data, model, state = moons
    image, label = (jnp.asarray(data.arrays[name][:100]) for name in ("image", "label"))
    edit = partial(model.edit, sampler=sampler)
    near = jnp.abs(edit(state, key(), image, 0.05, label) - image).mean()
    far = jnp.abs(edit(state, key(), image, 0.9, label) - image).mean()
    assert near < 0.1 < far
    with pytest.raises(ValueError, match=r"strength=0\.0: a number above 0"):
        model.edit(state, key(), image, 0.0)


@pytest.mark.parametrize("sampler", [FAST, Midpoint(30)], ids=str)
def test_inpaint_keeps_what_is_known(moons, sampler):
    data, model, state = moons
    image, label = (jnp.asarray(data.arrays[name][:200]) for name in ("image", "label"))
    made = model.inpaint(state, key(), image, jnp.array([1.0, 0.0]), label, sampler=sampler)
    np.testing.assert_allclose(made[:, 0], image[:, 0], atol=1e-6)
    distance, _ = nearest(made, data)
    assert float(jnp.median(distance)) < 0.15 and float(jnp.abs(made[:, 1] - image[:, 1]).mean()) > 0.01


def root(terms):
    """A user's weighting: the root of the mean squared error."""
    return jnp.sqrt(terms.error.mean())


@pytest.mark.parametrize(
    "options",
    [
        {"variance": variances.learned},
        {"weighting": weightings.bound},
        {"weighting": weightings.bound, "variance": variances.learned},
        {"weighting": weightings.MinSNR()},
        {"weighting": root},
    ],
    ids=["learned", "bound", "bound-learned", "min_snr", "own"],
)
def test_other_objectives_descend(options):
    outputs = options.get("variance", variances.large).outputs
    process = DiscreteProcess(timesteps=50)
    model = Diffusion((2,), PointDenoiser((64,), outputs), optax.adam(3e-3), process, clip=False, **options)
    state, losses = model.init(key(), {"image": points(256)}), []
    step = jax.jit(model.step)
    for i in range(300):
        state, metrics = step(state, {"image": points(256, seed=i)})
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-30:]) < 0.8 * np.mean(losses[:10])
    assert np.isfinite(model.sample(state, key(), 10)).all()
    hybrid = "variance" in options and "weighting" not in options
    assert ("bound_loss" in metrics) == hybrid
    if hybrid:
        total = metrics["prediction_loss"] + 1e-3 * metrics["bound_loss"]
        np.testing.assert_allclose(metrics["loss"], total, rtol=1e-5)


def test_dropout_has_a_key_and_batch_statistics_are_refused():
    class Drops(nn.Module):
        normalised: bool = False

        @nn.compact
        def __call__(self, x, time, label=None, *, train=False):
            x = nn.Dropout(0.5, deterministic=not train)(nn.Dense(16)(x))
            if self.normalised:
                x = nn.BatchNorm(use_running_average=not train)(x)
            return nn.Dense(2)(x)

    batch = {"image": points(16)}
    model = Diffusion((2,), Drops(), optax.sgd(0.0))
    state = model.init(key(), batch)
    first, again, other = (model.step(dataclasses.replace(state, key=key(i)), batch)[1]["loss"] for i in (1, 1, 2))
    assert first == again != other
    with pytest.raises(ValueError, match=r"'batch_stats', 'params'.*params only"):
        Diffusion((2,), Drops(True), optax.sgd(0.0)).init(key(), batch)


def test_refusals():
    def make(**options):
        model = Diffusion((2,), PointDenoiser((8,), classes=options.get("classes", 0)), optax.sgd(1e-2), **options)
        return model, model.init(key(), {"image": jnp.zeros((1, 2))})

    for options, how, message in [
        ({}, {"sampler": DDIM(1001)}, "steps=1001: 1 to the 1000 timesteps"),
        ({}, {"guidance": 1.0}, r"guidance=1\.0: labels are needed"),
        ({"classes": 3, "label_dropout": 0.0}, {"guidance": 1.0}, "some are hidden in training"),
    ]:
        model, state = make(**options)
        with pytest.raises(ValueError, match=message):
            model.sample(state, key(), 2, **how)
    with pytest.raises(ValueError, match="but the data's images are"):
        make()[0].init(key(), {"image": jnp.zeros((1, 3))})
    with pytest.raises(ValueError, match="with variance Learned need"):
        make(variance=variances.learned)
