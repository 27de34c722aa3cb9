import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgen.evaluation.pictures import draw_inpainting, draw_trajectory


def read(path):
    return np.asarray(Image.open(path))


def test_a_row_of_the_trajectory_is_one_image(tmp_path):
    frames = (jnp.arange(3)[:, None] * 0.5 - 1 + jnp.arange(2) * 0.25)[..., None, None, None] * jnp.ones((32, 32, 1))
    draw_trajectory(frames, tmp_path)
    page = read(tmp_path / "trajectory.png")[2:, 2:].reshape(2, 34, 3, 34)[:, 0, :, 0]
    np.testing.assert_array_equal(page, [[0, 64, 128], [32, 96, 159]])
    draw_trajectory(jax.random.normal(jax.random.key(0), (3, 50, 2)), tmp_path)
    assert read(tmp_path / "trajectory.png").shape == (320, 3 * 320, 3)


def test_completions_keep_the_left_half_and_differ(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.uint8)
    asked = []

    def inpaint(state, key, image, mask, label):
        asked.append((image.shape, mask.shape, label))
        return jnp.where(mask > 0, image / 127.5 - 1, jax.random.uniform(key, image.shape, minval=-1))

    draw_inpainting(inpaint, None, image, None, tmp_path, draws=2)
    assert asked == [((4, 32, 32, 1), (32, 1), None)]
    page = read(tmp_path / "inpainting.png")
    page = page[len(page) - 4 * 34 :, 2:].reshape(4, 34, 4, -1)  # without the names, which make the columns wider
    inset = (page.shape[-1] - 34) // 2
    cells = page[:, :32, :, inset : inset + 32].swapaxes(1, 2)
    np.testing.assert_array_equal(cells[:, 0], image[..., 0])
    assert all((cells[:, i, :, :16] == image[..., :16, 0]).all() for i in range(4))
    assert (cells[:, 1, :, 16:] == 127).all() and (cells[:, 2, :, 16:] != cells[:, 3, :, 16:]).any()
