"""Networks of one's own in a VAE: dropout, batch statistics, and likelihoods."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy import stats

from jaxgen.models import VAE
from jaxgen.networks import MLPDecoder, MLPEncoder

SHAPE = (3, 3, 1)


class Encoder(nn.Module):
    """Batch normalisation in front, then dropout."""

    latent: int = 2
    rate: float = 0.5

    @nn.compact
    def __call__(self, image, label=None, train=False):
        x = nn.BatchNorm(momentum=0.9)(image.reshape(len(image), -1), use_running_average=not train)
        x = nn.Dropout(self.rate)(nn.relu(nn.Dense(8)(x)), deterministic=not train)
        return jnp.split(nn.Dense(2 * self.latent)(x), 2, axis=-1)


class Decoder(nn.Module):
    """Dropout, and batch normalisation."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, z, label=None, train=False):
        x = nn.BatchNorm(momentum=0.9)(nn.Dense(8)(z), use_running_average=not train)
        x = nn.Dropout(self.rate)(nn.relu(x), deterministic=not train)
        return nn.Dense(9)(x).reshape(-1, *SHAPE)


def batch(n=16):
    rng = np.random.default_rng(0)
    return {"image": jnp.array(rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8))}


def started(encoder, decoder, rate=0.0, **options):
    vae = VAE(encoder, decoder, optax.sgd(rate), **options)
    return vae, jax.jit(vae.init)(jax.random.key(0), batch())


@pytest.mark.parametrize("options", [{}, {"objective_samples": 3}])
@pytest.mark.parametrize("where", ["encoder", "decoder"])
def test_dropout_is_active_in_training_and_not_in_evaluation(where, options):
    """Without dropout the loss is the same function of the key; with it another."""

    def losses(rate):
        networks = (Encoder(rate=rate), Decoder(0.0)) if where == "encoder" else (Encoder(rate=0.0), Decoder(rate))
        vae, state = started(*networks, **options)
        training = jax.jit(vae.loss)(state, jax.random.key(1), batch())[0]
        evaluation = jax.jit(vae.elbo)(state, jax.random.key(1), batch()).elbo
        return float(training), np.asarray(evaluation)

    (training, evaluation), (with_dropout, same) = losses(0.0), losses(0.9)
    assert abs(training - with_dropout) > 1e-3
    np.testing.assert_array_equal(evaluation, same)


class Nowhere(nn.Module):
    """All posteriors at 0, with next to no scale."""

    latent: int = 2

    @nn.compact
    def __call__(self, image, label=None):
        return jnp.zeros((len(image), 2)), jnp.full((len(image), 2), -60.0)


class Mask(nn.Module):
    """Dropout of ones, whatever the latent."""

    @nn.compact
    def __call__(self, z, label=None, train=False):
        return nn.Dense(9)(nn.Dropout(0.5)(jnp.ones((len(z), 8)), deterministic=not train)).reshape(-1, *SHAPE)


def test_every_step_has_a_mask_of_its_own():
    """The draws of the latents make no difference here, so only the masks do."""
    vae, state = started(Nowhere(), Mask())
    loss, bound = jax.jit(vae.loss), jax.jit(vae.elbo)
    assert len({float(loss(state, jax.random.key(i), batch())[0]) for i in (0, 1, 2, 0)}) == 3
    evaluated = [bound(state, jax.random.key(i), batch()).elbo for i in range(2)]
    np.testing.assert_allclose(*evaluated, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"objective_samples": 3}])
def test_batch_statistics_move_to_those_of_the_data_and_are_used_in_evaluation(options):
    data = batch()
    vae, state = started(Encoder(), Decoder(), **options)
    step = jax.jit(vae.step)
    before = vae.encode(state, data["image"])[0]
    one, _ = step(state, data)
    x = np.asarray(data["image"], np.float32).reshape(16, -1) / 127.5 - 1
    mean = one.statistics["encoder"]["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * x.mean(0), rtol=1e-4, atol=1e-5)
    for _ in range(100):
        one, _ = step(one, data)
    found = one.statistics["encoder"]["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(found["mean"], x.mean(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["var"], x.var(0), rtol=1e-3, atol=1e-4)
    assert float(jnp.abs(one.statistics["decoder"]["batch_stats"]["BatchNorm_0"]["mean"]).max()) > 1e-3

    jax.tree.map(np.testing.assert_array_equal, state.params, one.params)  # a rate of 0: only the statistics moved
    after = vae.encode(one, data["image"])[0]
    assert float(jnp.abs(after - before).max()) > 1e-2
    np.testing.assert_array_equal(after[:4], vae.encode(one, data["image"][:4])[0])  # each image by itself


def test_networks_without_collections_keep_the_names_of_the_state():
    _, state = started(MLPEncoder(2, (8,)), MLPDecoder(SHAPE, (8,)))
    assert not jax.tree.leaves(state.statistics)
    names = {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree.leaves_with_path(state)}
    layers = [f"params/{network}/Dense_{i}" for network in ("encoder", "decoder") for i in (0, 1)]
    assert names == {"step", "key", *(f"{layer}/{leaf}" for layer in layers for leaf in ("kernel", "bias"))}


@dataclass(frozen=True)
class Laplace:
    """Independent pixels with a Laplace density, which the library does not have."""

    scale: float = 0.1
    outputs: int = 1

    def log_prob(self, parameters, image):
        return (-jnp.abs(image - parameters) / self.scale - math.log(2 * self.scale)).sum((-3, -2, -1))

    def mean(self, parameters):
        return jnp.clip(parameters, -1, 1)


def test_a_likelihood_of_ones_own():
    """Its value is that of SciPy, the loss descends it, and samples are its means."""
    data = batch()
    vae, state = started(MLPEncoder(2, (8,)), MLPDecoder(SHAPE, (8,)), 1e-4, likelihood=Laplace())
    terms = jax.jit(vae.elbo)(state, jax.random.key(1), data)
    parameters = np.asarray(vae.decoder.apply(state.variables("decoder"), terms.z))
    image = np.asarray(data["image"], np.float32) / 127.5 - 1
    expected = stats.laplace.logpdf(image, parameters, 0.1).sum((1, 2, 3))
    np.testing.assert_allclose(terms.log_likelihood, expected, rtol=1e-4)

    after = jax.jit(lambda s: jax.lax.fori_loop(0, 200, lambda _, s: vae.step(s, data)[0], s))(state)
    trained = jax.jit(vae.elbo)(after, jax.random.key(1), data).elbo.mean()
    assert float(trained) > float(terms.elbo.mean()) + 5
    z = jnp.array([[100.0, 100.0]])
    np.testing.assert_array_equal(
        vae.decode(state, z), np.clip(vae.decoder.apply(state.variables("decoder"), z), -1, 1)
    )
