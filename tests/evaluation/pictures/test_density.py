import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgen.data import toy_world
from jaxgen.evaluation import density
from jaxgen.evaluation.pictures import draw_density


def test_the_truth_beside_itself_looks_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(density, "SIDE", 100)
    world = toy_world("moons")
    found = {}
    for shift in (0.0, 3.0):
        draw_density(lambda state, x: world.log_prob(x) - state, world, jnp.float32(shift), tmp_path)
        page = np.asarray(Image.open(tmp_path / "density.png").convert("L"), float)
        truth, model = np.split(page[60:-40], 2, axis=1)
        found[shift] = truth[:, 40:-10].mean(), model[:, 40:-10].mean()
    assert abs(found[0.0][0] - found[0.0][1]) < 2 and found[3.0][1] < found[3.0][0] - 5
