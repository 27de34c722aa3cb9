import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset
from jaxgen.evaluation.pictures import draw_neighbours, draw_points, draw_walks


@pytest.mark.parametrize("classes", [0, 3])
def test_walks_are_on_the_sphere_one_class_a_row(tmp_path, classes):
    seen = []

    def generate(state, latent, label):
        jax.debug.callback(lambda z, y: seen.append((np.asarray(z), y)), latent, label)
        return jnp.zeros((len(latent), 8, 8, 1)) + latent.mean((1, 2))[:, None, None, None]

    draw_walks(generate, None, (4, 5), tmp_path, key=jax.random.key(1), classes=classes, columns=6)
    [(latent, label)] = seen
    rows = classes or 8
    path = latent.reshape(rows, 6, 20)
    np.testing.assert_allclose(
        path[:, [0, -1]].swapaxes(0, 1).ravel(),
        jax.random.normal(jax.random.key(1), (2, rows, 1, 20)).ravel(),
        atol=1e-5,
    )
    np.testing.assert_allclose(np.diff(np.linalg.norm(path, axis=-1), 2, axis=1), 0, atol=1e-4)
    assert (label is None) == (not classes) and (label is None or label.tolist() == np.repeat(range(3), 6).tolist())
    assert np.asarray(Image.open(tmp_path / "interpolations.png")).shape == (rows * 34 + 2, 6 * 34 + 2)


def test_neighbours_stand_right_of_the_samples(tmp_path):
    """Copies of training images: both of each pair are the same."""
    image = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1)).astype(np.uint8)
    train = Dataset({"image": image})

    def sample(state, key, n):
        chosen = jax.random.randint(key, (n,), 0, 40)
        return jnp.asarray(image)[chosen] / 127.5 - 1

    draw_neighbours(sample, None, train, tmp_path)
    page = np.asarray(Image.open(tmp_path / "neighbours.png"))[2:, 2:].reshape(8, 34, 8, 34).swapaxes(1, 2)
    np.testing.assert_array_equal(page[:, ::2], page[:, 1::2])


def test_points_are_drawn_in_two_colours(tmp_path):
    def sample(state, key, n):
        return jax.random.normal(key, (n, 2))

    draw_points(sample, None, np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32), tmp_path)
    pixels = np.asarray(Image.open(tmp_path / "points.png").convert("RGB")).reshape(-1, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):
        assert (pixels == colour).all(-1).any()
