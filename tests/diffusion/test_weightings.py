import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import Marginal, predictions, weightings
from jaxgen.diffusion.weightings import ImageError, MinSNR, Terms

MARGINAL = Marginal(jnp.array([0.95, 0.6, 0.1])[:, None], jnp.array([0.2, 0.8, 0.9])[:, None])


def terms(prediction):
    """Of a network whose x_0 is the same, whatever it predicts; and the squared error of that x_0."""
    image, noise, found = jax.random.normal(jax.random.key(0), (3, 3, 4))
    x = MARGINAL.alpha * image + MARGINAL.sigma * noise
    says = prediction.target(found, (x - MARGINAL.alpha * found) / MARGINAL.sigma, MARGINAL)
    error = jnp.square(says - prediction.target(image, noise, MARGINAL))
    return Terms(error, MARGINAL, prediction, lambda: jnp.float32(7)), jnp.square(found - image)


@pytest.mark.parametrize("name", ["noise", "image", "velocity", "flow"])
def test_weights_are_of_the_error_of_the_image_whatever_is_predicted(name):
    found, of_image = terms(getattr(predictions, name))
    snr = np.square(MARGINAL.alpha / MARGINAL.sigma)
    for weighting, weight in [
        (weightings.snr, snr),
        (MinSNR(), np.minimum(snr, 5)),
        (MinSNR(0.3), np.minimum(snr, 0.3)),
        (ImageError(jnp.sqrt), np.sqrt(snr)),
    ]:
        assert weighting(found) == pytest.approx(float((weight * of_image).mean()), rel=1e-4)


def test_simple_weighs_nothing_and_the_bound_is_the_bound():
    found, of_image = terms(predictions.image)
    assert weightings.simple(found) == pytest.approx(float(of_image.mean()), rel=1e-5)
    assert weightings.bound(found) == 7
    noise, _ = terms(predictions.noise)
    assert weightings.simple(noise) == pytest.approx(float(weightings.snr(noise)), rel=1e-5)
