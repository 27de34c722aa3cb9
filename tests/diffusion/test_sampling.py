"""The loop, which is the same for all samplers, one of a user's own included."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import DDIM, Ancestral, DiscreteProcess, DPMSolver, Heun, Sampler, evenly_spaced, sample_path
from jaxgen.diffusion.schedules import Cosine

PROCESS = DiscreteProcess(Cosine(), 200)


@dataclass(frozen=True)
class Euler(Sampler):
    """A user's sampler, with no more than it needs."""

    steps: int = 50

    def timesteps(self, process, start):
        return evenly_spaced(process, start, self.steps)

    def step(self, denoiser, x, memory, step):
        image = denoiser(x, step.t)
        noise = (x - step.before.alpha * image) / step.before.sigma
        return step.after.alpha * image + step.after.sigma * noise, memory


@dataclass(frozen=True)
class Visits(Sampler):
    """Stands still, at given timesteps."""

    visited: tuple

    def timesteps(self, process, start):
        return np.array(self.visited)

    def step(self, denoiser, x, memory, step):
        return x + step.s, memory


SAMPLERS = [Ancestral(20), DDIM(20, eta=0.5), DPMSolver(20), Heun(20), Euler(20)]


def test_a_users_euler_is_ddim(gaussian, key):
    denoiser, latent = gaussian.denoiser(PROCESS), jax.random.normal(key(0), (10, 2))
    found, ddim = (sample_path(sampler, denoiser, latent, frames=4) for sampler in (Euler(10), DDIM(10)))
    np.testing.assert_allclose(found, ddim, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_frames_are_moments_of_one_path_and_progress_is_told(sampler, gaussian, key):
    denoiser, latent, told = gaussian.denoiser(PROCESS), jnp.ones((3, 2)), []
    whole = sample_path(sampler, denoiser, latent, key(0), frames=1000)
    steps = len(sampler.timesteps(PROCESS, 200))
    assert whole.shape == (steps, 3, 2)
    frames = sample_path(sampler, denoiser, latent, key(0), frames=4, progress=told.append)
    jax.effects_barrier()
    assert sorted(map(int, told)) == list(range(1, steps + 1))
    np.testing.assert_allclose(frames[-1], whole[-1], atol=1e-5)
    np.testing.assert_allclose(frames[0], whole[-(-steps // 4) - 1], atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_known_values_stay_and_the_rest_goes_with_them(sampler, gaussian, key):
    """The normal's second value given the first goes towards its regression; not all the way without resampling, as
    Lugmayr et al. 2022, section 4.2, show."""
    denoiser, latent = gaussian.denoiser(PROCESS), jax.random.normal(key(0), (4000, 2))
    image, mask = jnp.full((4000, 2), 1.2), jnp.array([1.0, 0.0])
    path = np.asarray(sample_path(sampler, denoiser, latent, key(1), known=(image, mask), frames=20))
    visited = sampler.timesteps(PROCESS, 200)
    for i in (0, 10):  # as noisy as the step is
        alpha, sigma = PROCESS.marginal(visited[i + 1])
        assert path[i, :, 0].mean() == pytest.approx(1.2 * alpha, abs=0.07)
        assert path[i, :, 0].std() == pytest.approx(sigma, rel=0.06)
    made = path[-1]
    np.testing.assert_allclose(made[:, 0], 1.2, atol=1e-6)
    covariance = gaussian.covariance
    expected = gaussian.mean[1] + covariance[0, 1] / covariance[0, 0] * (1.2 - gaussian.mean[0])
    share = (made[:, 1].mean() - gaussian.mean[1]) / (expected - gaussian.mean[1])
    assert 0.25 < share < 1
    with pytest.raises(ValueError, match="a key is needed"):
        sample_path(sampler, denoiser, latent, known=(image, mask))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_start_on_the_way_leads_to_the_data(sampler, gaussian, key):
    """Data with the noise of t = 80 are normal again after denoising, and near where they came from."""
    data, alpha_sigma = gaussian.draw(8000), PROCESS.marginal(80)
    noisy = alpha_sigma.alpha * data + alpha_sigma.sigma * jax.random.normal(key(0), data.shape)
    made = np.asarray(sample_path(sampler, gaussian.denoiser(PROCESS), noisy, key(1), start=80)[-1])
    np.testing.assert_allclose(made.mean(0), gaussian.mean, atol=0.03)
    np.testing.assert_allclose(np.cov(made.T), gaussian.covariance, atol=0.06)
    assert 0.3 < np.corrcoef(made[:, 0], data[:, 0])[0, 1] < 0.99


def test_timesteps_fall_from_the_start_and_end_at_the_data(gaussian):
    denoiser, x = gaussian.denoiser(PROCESS), jnp.zeros((1, 2))
    whole = sample_path(Visits((200, 50, 7)), denoiser, x, frames=3)
    np.testing.assert_array_equal(whole[:, 0, 0], [50, 57, 57])
    for visited in [(100, 50), (200, 50, 50), (200, 0), (), (200.0, 1.0)]:
        with pytest.raises(ValueError, match="whole numbers that fall from 200, all above 0"):
            sample_path(Visits(visited), denoiser, x)
    assert sample_path(Visits((100, 50)), denoiser, x, start=100).shape == (1, 1, 2)
