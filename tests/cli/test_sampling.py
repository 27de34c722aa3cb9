from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.cli import ByLabel, Config, Sampling
from jaxgen.cli.sampling import drawn


@dataclass(frozen=True)
class Model:
    """Samples that tell what they were drawn with."""

    classes: int = 0

    def sample(self, state, key, n, label=None, *, scale=1.0):
        label = jnp.zeros(n) if label is None else label
        return state + scale * label[:, None] + 0 * jax.random.normal(key, (n, 1))


@dataclass(frozen=True)
class Scaled(ByLabel):
    scale: float = 2.0

    def options(self):
        return {"scale": self.scale}


@dataclass(frozen=True)
class ScaledConfig(Config):
    scale: float = 3.0


def draw(sampling, model, n):
    return sampling.draw(model, jnp.float32(10), jax.random.key(0), n, lambda: None)


def test_a_row_for_each_label():
    made = draw(Scaled(labels=(2, 1)), Model(classes=3), 4)
    assert made.columns == 2
    np.testing.assert_array_equal(made.images[:, 0], [14, 14, 12, 12])
    made = draw(ByLabel(), Model(classes=3), 8)  # as many whole rows as eight make
    np.testing.assert_array_equal(made.images[:, 0], [10, 10, 11, 11, 12, 12])


def test_without_labels_the_grid_is_square():
    for sampling in (Sampling(), ByLabel()):
        made = draw(sampling, Model(), 10)
        assert len(made.images) == 10 and made.columns == 4


@pytest.mark.parametrize(
    ("labels", "classes", "n", "message"),
    [
        ((1,), 0, 4, "unconditional"),
        ((3,), 3, 4, "labels are 0 to 2"),
        ((1, 1), 3, 4, "named once"),
        ((1, 2), 3, 5, "multiple of the 2 labels"),
    ],
)
def test_labels_that_do_not_fit(labels, classes, n, message):
    with pytest.raises(ValueError, match=message):
        draw(ByLabel(labels=labels), Model(classes), n)


def test_defaults_are_those_of_the_run():
    assert Scaled.of(ScaledConfig()) == Scaled(scale=3.0) and Scaled.of(Config()) == Scaled()


def test_one_compilation_serves_all_keys(monkeypatch):
    traced = []
    monkeypatch.setattr(Model, "sample", lambda self, state, key, n, **_: traced.append(n) or jnp.zeros((n, 1)))
    for seed in (0, 1):
        drawn(Model(7), jnp.float32(0), jax.random.key(seed), 3)
    drawn(Model(7), jnp.float32(0), jax.random.key(0), 4)
    assert traced == [3, 4]
