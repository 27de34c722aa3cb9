import jax.numpy as jnp
import numpy as np

from jaxgen.diffusion import Denoiser, DiscreteProcess, predictions, variances


def test_the_image_is_found_whatever_is_predicted(gaussian):
    process, x = DiscreteProcess(timesteps=50), gaussian.draw(6)
    exact = gaussian.denoiser(process)
    for t in (30, jnp.array([1, 5, 20, 30, 40, 50])):
        alpha, sigma = process.marginal(jnp.broadcast_to(jnp.asarray(t), 6))
        image = exact(x, t)
        noise = (x - alpha[:, None] * image) / sigma[:, None]
        says = Denoiser(process, lambda x, t, noise=noise: (noise, None), predictions.noise)
        np.testing.assert_allclose(says(x, t), image, atol=1e-3)


def test_images_are_clipped_and_a_step_back_has_the_models_variance(gaussian):
    process, x, t = DiscreteProcess(timesteps=50), 3 * gaussian.draw(100), np.array(20)
    plain, clipped = (gaussian.denoiser(process, clip=clip, variance=variances.small) for clip in (False, True))
    assert jnp.abs(plain(x, t)).max() > 1.1
    np.testing.assert_array_equal(clipped(x, t), jnp.clip(plain(x, t), -1, 1))
    between = process.transition(t, np.array(10))
    found = clipped.reverse(x, t, between)
    np.testing.assert_array_equal(found.image, clipped(x, t))
    np.testing.assert_allclose(found.scale, between.small**0.5, rtol=1e-6)
    np.testing.assert_allclose(found.log_variance, np.log(between.small), rtol=1e-6)
