import warnings

import jax
import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.metrics import Extractor, features_of, fid, pixel_extractor, random_extractor, sample_figures
from jaxgen.pixels import normalise


def batches_of(images, size):
    return (images[start : start + size] for start in range(0, len(images), size))


def test_features_of_batches_are_in_order():
    images = np.random.default_rng(0).integers(0, 256, (250, 6, 4, 1)).astype(np.uint8)
    extractor = Extractor("rows", lambda image: np.asarray(image, np.float32).mean((2, 3)))
    features = features_of(extractor, batches_of(images, 70))
    np.testing.assert_allclose(features, images.astype(np.float32).mean((2, 3)), rtol=1e-6)


def test_pixels_are_in_the_models_range():
    images = np.random.default_rng(2).integers(0, 256, (60, 3, 4, 1)).astype(np.uint8)
    features = pixel_extractor().features
    np.testing.assert_allclose(features(images), images.reshape(60, 12) / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(features(normalise(images)), features(images), atol=1e-6)


def test_a_random_network_is_the_same_each_time_and_named_by_its_weights():
    images = np.random.default_rng(3).integers(0, 256, (5, 12, 9, 3)).astype(np.uint8)
    one, same, other = random_extractor(3), random_extractor(3), random_extractor(3, seed=1)
    assert one.name == same.name != other.name
    np.testing.assert_array_equal(one.features(images), same.features(images))
    assert one.features(images).shape == (5, 256) and not np.allclose(one.features(images), other.features(images))


@pytest.mark.parametrize("kind", ["pixels", "random"])
def test_figures_tell_good_samples_from_bad(kind):
    train, test = load("digits", "train", image_size=8), load("digits", "test", image_size=8)
    extractor = pixel_extractor() if kind == "pixels" else random_extractor(1)
    real = features_of(extractor, [train.arrays["image"][:600]])
    noise = jax.random.uniform(jax.random.key(0), test.arrays["image"].shape, minval=-1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FID of")  # fewer samples than features
        good = sample_figures(extractor, real, features_of(extractor, [test.arrays["image"]]))
        bad = sample_figures(extractor, real, features_of(extractor, [noise]))
    assert set(good) == {
        "fid",
        "kid",
        "kid_standard_error",
        "precision",
        "recall",
        "density",
        "coverage",
        "real_samples",
        "fake_samples",
    }
    assert good["real_samples"] == len(real) and good["fake_samples"] == len(test)
    for name in ("fid", "kid"):
        assert good[name] < bad[name] / 3
    for name in ("precision", "recall", "density", "coverage"):
        assert good[name] > bad[name]
    assert all(isinstance(value, float) for value in good.values())


def test_an_extractor_with_logits_gives_an_inception_score():
    """Features that are the logits of ten sure and equally frequent classes: the score is the number of classes."""
    logits = 50 * np.eye(10)[np.arange(400) % 10]
    figures = sample_figures(Extractor("logits", lambda image: image, lambda features: features), logits, logits)
    np.testing.assert_allclose(figures["inception_score"], 10, rtol=1e-6)


def test_an_extractor_without_logits_gives_no_inception_score():
    x = np.random.default_rng(0).normal(size=(40, 3))
    figures = sample_figures(Extractor("points", lambda image: image), x, x + 1)
    assert "inception_score" not in figures
    np.testing.assert_allclose(figures["fid"], fid(x, x + 1))
