import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.data import Dataset, load
from jaxgen.metrics import accuracy, train_classifier
from jaxgen.metrics.classifier import Classifier
from jaxgen.training import fit


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


def test_learns_the_digits_and_is_kept_by_the_content_of_the_data():
    train, test = load("digits", "train"), load("digits", "test")
    calls = []

    def counted(*args, **kwargs):
        calls.append(kwargs)
        return fit(*args, **kwargs)

    classify = train_classifier(train, counted, steps=300)
    assert accuracy(classify, test) > 0.95
    again = train_classifier(load("digits", "train"), counted, steps=300)
    image = jnp.asarray(test.arrays["image"][:50])
    np.testing.assert_array_equal(classify(image), again(image))
    assert len(calls) == 1
    inverted = Dataset({**train.arrays, "image": 255 - train.arrays["image"]}, train.label_names)
    train_classifier(inverted, counted, steps=2)
    train_classifier(train, counted, steps=2)
    assert len(calls) == 3


def test_unlabelled_data_are_refused():
    with pytest.raises(ValueError, match="needs labels"):
        train_classifier(Dataset({"image": np.zeros((8, 8, 8, 1), np.uint8)}), fit)
