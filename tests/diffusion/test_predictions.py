import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import Marginal, predictions
from jaxgen.diffusion.predictions import Prediction

SCORE = Prediction(lambda alpha, sigma: (-1 / sigma, jnp.zeros_like(alpha)))
ALL = {name: getattr(predictions, name) for name in ("noise", "image", "velocity", "flow")} | {"score": SCORE}


def pair():
    marginal = Marginal(jnp.array([0.9, 0.3])[:, None], jnp.array([0.4, 0.8])[:, None])
    image, noise = jax.random.normal(jax.random.key(0), (2, 2, 5))
    return marginal, image, noise, marginal.alpha * image + marginal.sigma * noise


@pytest.mark.parametrize("prediction", ALL.values(), ids=ALL)
def test_the_image_follows_from_what_is_predicted(prediction):
    marginal, image, noise, x = pair()
    target = prediction.target(image, noise, marginal)
    np.testing.assert_allclose(prediction.image(target, x, marginal), image, rtol=1e-4, atol=1e-5)
    moved = prediction.image(target + 0.1, x, marginal)
    error = jnp.broadcast_to(0.1 * marginal.sigma / jnp.abs(prediction.sensitivity(marginal)), image.shape)
    np.testing.assert_allclose(jnp.abs(moved - image), error, rtol=1e-3)


def test_targets_are_as_published():
    marginal, image, noise, _ = pair()
    alpha, sigma = marginal
    for name, expected in {
        "noise": noise,
        "image": image,
        "velocity": alpha * noise - sigma * image,
        "flow": noise - image,
        "score": -noise / sigma,
    }.items():
        np.testing.assert_allclose(ALL[name].target(image, noise, marginal), expected, rtol=1e-6)
