"""Figures of samples whose values are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import Dataset
from jaxgen.evaluation import image_evaluator, nearest_training_images, sample_count, sampled, samples
from jaxgen.evaluation.samples import class_figures, mean_distance, shares
from jaxgen.metrics import Extractor


def shades(n=60, classes=3):
    """Images of one grey value each, which tells the class."""
    label = np.arange(n, dtype=np.int32) % classes
    value = 80 * label + np.random.default_rng(0).integers(0, 20, n)
    image = np.tile(value[:, None, None, None], (1, 6, 6, 1)).astype(np.uint8)
    return Dataset({"image": image, "label": label}, tuple("abc"[:classes]))


def brightness(name="brightness"):
    """Features: mean and deviation of the pixels; logits by the mean."""

    def features(image):
        x = np.asarray(image, np.float64)
        x = x / 127.5 - 1 if np.issubdtype(np.asarray(image).dtype, np.integer) else x
        flat = x.reshape(len(x), -1)
        return np.stack([flat.mean(1), flat.std(1)], axis=1)

    centres = (80 * np.arange(3) + 10) / 127.5 - 1
    return Extractor(name, features, lambda f: -99 * np.abs(f[:, :1] - centres))


def of_class(state, key, n, label):
    """The state is added to the label that is asked for."""
    value = (80 * ((label + state) % 3) + 10 + 9 * jax.random.uniform(key, (n,))) / 127.5 - 1
    return jnp.broadcast_to(value[:, None, None, None], (n, 6, 6, 1))


def test_samples_come_in_batches_from_the_same_latents_with_the_classes_in_turn(monkeypatch):
    monkeypatch.setattr(samples, "BATCH", 8)

    def sample(state, key, n, label=None):
        noise = jax.random.normal(key, (n, 1)) * state
        return noise if label is None else noise + 100 * label[:, None]

    first, again = (list(sampled(sample, jnp.float32(1), 20)) for _ in range(2))
    assert [len(part) for part in first] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert len(np.unique(np.concatenate(first))) == 20
    asked = np.concatenate(list(sampled(sample, jnp.float32(0), 16, classes=3)))[:, 0]
    np.testing.assert_array_equal(asked, 100 * np.tile(np.arange(8) % 3, 2))
    assert len(next(sampled(sample, jnp.float32(1), 5))) == 5


def test_a_function_is_compiled_once_for_all_states():
    traced = []

    def sample(state, key, n):
        traced.append(n)
        return jax.random.normal(key, (n, 2)) * state

    for state in (1.0, 2.0):
        for part in sampled(sample, jnp.float32(state), 1000):
            assert part.std() == pytest.approx(state, rel=0.2)
    assert traced == [500]


def test_few_real_images_need_few_samples():
    assert [sample_count(n) for n in (52, 1437, 60_000)] == [1000, 10_000, 10_000]
    assert sample_count(52, 700) == 700
    with pytest.raises(ValueError, match="0 samples"):
        sample_count(52, 0)


@pytest.mark.filterwarnings("ignore:FID of")
def test_figures_of_a_conditional_model_by_a_reader():
    data = shades()
    evaluate = image_evaluator(of_class, data, data, classes=3, samples=60, reader=brightness())
    right, wrong = evaluate(jnp.int32(0)), evaluate(jnp.int32(1))
    assert right.extractor == "brightness" and right.counts == {"real_samples": 60, "fake_samples": 60}
    assert right.figures["label_accuracy"] == 1 and wrong.figures["label_accuracy"] == 0
    for figures in (right.figures, wrong.figures):
        assert figures["classes_found"] == 3 and figures["class_entropy"] == pytest.approx(np.log(3))
        assert figures["share_0"] == pytest.approx(1 / 3) and figures["classifier_accuracy_on_test_images"] == 1
        assert figures["fid"] < 0.01 and figures["diversity"] == pytest.approx(1, abs=0.2)
        assert "ms_ssim" not in figures  # too small for its window

    def collapsed(state, key, n):
        return jnp.zeros((n, 6, 6, 1))

    found = image_evaluator(collapsed, data, data, samples=60, reader=brightness())(jnp.int32(0)).figures
    assert found["classes_found"] == 1 and found["diversity"] == 0 and found["fid"] > 0.1
    assert "label_accuracy" not in found


@pytest.mark.filterwarnings("ignore:FID of")
def test_unlabelled_images_need_an_extractor():
    data = Dataset({"image": shades().arrays["image"]})

    def noise(state, key, n):
        return jax.random.uniform(key, (n, 6, 6, 1), minval=-1)

    assert image_evaluator(noise, data, data)(0).figures == {}
    found = image_evaluator(noise, data, data, samples=40, extractor=brightness("mine"))(jnp.int32(0))
    assert found.extractor == "mine" and found.figures["fake_samples"] == 40 and "classes_found" not in found.figures


def test_a_class_counts_from_a_tenth_of_its_fair_share():
    found = class_figures(np.repeat([0, 1, 2], [97, 2, 1]), 5)  # a tenth of a fifth is 2 in 100
    assert found["classes_found"] == 1
    assert class_figures(np.repeat([0, 1], [97, 3]), 5)["classes_found"] == 2
    assert found["class_entropy"] == pytest.approx(-sum(p * np.log(p) for p in (0.97, 0.02, 0.01)))
    assert [found[f"share_{i}"] for i in range(5)] == [0.97, 0.02, 0.01, 0, 0]
    assert shares(np.ones(26) / 26) == {}


def test_mean_distance_is_that_of_each_to_the_next():
    points = np.array([[0, 0], [3, 4], [3, 4], [0, 0]])
    assert mean_distance(points) == (5 + 0 + 5 + 0) / 4


def test_nearest_training_images():
    data = shades()
    made = np.asarray(data.arrays["image"][[7, 30]] / 127.5 - 1, np.float32) + 0.001
    np.testing.assert_allclose(nearest_training_images(made, data), made, atol=0.0011)
