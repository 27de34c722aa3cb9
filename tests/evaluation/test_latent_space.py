"""Figures of a latent space, and the codes of examples."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.data import Dataset, FactorWorld, factor_world, load
from jaxgen.evaluation import disentanglement_evaluator, latent_space, vae_evaluator
from jaxgen.evaluation.latent_space import Codes
from jaxgen.metrics import boosting
from jaxgen.models import VAE
from jaxgen.networks import MLPDecoder, MLPEncoder


def data(n, classes=3):
    rng = np.random.default_rng(0)
    label = rng.integers(classes, size=n).astype(np.int32) if classes else None
    image = rng.integers(0, 256, (n, 8, 8, 1)).astype(np.uint8)
    return Dataset({"image": image} | ({"label": label} if classes else {}), tuple("abcdefghij"[:classes]))


def codes(mean, **about):
    mean = np.asarray(mean, np.float32)
    return Codes(mean, np.ones_like(mean), about)


def test_images_and_codes_are_of_the_same_examples(monkeypatch):
    monkeypatch.setattr(latent_space, "BATCH", 4)
    made, index, shown = data(30), np.array([7, 3, 29, 3, 0, 11]), np.array([5, 0, 0, 3])
    brightness = made.arrays["image"][index].mean((1, 2, 3)) / 127.5 - 1

    def encode(image, label):
        mean = jnp.asarray(image, jnp.float32).mean((1, 2, 3))[:, None] / 127.5 - 1
        return mean, jnp.ones_like(mean)

    found, images = latent_space.codes_of(encode, made, index, shown)
    np.testing.assert_allclose(found.mean[:, 0], brightness, atol=1e-5)
    np.testing.assert_allclose(found.kl[:, 0], brightness**2 / 2, atol=1e-5)
    np.testing.assert_allclose(images.mean((1, 2, 3)), brightness[shown], atol=1e-5)
    np.testing.assert_array_equal(found.label, made.arrays["label"][index])


def test_factors_are_those_of_the_world_or_the_class():
    def found(data, codes, world=None):
        return [(factor.name, factor.classes.tolist()) for factor in latent_space.factors_of(data, codes, world)]

    two = codes(np.zeros((2, 3)), label=np.array([2, 1]), factors=np.array([[0, 2, 5, 0, 31, 0], [0, 1, 5, 9, 0, 31]]))
    assert found(load("sprites", "test"), two, factor_world("sprites")) == [
        ("shape", [2, 1]),
        ("orientation", [0, 9]),
        ("x", [31, 0]),
        ("y", [0, 31]),
    ]
    assert found(data(2), codes(np.zeros((2, 3)), label=np.array([2, 1]))) == [("class", [2, 1])]
    assert found(data(2), codes(np.zeros((2, 3)), label=np.array([1, 1]))) == []
    assert found(data(2, classes=0), codes(np.zeros((2, 3)))) == []
    world = FactorWorld("shapes", {"floor_hue": np.arange(3), "shape": np.arange(4)}, lambda factors: factors)
    columns = {"label_shape": np.array([0, 3]), "label_floor_hue": np.array([2, 0])}
    three_dimensional = codes(np.zeros((2, 3)), **columns)
    assert found(data(2, classes=0), three_dimensional, world) == [("floor_hue", [2, 0]), ("shape", [0, 3])]


@pytest.mark.parametrize("size", [5, 180])  # each image encoded once, and as the metrics ask for it
def test_a_representation_that_is_the_factors_is_disentangled(size, monkeypatch):
    monkeypatch.setattr(boosting, "STAGES", 2)

    def encode(state, image):
        return image.reshape(len(image), -1) * state

    world = FactorWorld("dials", {"a": np.arange(size), "b": np.arange(size)}, lambda f: f[:, None, :, None])
    found = disentanglement_evaluator(encode, world, 100)(jnp.float32(0.5))
    figures = found.figures
    assert figures["factor_vae"] == figures["beta_vae"] == 1 and figures["active_units"] == 2
    assert figures["train_points"] == 100 and figures["test_points"] == 50 and found.counts == {"factor_points": 100}
    if size == 5:
        assert figures["mig"] > 0.85 and figures["dci_disentanglement"] > 0.99


@pytest.mark.parametrize("classes", [0, 3])
def test_figures_of_a_vae_are_means_over_all_of_the_test_set(monkeypatch, classes):
    """In two batches of unequal size, against all in one."""
    monkeypatch.setattr("jaxgen.evaluation.likelihood.BATCH", 20)
    test = data(30)
    networks = MLPEncoder(2, (8,), classes=classes), MLPDecoder((8, 8, 1), (8,), classes=classes)
    model = VAE(*networks, optax.adam(1e-3), classes=classes)
    batch = jax.tree.map(jnp.asarray, test.batch(np.arange(30)))
    state = jax.jit(model.init)(jax.random.key(0), batch)
    found = vae_evaluator(model, test, importance_samples=10)(state)
    label = batch["label"] if classes else None
    error = model.reconstruct(state, batch["image"], label) / 2 - (batch["image"] / 255 - 0.5)
    assert found.figures["test_reconstruction_mse"] == pytest.approx(float(jnp.square(error).mean()), rel=1e-4)
    mean, scale = model.encode(state, batch["image"], label)
    kl = (jnp.square(mean) + jnp.square(scale) - 1 - 2 * jnp.log(scale)).sum(1).mean() / 2
    assert found.figures["test_kl"] == pytest.approx(float(kl), rel=1e-4)
    elbo = found.figures["test_log_likelihood"] - found.figures["test_kl"]
    assert found.figures["test_elbo"] == pytest.approx(elbo, rel=1e-5)
    assert -found.figures["test_nll_10_samples"] > found.figures["test_elbo"] - 1  # a tighter bound, but for its noise
    assert 0 <= found.figures["active_units"] <= 2 and found.counts == {"test_examples": 30}
