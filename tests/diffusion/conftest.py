"""What the tests of diffusion share: normal data, for which the best denoiser and everything else is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.diffusion import Denoiser, DiscreteProcess


class Gaussian:
    """N(mean, covariance) in the plane."""

    mean = np.array([0.4, -0.2])
    covariance = np.array([[0.3, 0.12], [0.12, 0.2]])

    def draw(self, n, seed=0):
        draws = np.random.default_rng(seed).multivariate_normal(self.mean, self.covariance, n)
        return jnp.asarray(draws, jnp.float32)

    def gain(self, alpha, sigma):
        """G of E[x_0 | x_t] = mean + G (x_t - α mean)."""
        total = alpha**2 * self.covariance + sigma**2 * np.eye(2)
        return alpha * self.covariance @ np.linalg.inv(total)

    def denoiser(self, process: DiscreteProcess, **options) -> Denoiser:
        gains = jnp.asarray(np.stack([self.gain(*process.marginal(t)) for t in range(process.timesteps + 1)]))
        alphas = jnp.asarray(process.table.alpha)

        def predict(x, t):
            t = jnp.broadcast_to(t, len(x))
            centred = x - alphas[t][:, None] * self.mean
            return (self.mean + jnp.einsum("bij,bj->bi", gains[t], centred)).astype(x.dtype), None

        return Denoiser(process, predict, **options)

    def flow(self, process: DiscreteProcess, latent):
        """Where the probability-flow ODE takes noise, from T to t = 0: each component keeps its quantile."""
        alpha, sigma = process.marginal(process.timesteps)
        variances, axes = np.linalg.eigh(self.covariance)
        components = (np.asarray(latent) - alpha * self.mean) @ axes
        return self.mean + components * np.sqrt(variances / (alpha**2 * variances + sigma**2)) @ axes.T


@pytest.fixture(scope="session")
def gaussian():
    return Gaussian()


@pytest.fixture
def key():
    """A function of a seed, since no key may be used twice."""
    return jax.random.key
