import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgen.evaluation.pictures import draw_single_image


def test_samples_are_also_of_twice_the_width_or_height(tmp_path):
    image, asked = jnp.zeros((1, 40, 60, 3)), []

    def sample(state, key, n, size):
        asked.append((n, size))
        return jnp.ones((n, *(size or (40, 60)), 3)) * state

    draw_single_image(sample, lambda state: image + state, image, jnp.float32(1), tmp_path)
    assert asked == [(6, None), (2, (40, 120)), (2, (80, 60))]
    shapes = {path.stem: np.asarray(Image.open(path)).shape[:2] for path in tmp_path.glob("*.png")}
    assert shapes["wide"] == (2 * 42 + 2, 122 + 2) and shapes["tall"] == (82 + 2, 2 * 62 + 2)
    assert "image" in shapes
