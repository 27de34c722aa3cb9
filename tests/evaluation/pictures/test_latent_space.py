"""What the pictures of a latent space are made of."""

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from jaxgen.data import Dataset
from jaxgen.evaluation import latent_space
from jaxgen.evaluation.latent_space import Codes, Factor
from jaxgen.evaluation.pictures import latent_space as pictures
from jaxgen.models import VAE
from jaxgen.networks import MLPDecoder, MLPEncoder


class Decoder:
    """Remembers what it is asked for; its images are grey."""

    def __call__(self, z, label):
        self.z, self.label = z, label
        return np.zeros((*z.shape[:-1], 8, 8, 1), np.float32)


def data(n, channels=1, classes=3):
    rng = np.random.default_rng(0)
    label = rng.integers(classes, size=n).astype(np.int32) if classes else None
    image = rng.integers(0, 256, (n, 8, 8, channels)).astype(np.uint8)
    arrays = {"image": image} | ({"label": label} if classes else {})
    return Dataset(arrays, tuple("abcdefghij"[:classes]))


IMAGES = np.random.default_rng(2).uniform(-1, 1, (8, 8, 8, 1)).astype(np.float32)


def codes(mean, **about):
    mean = np.asarray(mean, np.float32)
    return Codes(mean, np.ones_like(mean), about)


def test_arithmetic_moves_a_code_by_the_difference_of_the_means(tmp_path):
    rng = np.random.default_rng(1)
    label = np.tile(np.array([0, 2], np.int32), 10)  # no example of the class 1
    mean = rng.normal(size=(20, 4)).astype(np.float32)
    means = {c: mean[label == c].mean(0) for c in (0, 2)}
    decode = Decoder()
    factor = Factor("class", ("a", "b", "c"), label)
    pictures.draw_arithmetic(decode, IMAGES, codes(mean, label=label), [factor], tmp_path)
    assert decode.z.shape == (8, 3, 4)
    np.testing.assert_array_equal(decode.z[:, 0], mean[:8])
    for row in range(8):
        for column, target in ((1, 0), (2, 2)):
            moved = mean[row] - means[label[row]] + means[target]
            np.testing.assert_allclose(decode.z[row, column], moved, atol=1e-6)
    assert decode.label.tolist() == [[own, 0, 2] for own in label[:8]]
    picture = np.asarray(Image.open(tmp_path / "arithmetic.png"))
    assert picture.shape[1] > 4 * 48 and picture.std() > 1


def test_arithmetic_changes_one_factor_of_several(tmp_path):
    """Codes that are the factors' values end up with the new value of the one and the old one of the other."""
    factors = np.stack([np.arange(40) % 5, np.arange(40) // 5 % 2], axis=1)
    found = [
        Factor("size", np.linspace(0, 1, 5), factors[:, 0]),
        Factor("hue", np.array(["red", "blue"]), factors[:, 1]),
    ]
    decode = Decoder()
    pictures.draw_arithmetic(decode, IMAGES, codes(factors, label=factors[:, 1]), found, tmp_path)
    expected = [[(a, b), (0, b), (2, b), (4, b), (a, 0), (a, 1)] for a, b in factors[:8]]
    np.testing.assert_allclose(decode.z, expected, atol=1e-6)
    assert decode.label.tolist() == [[b, b, b, b, 0, 1] for _, b in factors[:8]]
    assert found[0].column(2) == "size\n0.5" and found[1].column(0) == "hue\nred"


def test_traversals_change_one_unit_and_the_animation_has_those_in_use(tmp_path):
    decode = Decoder()
    kl = np.array([0.001, 3.0, 0.5], np.float32)
    pictures.draw_traversals(decode, np.array([0.1, 0.2, 0.3], np.float32), 0, kl, np.array([1, 2, 0]), tmp_path)
    assert decode.z.shape == (3, 13, 3)
    for row, unit in enumerate((1, 2, 0)):
        others = [i for i in range(3) if i != unit]
        np.testing.assert_allclose(decode.z[row, :, unit], np.linspace(-3, 3, 13), atol=1e-6)
        np.testing.assert_allclose(decode.z[row][:, others], np.tile([0.1, 0.2, 0.3], (13, 1))[:, others], atol=1e-6)
    assert Image.open(tmp_path / "traversals.gif").width == 2 * 50 + 2


def test_interpolations_are_straight_and_on_the_sphere(tmp_path):
    decode = Decoder()
    mean = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)
    pictures.draw_interpolations(decode, mean, np.arange(32), tmp_path)
    straight, spherical = decode.z[::2], decode.z[1::2]
    assert decode.label[:, 0].tolist() == [0, 0, 4, 4, 8, 8, 12, 12]
    for path in (straight, spherical):
        np.testing.assert_allclose(path[:, [0, -1]], np.stack([mean[:16:4], mean[16::4]], axis=1), atol=1e-5)
    np.testing.assert_allclose(np.diff(straight, 2, axis=1), 0, atol=1e-5)
    norms = np.linalg.norm(spherical, axis=-1)
    np.testing.assert_allclose(np.diff(norms, 2, axis=1), 0, atol=1e-5)


@pytest.mark.parametrize(("units", "channels", "conditional", "n"), [(1, 3, True, 40), (2, 1, False, 12)])
def test_any_labelled_data_and_model_have_their_pictures(monkeypatch, tmp_path, units, channels, conditional, n):
    """One unit, labels given, RGB; fewer examples than bins. Of many examples a part is looked at."""
    monkeypatch.setattr(latent_space, "BATCH", 8)
    for limit, value in {"SHOWN": 6, "SAMPLED": 24}.items():
        monkeypatch.setattr(pictures, limit, value)
    looked = []

    class Watched(Dataset):
        def batch(self, indices):
            looked.extend(indices.tolist())
            return super().batch(indices)

    made = data(n, channels)
    examples = Watched(made.arrays, made.label_names)
    classes = 3 if conditional else 0
    networks = MLPEncoder(units, (8,), classes=classes), MLPDecoder((8, 8, channels), (8,), classes=classes)
    model = VAE(*networks, optax.adam(1e-3), classes=classes)
    state = jax.jit(model.init)(jax.random.key(0), examples.spec(4))
    pictures.draw_latent_space(model, state, examples, examples, tmp_path)
    expected = {"kl_per_unit", "latent_scatter", "reconstructions", "interpolations", "traversals", "arithmetic"}
    expected |= {"manifold"} if units == 2 else set()
    expected |= {"mutual_information"} if n >= 20 else set()
    assert {path.stem for path in tmp_path.glob("*.png")} == expected
    assert [path.stem for path in tmp_path.glob("*.gif")] == ["traversals"]
    assert len(set(looked)) <= 30
