import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgen.evaluation.pictures import draw_temperatures


def test_a_row_for_each_temperature_of_the_same_latents(tmp_path):
    """An image is as bright as its latent, times the temperature."""

    def sample(state, temperature):
        latent = jax.random.uniform(jax.random.key(0), (3, 1, 1, 1), minval=-1)
        return jnp.broadcast_to(temperature * latent, (3, 48, 48, 1))

    draw_temperatures(sample, None, tmp_path, (0.0, 0.5, 1.0))
    page = np.asarray(Image.open(tmp_path / "temperatures.png"))
    cells = page[2:, page.shape[1] - 3 * 50 :].reshape(3, 50, 3, 50)[:, 9, :, 9].astype(int)
    assert (abs(cells[0] - 127.5) < 1).all() and len(set(cells[2])) == 3
    np.testing.assert_allclose(cells[1] - 127.5, (cells[2] - 127.5) / 2, atol=1)
