"""Pictures of the codes of InfoGAN."""

from pathlib import Path

import jax
import jax.numpy as jnp

from jaxgen.models import InfoGAN
from jaxgen.report import image_grid, save_image
from jaxgen.types import State

__all__ = ["draw_codes"]

ROWS = 10


def draw_codes(model: InfoGAN, state: State, folder: Path) -> None:
    """Draws categories.png, the values of the first categorical code, one a column, with noise of its own in each row;
    and continuous_0.png and so on, walks along each continuous code from -2 to 2, one category a row (Chen et al. 2016,
    figure 2)."""
    columns, continuous = model.categorical[0], model.continuous
    codes = model.codes(jax.random.key(1), ROWS * columns)
    category = jnp.tile(jnp.arange(columns), ROWS)
    noise = jax.random.uniform(jax.random.key(2), (ROWS, model.latent), minval=-1.0)
    generate = jax.jit(model.generate)

    def latent(noise, category, continuous):
        return jnp.concatenate([noise, jax.nn.one_hot(category, columns), continuous], axis=1)

    images = generate(state, latent(jnp.repeat(noise, columns, axis=0), category, codes.continuous))
    save_image(folder / "categories.png", image_grid(images, columns))
    steps = jnp.tile(jnp.linspace(-2, 2, 10), columns)
    same = jnp.tile(noise[:1], (10 * columns, 1))
    for i in range(continuous):
        walk = jnp.zeros((10 * columns, continuous)).at[:, i].set(steps)
        images = generate(state, latent(same, jnp.repeat(jnp.arange(columns), 10), walk))
        save_image(folder / f"continuous_{i}.png", image_grid(images, 10))
