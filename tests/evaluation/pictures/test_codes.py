import jax
import numpy as np
import optax
from PIL import Image

from jaxgen.evaluation.pictures import draw_codes
from jaxgen.models import InfoGAN
from jaxgen.networks import InfoGANDiscriminator, InfoGANGenerator


def test_a_row_of_a_walk_is_one_category_and_one_noise(tmp_path):
    """The picture of a continuous code is what `generate` makes of latents that are laid out by hand."""
    networks = InfoGANGenerator((8, 8, 1), 4), InfoGANDiscriminator((3,), 2, 4)
    model = InfoGAN(*networks, optax.adam(1e-3), optax.adam(1e-3), latent=5, categorical=(3,), continuous=2)
    state = jax.jit(model.init)(jax.random.key(0), {"image": np.zeros((4, 8, 8, 1), np.uint8)})
    draw_codes(model, state, tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"categories", "continuous_0", "continuous_1"}
    noise = jax.random.uniform(jax.random.key(2), (10, 5), minval=-1.0)[0]
    latent = np.zeros((30, 10), np.float32)
    latent[:, :5], latent[np.arange(30), 5 + np.arange(30) // 10] = noise, 1
    latent[:, 9] = np.tile(np.linspace(-2, 2, 10), 3)
    made = np.asarray(jax.jit(model.generate)(state, latent))
    page = np.asarray(Image.open(tmp_path / "continuous_1.png"))[2:, 2:].reshape(3, 34, 10, 34)[:, :32, :, :32]
    shown = page.swapaxes(1, 2).reshape(30, 8, 4, 8, 4)[:, :, 0, :, 0]
    np.testing.assert_allclose(shown, (made[..., 0] + 1) * 127.5, atol=1)
