import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import Dataset
from jaxgen.evaluation import stacked, stacked_evaluator


def test_modes_of_three_digits_are_counted(monkeypatch):
    """A digit is a grey value, which the classifier reads; each channel shows one of the first `state` digits."""

    def train_classifier(digits):
        return lambda image: -jnp.abs(image.mean((1, 2, 3))[:, None] * 10 - jnp.arange(10))

    monkeypatch.setattr(stacked, "train_classifier", train_classifier)

    def sample(state, key, n):
        digits = jax.random.randint(key, (n, 1, 1, 3), 0, state)
        return jnp.broadcast_to(digits / 10, (n, 4, 4, 3))

    digits = Dataset({"image": np.zeros((1, 4, 4, 1), np.uint8)})
    found = stacked_evaluator(sample, digits, samples=5000)(jnp.int32(3))
    assert found.figures["modes_covered"] == 27 and found.counts == {"fake_samples": 5000}
    assert found.figures["reverse_kl"] == pytest.approx(np.log(1000 / 27), abs=0.01)
