import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import Dataset, load
from jaxgen.metrics import (
    Extractor,
    classifier_extractor,
    features_of,
    fid,
    real_features,
    sample_figures,
    train_classifier,
)
from jaxgen.training import fit


class Rows:
    """Features: the mean of each row; counts the images it sees."""

    def __init__(self):
        self.seen = 0

    def __call__(self, image):
        self.seen += len(image)
        return np.asarray(image, np.float32).mean((2, 3))


def data(n=250, seed=0):
    return Dataset({"image": np.random.default_rng(seed).integers(0, 256, (n, 6, 4, 1)).astype(np.uint8)})


def test_features_of_data_and_of_batches_are_in_order():
    images, extractor = data().arrays["image"], Extractor("rows", Rows())
    batches = (images[i : i + 70] for i in range(0, 250, 70))
    for features in (features_of(extractor, data()), features_of(extractor, batches)):
        np.testing.assert_allclose(features, images.astype(np.float32).mean((2, 3)), rtol=1e-6)


def test_real_features_are_kept_by_content_extractor_and_number():
    rows = Rows()
    extractor, seen = Extractor("rows", rows), []
    for name, source, n in [
        ("rows", data(), 120),
        ("rows", data(), 120),  # kept
        ("rows", data(), 1000),  # all there are
        ("rows", data(seed=1), 120),  # other images
        ("other rows", data(), 120),
        ("rows", Dataset({**data().arrays, "label": np.zeros(250, np.int32)}), 120),  # the same images
    ]:
        extractor = Extractor(name, rows)
        features = real_features(extractor, source, n)
        assert features.shape == (min(n, 250), 6)
        seen.append(rows.seen)
    assert np.diff([0, *seen]).tolist() == [120, 0, 250, 120, 120, 0]
    rows_of_all = features_of(extractor, data())
    chosen = [np.flatnonzero((rows_of_all == row).all(1)) for row in real_features(extractor, data(), 120)]
    assert len(np.unique(np.concatenate(chosen))) == 120 and np.concatenate(chosen).max() > 200  # random, not the first
    with pytest.raises(ValueError, match="features of 0 examples"):
        real_features(extractor, data(), 0)


def guess(seed):
    """In the place of `fit`, for what does not depend on learning: random parameters."""

    def fit(model, train, **_):
        random, shapes = np.random.default_rng(seed), jax.eval_shape(model.init, jax.random.key(0), train.spec(1))
        params = jax.tree.map(lambda leaf: random.normal(0, 0.1, leaf.shape).astype(np.float32), shapes.params)
        return shapes.replace(params=params)

    return fit


def test_the_classifier_is_the_one_of_train_classifier():
    """Trained once for both; the logits of its features are its logits."""

    def never(*_, **__):
        raise AssertionError("it is kept already")

    train = load("digits", "train")
    extractor = classifier_extractor(train, guess(0), steps=7)
    classify = train_classifier(train, never, steps=7)
    image = jnp.asarray(train.arrays["image"][:50])
    features = extractor.features(image)
    assert features.shape == (50, 256) and (features >= 0).all()
    np.testing.assert_allclose(extractor.logits(features), classify(image), rtol=1e-4, atol=1e-5)


def test_the_name_tells_the_data_and_the_weights():
    train = load("digits", "train")
    name = classifier_extractor(train, guess(1), steps=8).name
    assert name == classifier_extractor(train, guess(1), steps=9).name  # other settings, the same weights
    assert name != classifier_extractor(train, guess(2), steps=10).name
    assert name.startswith("classifier of digits ")


def test_figures_tell_good_samples_from_bad():
    train, test = load("digits", "train"), load("digits", "test")
    extractor = classifier_extractor(train, fit, steps=60)
    real = real_features(extractor, test, 300)
    with pytest.warns(UserWarning, match="singular"):  # no more samples than the classifier has features
        good = sample_figures(extractor, real, real_features(extractor, train, 250))
        noise = jax.random.uniform(jax.random.key(0), (250, *train.example["image"].shape), minval=-1)
        bad = sample_figures(extractor, real, features_of(extractor, [noise]))
    assert set(good) == {
        "fid",
        "kid",
        "kid_standard_error",
        "inception_score",
        "precision",
        "recall",
        "density",
        "coverage",
        "real_samples",
        "fake_samples",
    }
    assert good["real_samples"] == len(real) and good["fake_samples"] == 250
    for name in ("fid", "kid"):
        assert good[name] < bad[name] / 3
    for name in ("inception_score", "precision", "recall", "density", "coverage"):
        assert good[name] > bad[name]
    assert abs(good["kid"]) < 5 * good["kid_standard_error"] and bad["kid"] > 5 * bad["kid_standard_error"]
    assert all(isinstance(value, float) for value in good.values())


def test_an_extractor_without_logits_gives_no_inception_score():
    x = np.random.default_rng(0).normal(size=(40, 3))
    figures = sample_figures(Extractor("points", lambda image: image), x, x + 1)
    assert "inception_score" not in figures
    np.testing.assert_allclose(figures["fid"], fid(x, x + 1))
