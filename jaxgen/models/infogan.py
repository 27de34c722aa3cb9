"""InfoGAN: Chen et al. 2016 (arXiv:1606.03657): a GAN whose latent holds codes that can be read off its images.

    gan = InfoGAN(InfoGANGenerator((28, 28, 1)), InfoGANDiscriminator(), optax.adam(1e-3, 0.5), optax.adam(2e-4, 0.5))
    state = gan.init(jax.random.key(0), batch)
    state, metrics = jax.jit(gan.step)(state, batch)
    sevens = gan.sample(state, key, 16, gan.codes(key, 16)._replace(categorical=jnp.full((16, 1), 7)))
    codes = gan.infer(state, images)

The game is `GAN`'s; this file holds what differs: the latent, and the bound on I(c; G(z, c)) in both players' losses.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxgen.models.gan import GAN, GANState
from jaxgen.networks.calls import apply_network
from jaxgen.pixels import normalise
from jaxgen.sharding import along_data
from jaxgen.types import Metrics

__all__ = ["Codes", "InfoGAN"]


class Codes(NamedTuple):
    """The values of the latent codes of n examples."""

    categorical: Int[Array, "n k"]
    """The category of each categorical code."""
    continuous: Float[Array, "n c"]
    """The values of the continuous codes, in [-1, 1]."""


@dataclass(frozen=True)
class InfoGAN(GAN):
    """A GAN whose discriminator also gives the parameters of Q(c | x), the approximate posterior of the codes.

    The discriminator maps (image, label, train) to logits (b,) and the parameters of Q (b, q): the logits of each
    categorical code, then the means, then the log standard deviations of the continuous codes.
    """

    latent: int = 62
    """The number of units of the incompressible noise z ~ U(-1, 1)."""
    categorical: Sequence[int] = (10,)
    """The number of categories of each categorical code, drawn with equal probability."""
    continuous: int = 2
    """The number of continuous codes, each drawn from U(-1, 1)."""
    information_weight: float | Array = 1.0
    """λ of equation 6."""
    continuous_scale: float | None = 1.0
    """Q's standard deviation of the continuous codes. At 1, as in the authors' code, they count little beside the
    categories. None: it is learned, which draws G to hide exact numbers in patterns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packing > 1 or self.classes:
            raise ValueError("InfoGAN: neither packing nor labels, since Q reads the codes of one example at a time")
        if self.continuous_scale is not None and not self.continuous_scale > 0:
            raise ValueError(f"continuous_scale={self.continuous_scale}: a positive number or None is needed")

    def codes(self, key: Key[Array, ""], n: int) -> Codes:
        """Returns n draws of the codes c."""
        *keys, continuous_key = jax.random.split(key, len(self.categorical) + 1)
        drawn = [jax.random.randint(k, (n,), 0, size) for k, size in zip(keys, self.categorical, strict=True)]
        categorical = jnp.stack(drawn, axis=1) if drawn else jnp.zeros((n, 0), jnp.int32)
        return Codes(categorical, jax.random.uniform(continuous_key, (n, self.continuous), minval=-1.0))

    def prior(self, key: Key[Array, ""], n: int, codes: Codes | None = None) -> Float[Array, "n z"]:
        """Returns n latents (noise, one-hot categories, continuous codes); with `codes` only the noise is drawn."""
        noise_key, code_key = jax.random.split(key)
        noise = jax.random.uniform(noise_key, (n, self.latent), minval=-1.0)
        codes = self.codes(code_key, n) if codes is None else codes
        one_hot = [jax.nn.one_hot(codes.categorical[:, i], size) for i, size in enumerate(self.categorical)]
        return along_data(jnp.concatenate([noise, *one_hot, codes.continuous], axis=1))

    def sample(self, state: GANState, key: Key[Array, ""], n: int, codes: Codes | None = None) -> Float[Array, "n ..."]:
        """Returns n images in [-1, 1], of random codes or of the ones given."""
        return self.generate(state, self.prior(key, n, codes))

    def infer(self, state: GANState, image: Array) -> Codes:
        """Returns the codes of images by Q: the most probable categories, and the means of the continuous codes."""
        (_, q), _ = apply_network(self.discriminator, state.discriminator.variables, normalise(image), None)
        logits, mean, _ = self._split(q)
        found = [x.argmax(-1) for x in logits]
        categorical = jnp.stack(found, axis=1) if found else jnp.zeros((len(image), 0), jnp.int32)
        return Codes(categorical, mean)

    @property
    def entropy(self) -> float:
        """H(c) in nats: the log of each categorical code's number of categories, and log 2 for each continuous code."""
        return sum(map(math.log, self.categorical)) + self.continuous * math.log(2)

    def logits(self, output: Any) -> Array:
        """Returns the logits in D's output, which also holds the parameters of Q."""
        return output[0]

    def extra_loss(self, latent: Array, output: Any) -> tuple[Float[Array, ""], Metrics]:
        """Returns -λ L_I, with L_I = E[log Q(c | G(z, c))] + H(c) ≤ I(c; G(z, c)) (equation 5)."""
        logits, mean, log_scale = self._split(output[1])
        _, *one_hot, continuous = jnp.split(latent, list(accumulate([self.latent, *self.categorical])), axis=1)
        log_q = -0.5 * jnp.square((continuous - mean) / jnp.exp(log_scale)) - log_scale - 0.5 * math.log(2 * math.pi)
        log_q = log_q.sum(1)
        for target, x in zip(one_hot, logits, strict=True):
            log_q += (target * jax.nn.log_softmax(x)).sum(1)
        information = log_q.mean() + self.entropy
        return -self.information_weight * information, {"information": information}

    def _split(self, q: Float[Array, "b q"]) -> tuple[list[Array], Array, Array]:
        """Q's parameters: the logits of each categorical code, means and log standard deviations (where learned in
        [-5, 2], so that no density runs away) of the continuous ones."""
        *logits, mean, log_scale = jnp.split(q, list(accumulate([*self.categorical, self.continuous])), axis=1)
        if self.continuous_scale is None:
            return logits, mean, jnp.clip(log_scale, -5, 2)
        return logits, mean, jnp.full_like(mean, math.log(self.continuous_scale))
