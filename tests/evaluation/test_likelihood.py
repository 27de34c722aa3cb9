import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import Dataset
from jaxgen.evaluation import bits_evaluator, likelihood, likelihood_evaluator


def data(n):
    image = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    return Dataset({"image": image, "label": np.arange(n, dtype=np.int32) % 2}, ("even", "odd"))


def value(state, key, batch):
    """The pixel's value, times the state, and noise that does not average out."""
    return state * batch["image"].mean((1, 2, 3)) + jax.random.uniform(key)


def test_means_are_over_all_examples_in_batches_with_keys_of_their_own(monkeypatch):
    monkeypatch.setattr(likelihood, "BATCH", 4)
    noise = [float(jax.random.uniform(key)) for key in jax.random.split(jax.random.key(0), 3)]
    expected = (2 * np.arange(10).sum() + 4 * noise[0] + 4 * noise[1] + 2 * noise[2]) / 10
    found = likelihood_evaluator(value, data(10))(jnp.float32(2))
    assert found.figures == {"test_bits_per_dim": pytest.approx(expected, rel=1e-6)}
    assert found.counts == {"test_examples": 10}


def test_accuracy_of_a_classifier():
    def parity(state, image):
        return jax.nn.one_hot(image[:, 0, 0, 0] // state % 2, 2)

    evaluate = likelihood_evaluator(value, data(8), parity)
    assert evaluate(jnp.uint8(1)).figures["test_accuracy"] == 1
    assert evaluate(jnp.uint8(2)).figures["test_accuracy"] == 0.5


def test_a_costly_bound_is_taken_of_the_first_examples(monkeypatch):
    monkeypatch.setattr(likelihood, "PARTS_OF", 3)
    noise = [float(jax.random.uniform(jax.random.key(i))) for i in range(2)]  # for 0, 1, 2 and for 3, 4, 5
    found = bits_evaluator(value, data(10), count=6)(jnp.float32(1))
    assert found.figures["bits_per_dim"] == pytest.approx(2.5 + np.mean(noise), rel=1e-6)
    assert found.counts == {"test_examples": 6}
    assert bits_evaluator(value, data(4))(jnp.float32(1)).counts == {"test_examples": 4}
