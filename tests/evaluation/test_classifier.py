import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.data import Dataset, load
from jaxgen.evaluation import accuracy, classifier, classifier_extractor, train_classifier
from jaxgen.evaluation.cache import cache_path
from jaxgen.evaluation.classifier import Classifier
from jaxgen.training import Interrupted, fit


class Brightest(nn.Module):
    """Logits: each row's brightness. One parameter, so that there is something to train."""

    @nn.compact
    def __call__(self, image):
        return image.mean((2, 3)) * self.param("scale", nn.initializers.ones, ())


def rows(n=12):
    """Image i is white in row i % 4, which is its label."""
    label = np.arange(n, dtype=np.int32) % 4
    image = np.zeros((n, 4, 4, 1), np.uint8)
    image[np.arange(n), label] = 255
    return Dataset({"image": image, "label": label}, tuple("abcd"))


def test_accuracy_is_the_share_of_right_answers():
    data = rows(12)

    def classify(image):
        return jnp.asarray(image, jnp.float32).mean((2, 3))

    assert accuracy(classify, data) == 1.0
    wrong = Dataset({"image": data.arrays["image"], "label": np.zeros(12, np.int32)}, data.label_names)
    assert accuracy(classify, wrong) == 0.25


def test_step_descends_the_cross_entropy_of_the_moved_images():
    """With no shift the loss is the cross-entropy by hand, and Adam raises the scale that sharpens right answers."""
    model, data = Classifier(Brightest(), optax.adam(0.1), shift=0), rows(8)
    state = model.init(jax.random.key(0), data.spec(8))
    new, metrics = jax.jit(model.step)(state, data.batch(np.arange(8)))
    right = np.exp(1) / (np.exp(1) + 3 * np.exp(-1))  # the white row has mean 1, the others -1
    np.testing.assert_allclose(metrics["loss"], -np.log(right), rtol=1e-6)
    assert metrics["accuracy"] == 1 and new.params["params"]["scale"] > state.params["params"]["scale"]
    logits = model.classify(new, jnp.asarray(data.arrays["image"]))
    assert (logits.argmax(-1) == data.arrays["label"]).all()


def test_shifts_move_by_whole_pixels_and_no_further():
    """Moved by at most one row, image i lights row i - 1, i or i + 1, so the accuracy is neither 1 nor 0."""
    model, data = Classifier(Brightest(), optax.sgd(0.0), shift=1), rows(12)
    state = model.init(jax.random.key(0), data.spec(12))
    found = []
    for _ in range(30):
        state, metrics = jax.jit(model.step)(state, data.batch(np.arange(12)))
        found.append(float(metrics["accuracy"]))
    assert 0.2 < np.mean(found) < 0.47  # one of three rows


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """A cache of its own; the folder of its classifiers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_path("classifiers", "")


@pytest.fixture
def calls(monkeypatch):
    """The settings of each training."""
    made = []

    def counted(*args, **kwargs):
        made.append(kwargs)
        return fit(*args, **kwargs)

    monkeypatch.setattr(classifier, "fit", counted)
    return made


def guess(seed):
    """In the place of `fit`, for what does not depend on learning: random parameters."""

    def fit(model, train, **_):
        random, shapes = np.random.default_rng(seed), jax.eval_shape(model.init, jax.random.key(0), train.spec(1))
        params = jax.tree.map(lambda leaf: random.normal(0, 0.1, leaf.shape).astype(np.float32), shapes.params)
        return shapes.replace(params=params)

    return fit


def test_learns_the_digits_and_is_kept_by_the_content_of_the_data(calls, kept, capsys):
    train, test = load("digits", "train"), load("digits", "test")
    classify = train_classifier(train, steps=300)
    assert accuracy(classify, test) > 0.95
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("training a classifier")]
    assert f"{len(train)} images" in said and "300 steps" in said and str(kept) in said
    again = train_classifier(load("digits", "train"), steps=300)
    image = jnp.asarray(test.arrays["image"][:50])
    np.testing.assert_array_equal(classify(image), again(image))
    assert len(calls) == 1 and "classifier" not in capsys.readouterr().err
    inverted = Dataset({**train.arrays, "image": 255 - train.arrays["image"]}, train.label_names)
    train_classifier(inverted, steps=2)
    train_classifier(train, steps=2)
    assert len(calls) == 3
    assert sorted(path.suffix for path in kept.iterdir()) == [".msgpack"] * 3  # nothing of the trainings is left


def test_an_interrupted_training_goes_on_and_ends_the_same(monkeypatch, kept, capsys):
    """The first call is stopped after six of ten steps; the second takes the last four."""
    monkeypatch.setattr(classifier, "CHECKPOINT_EVERY", 3)
    train = load("digits", "train")
    image, taken = jnp.asarray(train.arrays["image"][:5]), []

    def stopped(model, data, *, steps, **options):
        fit(model, data, **options, steps=6)
        raise Interrupted(2, 6)

    def counted(model, data, *, run, **options):
        taken.append(max(int(path.name) for path in (run / "checkpoints").iterdir()))
        return fit(model, data, run=run, **options)

    monkeypatch.setattr(classifier, "fit", stopped)
    with pytest.raises(Interrupted):
        train_classifier(train, steps=10)
    monkeypatch.setattr(classifier, "fit", counted)
    resumed = train_classifier(train, steps=10)(image)
    assert taken == [6] and "going on with a classifier" in capsys.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept / "fresh"))
    monkeypatch.setattr(classifier, "fit", fit)
    np.testing.assert_array_equal(train_classifier(train, steps=10)(image), resumed)


def test_two_that_train_the_same_classifier_do_not_share_a_folder(monkeypatch, kept):
    train, folders = rows(8), []

    def fit(model, data, *, run, **options):
        folders.append(run)
        if len(folders) == 1:
            train_classifier(data, steps=3)  # as another process would, meanwhile
        return guess(0)(model, data)

    monkeypatch.setattr(classifier, "fit", fit)
    train_classifier(train, steps=3)
    assert folders[0] is not None and folders[1] is None


def test_the_extractor_is_the_classifier(monkeypatch, kept):
    """Trained once for both; the logits of its features are its logits."""

    def never(*_, **__):
        raise AssertionError("it is kept already")

    train = load("digits", "train")
    monkeypatch.setattr(classifier, "fit", guess(0))
    extractor = classifier_extractor(train, steps=7)
    monkeypatch.setattr(classifier, "fit", never)
    classify = train_classifier(train, steps=7)
    image = jnp.asarray(train.arrays["image"][:50])
    features = extractor.features(image)
    assert features.shape == (50, 256) and (features >= 0).all()
    np.testing.assert_allclose(extractor.logits(features), classify(image), rtol=1e-4, atol=1e-5)


def test_the_name_tells_the_data_and_the_weights(monkeypatch, kept):
    train, names = load("digits", "train"), []
    for seed, steps in ((1, 8), (1, 9), (2, 10)):
        monkeypatch.setattr(classifier, "fit", guess(seed))
        names.append(classifier_extractor(train, steps=steps).name)
    assert names[0] == names[1] != names[2]  # other settings that give the same weights; other weights
    assert names[0].startswith("classifier of digits ")


def test_unlabelled_data_are_refused():
    with pytest.raises(ValueError, match="needs labels"):
        train_classifier(Dataset({"image": np.zeros((8, 8, 8, 1), np.uint8)}))
