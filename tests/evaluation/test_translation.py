"""Figures of translations whose values are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import Attribute, Dataset
from jaxgen.evaluation import (
    attribute_evaluator,
    attribute_readers,
    paired_evaluator,
    translation,
    two_domains_evaluator,
)
from jaxgen.evaluation.translation import AttributeReader, examples, right_counterpart, similarity


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 12, 12, 1)).astype(np.uint8)


def as_float(image):
    return jnp.asarray(image, jnp.float32) / 127.5 - 1


def test_examples_are_the_first_in_order(monkeypatch):
    monkeypatch.setattr(translation, "BATCH", 4)
    data = Dataset({"image": images(15)})
    batches = list(examples(data, 10))
    assert [len(batch["image"]) for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([batch["image"] for batch in batches]), data.arrays["image"][:10])


def test_similarity_in_closed_form():
    wanted = np.zeros((2, 12, 12, 3), np.float32)
    found = similarity(np.full((2, 12, 12, 1), 0.2, np.float32), wanted)  # grey for its colours
    assert found["l1"] == pytest.approx(0.1) and found["psnr"] == pytest.approx(20, rel=1e-4) and "ssim" in found
    assert "ssim" not in similarity(wanted[:, :8, :8], wanted[:, :8, :8])


def test_the_right_counterpart_is_the_nearest():
    real = as_float(images(6))
    assert right_counterpart(np.asarray(real) + 0.01, np.asarray(real)) == 1
    assert right_counterpart(np.asarray(real)[[1, 0, 2, 3, 4, 5]], np.asarray(real)) == pytest.approx(4 / 6)


def test_pairs_with_their_baselines():
    """The target is the inverted source; the nearest training source is the same image with another target."""
    source = images(6)
    test = Dataset({"source": source, "target": 255 - source})
    train = Dataset({"source": source[::-1], "target": source[::-1]})
    found = paired_evaluator(lambda state, key, image: state * -as_float(image), train, test)(jnp.float32(1))
    assert found.figures["l1"] == pytest.approx(0, abs=1e-6) and found.counts == {"test_examples": 6}
    distance = np.abs(255 - 2 * source.astype(float)).mean() / 255
    assert found.figures["l1_of_source"] == pytest.approx(distance, rel=1e-5)
    assert found.figures["l1_of_nearest"] == pytest.approx(distance, rel=1e-5)


@pytest.mark.parametrize("paired", [True, False])
def test_two_domains(paired):
    a = images(6)
    test = Dataset({"a": a, "b": 255 - a})

    def translate(state, image, to):
        return -as_float(image) if to == "b" else as_float(image) * 0

    def cycle(state, image, through):
        return as_float(image) + 0.2

    figures = two_domains_evaluator(translate, cycle, test, paired=paired)(0).figures
    assert figures["cycle_l1_a"] == figures["cycle_l1_b"] == pytest.approx(0.1, rel=1e-4)
    assert paired == ("right_b" in figures)
    if paired:
        assert figures["right_b"] == 1 and figures["l1_b"] == pytest.approx(0, abs=1e-6)
        assert figures["right_a"] < 1 and figures["l1_a"] > 0.1
        assert figures["l1_of_a_to_b"] == pytest.approx(np.abs(255 - 2 * a.astype(float)).mean() / 255, rel=1e-5)


ATTRIBUTES = (Attribute("colour", ("dark", "light")), Attribute("tall", set=1))


def labelled(n=24):
    """Half the images are light, half have a white top row; each set knows one of both."""
    light, tall = np.arange(n) % 2, np.arange(n) // 2 % 2
    image = np.where(light, 160, 40)[:, None, None, None] * np.ones((1, 8, 8, 1))
    image[tall == 1, 0] = 255
    attributes = np.stack([1 - light, light, tall], axis=1).astype(np.int32)
    which = (np.arange(n) >= n // 2).astype(np.int32)
    arrays = {"image": image.astype(np.uint8), "attributes": attributes, "set": which}
    return Dataset(arrays, attributes=ATTRIBUTES)


def light(image):
    return (np.asarray(image, float)[:, -1].mean((1, 2)) > (100 if image.dtype == np.uint8 else -0.2)).astype(int)


def tall(image):
    return (np.asarray(image, float)[:, 0].mean((1, 2)) > (200 if image.dtype == np.uint8 else 0.6)).astype(int)


@pytest.mark.parametrize("several_sets", [True, False])
def test_what_was_asked_for_and_what_was_kept(several_sets):
    """A model that does as it is asked; one that makes every image light and short; and one that changes nothing."""
    data = labelled()
    readers = [AttributeReader(ATTRIBUTES[0], range(2), light), AttributeReader(ATTRIBUTES[1], range(2, 3), tall)]

    def made(is_light, is_tall):
        value = jnp.where(is_light, 160, 40)[:, None, None, None] * jnp.ones((1, 8, 8, 1))
        return as_float(value.at[:, 0].set(jnp.where(is_tall, 255, value[:, 0, 0, 0])[:, None, None]))

    def translate_to_all(state, image):
        is_light, is_tall = image[:, -1, 0, 0] > 100, image[:, 0, 0, 0] > 200
        right = [made(is_light * 0, is_tall), made(is_light * 0 + 1, is_tall), made(is_light, ~is_tall)]
        short = [made(is_light * 0 + 1, is_tall * 0)] * 3
        same = [as_float(image)] * 3
        return jnp.stack([jnp.stack(x, axis=1) for x in (right, short, same)])[state]

    evaluate = attribute_evaluator(translate_to_all, readers, data, several_sets=several_sets)
    right, short, same = (evaluate(jnp.int32(state)).figures for state in range(3))
    assert right["asked_accuracy"] == right["kept_accuracy"] == 1
    assert same["asked_accuracy"] == 0 and same["kept_accuracy"] == 1
    # asked: dark of 12, light of 12 and the other height of 24, of which 12 are short then; kept: 12, 12 and 12 of 24
    assert short["asked_accuracy"] == pytest.approx((0 + 12 + 12) / 48)
    assert short["kept_accuracy"] == pytest.approx(0.5)
    assert several_sets == ("transferred_accuracy" in right)


def test_readers_learn_from_the_images_that_have_the_attribute(monkeypatch):
    seen = []

    def train_classifier(data):
        seen.append((data.label_names, data.arrays["label"].tolist(), len(data)))
        return lambda image: jnp.eye(2)[jnp.zeros(len(image), int)]

    monkeypatch.setattr(translation, "train_classifier", train_classifier)
    data = labelled(8)
    readers = attribute_readers(data)
    assert [reader.columns for reader in readers] == [range(2), range(2, 3)]
    assert seen == [(("dark", "light"), [0, 1, 0, 1], 4), (("no", "yes"), [0, 0, 1, 1], 4)]
    assert readers[0].read(data.arrays["image"]).tolist() == [0] * 8
