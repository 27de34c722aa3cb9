import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.data import Dataset
from jaxgen.models import NormalizingFlow
from jaxgen.networks import Dequantiser, Glow, PointFlow, RealNVP
from jaxgen.training import NonFinite, fit

SHAPE = (4, 4, 1)
glow = Glow(SHAPE, 1, 2, 4)
points = PointFlow((2,), "affine", 3, (16,))


class Fixed(nn.Module):
    """z = x / scale, so that x ~ N(0, scale² I)."""

    shape: tuple[int, ...]
    scale: float
    classes: int = 0

    @nn.compact
    def __call__(self, x, label=None, inverse=False):
        scale = self.param("scale", nn.initializers.constant(self.scale), ())
        log_det = jnp.full(len(x), -np.prod(self.shape) * jnp.log(scale))
        self.sow("finite", "all", jnp.isfinite(log_det).all())
        return (
            ((scale * x).reshape(-1, *self.shape), -log_det) if inverse else ((x / scale).reshape(len(x), -1), log_det)
        )


def batch(n=8, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": jnp.array(rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8)),
        "label": jnp.arange(n, dtype=jnp.int32) % 3,
    }


def started(network=glow, data=None, **options):
    flow = NormalizingFlow(network, optax.adam(1e-2), **options)
    return flow, jax.jit(flow.init)(jax.random.key(0), data or batch())


@pytest.mark.parametrize("bits", [8, 5, 1])
def test_bits_per_dimension_of_a_known_distribution(bits):
    """Of N(0, 1/4) the exact mass of each level by the error function, to 1e-3 with the noise averaged over; one draw
    is an upper bound in expectation."""
    scale = 0.5
    image = (np.arange(256, dtype=np.uint8)).reshape(256, 1, 1, 1)
    flow, state = started(Fixed((1, 1, 1), scale), {"image": image}, bits=bits)
    levels = 2**bits
    edges = np.linspace(-1, 1, levels + 1)
    mass = np.diff([0.5 * (1 + jax.scipy.special.erf(edge / scale / 2**0.5)) for edge in edges])
    exact = -np.log2(mass)[image[:, 0, 0, 0] >> (8 - bits)]
    found = jax.jit(lambda key: flow.bits_per_dim(state, key, {"image": image}, 4000))(jax.random.key(1))
    np.testing.assert_allclose(found.mean(), exact.mean(), atol=1e-3)
    np.testing.assert_allclose(found, exact, atol=0.03)
    one = jax.jit(lambda key: flow.bits_per_dim(state, key, {"image": np.tile(image, (40, 1, 1, 1))}))
    assert float(one(jax.random.key(2)).mean()) > exact.mean() - (2e-3 if bits > 1 else 0)


def test_more_draws_tighten_the_bound():
    flow, state = started(Fixed((4, 4, 1), 0.1), dequantiser=Dequantiser(1, 4))

    @partial(jax.jit, static_argnums=1)
    def bound(keys, draws):
        return jax.lax.map(lambda key: flow.bits_per_dim(state, key, batch(), draws), keys).mean()

    one, ten = (float(bound(jax.random.split(jax.random.key(draws), 50), draws)) for draws in (1, 10))
    assert ten < one - 1e-3


def test_the_density_of_the_whole_model_integrates_to_one():
    """Over [-1, 1]², which the logit takes nearly all of: ∫ p(x) dx by the midpoint rule."""
    flow, state = started(PointFlow((2,), "spline", 2, (8,), 4), {"image": jnp.zeros((4, 2))}, alpha=1e-5)
    side = (np.arange(400) + 0.5) / 200 - 1
    inside = jnp.array(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2), jnp.float32)
    found = np.exp(jax.jit(flow.log_prob)(state, inside)).sum() / 200**2
    np.testing.assert_allclose(found, 1, rtol=1e-3)


def test_training_learns_a_density_and_its_points():
    """A correlated Gaussian: the loss comes to its entropy, samples to its covariance."""
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    data = np.random.default_rng(0).multivariate_normal([1, -1], covariance, 4096).astype(np.float32)
    flow, state = started(points, {"image": data}, ema=0.9)
    state, metrics = jax.jit(
        lambda s: jax.lax.fori_loop(
            0, 200, lambda _, sm: flow.step(sm[0], {"image": data}), flow.step(s, {"image": data})
        )
    )(state)
    entropy = 0.5 * np.log(np.linalg.det(2 * np.pi * np.e * covariance))
    assert float(metrics["loss"]) == pytest.approx(entropy, abs=0.08)
    assert float(-flow.log_prob(state, jnp.array(data)).mean()) == pytest.approx(entropy, abs=0.08)
    made = flow.sample(state, jax.random.key(1), 4000)
    np.testing.assert_allclose(np.cov(made.T), covariance, atol=0.15)
    cold = flow.sample(state, jax.random.key(1), 4000, temperature=0.5)
    np.testing.assert_allclose(np.cov(cold.T), covariance / 4, atol=0.1)


def test_the_first_step_normalises_by_its_batch():
    flow, state = started()
    before = state.params
    key = jax.random.split(jax.random.clone(state.key), 3)[1]
    normalised = jax.jit(flow.normalised)(state, key, batch())
    bias = normalised.params["network"]["level_0"]["steps"]["step"]["actnorm"]["bias"]
    assert float(jnp.abs(bias).max()) > 0.01
    np.testing.assert_array_equal(  # other parameters stay
        before["network"]["level_0"]["steps"]["step"]["convolution"]["kernel"],
        normalised.params["network"]["level_0"]["steps"]["step"]["convolution"]["kernel"],
    )
    still = dataclasses.replace(flow, optimiser=optax.sgd(0.0))
    state, _ = jax.jit(still.step)(
        state.replace(optimiser=still.optimiser.init(before), key=jax.random.clone(state.key)), batch()
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.params, normalised.params)


@pytest.mark.parametrize("options", [{}, {"alpha": 0.05}, {"dequantiser": Dequantiser(2, 4), "bits": 5}])
def test_images_decode_to_themselves(options):
    flow, state = started(**options)
    state, metrics = jax.jit(flow.step)(state, batch())
    assert int(metrics["finite_layers"]) == 2 * 3 + 1 + 2 * 2 * ("dequantiser" in options)
    assert np.isfinite(float(metrics["loss"]))
    z = flow.encode(state, batch()["image"])
    assert z.shape == (8, 16)
    x = flow.decode(state, z)
    levels = 2 ** options.get("bits", 8)
    np.testing.assert_array_equal(jnp.floor((x + 1) / 2 * levels), batch()["image"] >> (8 - options.get("bits", 8)))
    assert float(jnp.abs(flow.sample(state, jax.random.key(1), 4)).max()) <= 1


def test_classification_is_bayes_rule():
    """Two classes at ±1 learnt by a conditional flow: right nearly always; a prior moves the odds by its own."""
    label = jnp.arange(512, dtype=jnp.int32) % 2
    x = 0.3 * jax.random.normal(jax.random.key(0), (512, 2)) + (2 * label[:, None] - 1)
    data = {"image": x, "label": label}
    flow, state = started(PointFlow((2,), "affine", 2, (16,), classes=2), data, classes=2)
    state = jax.jit(lambda s: jax.lax.fori_loop(0, 100, lambda _, s: flow.step(s, data)[0], s))(state)
    posterior = flow.classify(state, x)
    np.testing.assert_allclose(jnp.exp(posterior).sum(-1), 1, rtol=1e-5)
    assert float((posterior.argmax(-1) == label).mean()) > 0.98
    joint = jnp.stack([flow.log_prob(state, x, jnp.full(512, i)) for i in (0, 1)], -1)
    np.testing.assert_allclose(posterior, jax.nn.log_softmax(joint), atol=1e-4)
    tilted = flow.classify(state, x, jnp.log(jnp.array([0.9, 0.1])))
    odds = (tilted - posterior)[:, 0] - (tilted - posterior)[:, 1]
    np.testing.assert_allclose(odds, np.log(9), atol=1e-2)
    made = flow.sample(state, jax.random.key(1), 200)
    assert float(((made[:, 0] > 0) == jnp.arange(200) % 2).mean()) > 0.95


def test_training_stops_at_the_layer_that_breaks():
    """From update 5 on the kernel of one coupling's network is not a number."""

    def update(updates, count, params=None):
        step = updates["network"]["steps"]["step"]
        dense = step["coupling"]["MLPConditioner_0"]["Dense_0"]
        broken = dense | {"bias": dense["bias"].at[1].set(jnp.where(count == 5, jnp.nan, 0.0))}
        step = step | {
            "coupling": step["coupling"]
            | {"MLPConditioner_0": step["coupling"]["MLPConditioner_0"] | {"Dense_0": broken}}
        }
        return {"network": {"steps": {"step": step}}}, count + 1

    poison = optax.GradientTransformation(lambda params: jnp.int32(0), update)
    flow = NormalizingFlow(points, optax.chain(optax.sgd(1e-3), poison))
    data = Dataset({"image": np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)})
    with pytest.raises(
        NonFinite, match=r"step 7: .* \(the first layer that is not finite is network/steps/step_1/coupling\)"
    ):
        fit(flow, data, steps=20, batch_size=16, log_every=10, progress=False)


class Dropping(nn.Module):
    """z = x · exp(s) with dropout in s."""

    shape: tuple[int, ...] = (2,)
    classes: int = 0
    rate: float = 0.5

    @nn.compact
    def __call__(self, x, label=None, inverse=False, train=False):
        s = self.param("s", nn.initializers.constant(0.5), (1, 2))
        s = nn.Dropout(self.rate)(jnp.broadcast_to(s, x.shape), deterministic=not train)
        self.sow("finite", "all", jnp.isfinite(s).all())
        return (x * jnp.exp(-s), -s.sum(-1)) if inverse else (x * jnp.exp(s), s.sum(-1))


def test_dropout_is_active_in_training_alone():
    data = {"image": np.ones((64, 2), np.float32)}
    flow, state = started(Dropping(), data)
    metrics = [jax.jit(flow.step)(state.replace(key=jax.random.key(i)), data)[1] for i in range(2)]
    assert float(metrics[0]["log_det"]) != float(metrics[1]["log_det"])
    x = jnp.array(data["image"])
    np.testing.assert_allclose(flow.log_prob(state, x), -jnp.exp(1.0) - jnp.log(2 * jnp.pi) + 1, rtol=1e-5)
    np.testing.assert_allclose(flow.decode(state, flow.encode(state, x)), x, rtol=1e-6)


def test_the_same_state_and_batch_give_the_same_bits():
    flow, state = started()
    step = jax.jit(flow.step)
    again = state.replace(key=jax.random.clone(state.key))
    first, second = step(state, batch()), step(again, batch())
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), first[0].params, second[0].params)))
    assert first[1].keys() == {"loss", "log_det", "gradient_norm", "finite_layers"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 9}, "bits=9: 1 to 8 are allowed"),
        ({"alpha": 0.5}, "alpha=0.5: at least 0 and less than 0.5"),
        ({"classes": 3}, "classes=3, but the network has 0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        NormalizingFlow(glow, optax.adam(1e-3), **options)


def test_what_does_not_fit_is_refused_by_name():
    flow, state = started()
    with pytest.raises(ValueError, match=r"for examples of shape \(4, 4, 1\), not \(8, 8, 1\)"):
        flow.init(jax.random.key(0), {"image": jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.uint8)})
    with pytest.raises(ValueError, match="draws=0"):
        flow.bits_per_dim(state, jax.random.key(0), batch(), 0)
    with pytest.raises(ValueError, match="float examples are continuous"):
        flow.bits_per_dim(state, jax.random.key(0), {"image": jnp.zeros((2, *SHAPE))})
    with pytest.raises(ValueError, match="only a conditional flow classifies"):
        flow.classify(state, batch()["image"])
    with pytest.raises(ValueError, match="image size 6×6: 2 halvings"):
        NormalizingFlow(RealNVP((6, 6, 1), 3), optax.adam(1e-3)).init(
            jax.random.key(0), {"image": jax.ShapeDtypeStruct((2, 6, 6, 1), jnp.uint8)}
        )
