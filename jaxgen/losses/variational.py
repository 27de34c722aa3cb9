"""The terms of the evidence lower bound: likelihoods p(x | z) and divergences, in nats.

Images are float32 in [-1, 1], as everywhere in the library. A decoder returns the raw parameters of the likelihood,
`outputs` of them per value, stacked along the last axis; `log_prob` reads them.

A likelihood of one's own is a small frozen dataclass that follows the protocol `Likelihood`, for example

    @dataclass(frozen=True)
    class Laplace:
        outputs: int = 1
        scale: float = 0.1

        def log_prob(self, parameters, image):
            return (-jnp.abs(image - parameters) / self.scale - math.log(2 * self.scale)).sum((-3, -2, -1))

        def mean(self, parameters):
            return jnp.clip(parameters, -1, 1)

    vae = VAE(encoder, decoder, optimiser, likelihood=Laplace())
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = [
    "Bernoulli",
    "DiscretisedLogistic",
    "Gaussian",
    "Likelihood",
    "kl_to_standard_normal",
    "normal_log_prob",
    "standard_normal_log_prob",
]

Image = Float[Array, "... h w c"]
Parameters = Float[Array, "... h w p"]
PerExample = Float[Array, "..."]


@runtime_checkable
class Likelihood(Protocol):
    """p(x | z), as a VAE needs it: an immutable object, whose methods are pure functions of arrays."""

    @property
    def outputs(self) -> int:
        """The number of parameters per value: the decoder of c-channel images has `outputs` * c channels."""
        ...

    def log_prob(self, parameters: Parameters, image: Image) -> PerExample:
        """Returns log p(x | z) in nats, summed over the last three axes; leading axes broadcast.

        The parameters are the decoder's output (..., h, w, `outputs` * c), the image is (..., h, w, c) in [-1, 1].
        """
        ...

    def mean(self, parameters: Parameters) -> Image:
        """Returns E[x | z] in [-1, 1], (..., h, w, c); samples and reconstructions are made of it."""
        ...


def _sum(values: Array) -> Array:
    return values.sum(axis=(-3, -2, -1))


@dataclass(frozen=True)
class Bernoulli:
    """Independent pixels in {0, 1}, parameterised by logits; a grey pixel x in (0, 1) counts as its cross-entropy
    x log p + (1 - x) log(1 - p), the usual convention for MNIST (no density: not comparable with binarised data)."""

    outputs: int = 1

    def log_prob(self, parameters: Parameters, image: Image) -> PerExample:
        """Returns the sum of the pixels' cross-entropies, negated."""
        pixel = (image + 1) / 2
        return _sum(pixel * parameters - jax.nn.softplus(parameters))

    def mean(self, parameters: Parameters) -> Image:
        """Returns the pixels' probabilities, scaled to [-1, 1]."""
        return 2 * jax.nn.sigmoid(parameters) - 1


@dataclass(frozen=True)
class Gaussian:
    """Independent normal pixels: a density over [-1, 1]-scaled values. The mean passes through tanh."""

    scale: float | None = None
    """The standard deviation of all pixels; with None the decoder gives one for every value."""
    min_scale: float = 0.01
    """The least standard deviation that a decoder can give; without one the likelihood of flat regions is unbounded."""

    @property
    def outputs(self) -> int:
        """The mean and, unless `scale` is fixed, the raw standard deviation."""
        return 2 if self.scale is None else 1

    def log_prob(self, parameters: Parameters, image: Image) -> PerExample:
        """Returns the log density of the image."""
        mean, scale = self._moments(parameters)
        return _sum(-0.5 * jnp.square((image - mean) / scale) - jnp.log(scale) - 0.5 * math.log(2 * math.pi))

    def mean(self, parameters: Parameters) -> Image:
        """Returns the means."""
        return self._moments(parameters)[0]

    def _moments(self, parameters: Array) -> tuple[Array, Array]:
        if self.scale is not None:
            return jnp.tanh(parameters), jnp.float32(self.scale)
        mean, raw = jnp.split(parameters, 2, axis=-1)
        return jnp.tanh(mean), self.min_scale + jax.nn.softplus(raw)


@dataclass(frozen=True)
class DiscretisedLogistic:
    """256 grey levels: the mass that a logistic density puts on each level's bin, the outermost bins open
    (Kingma et al. 2016, appendix; Salimans et al. 2017, eq. 2). Its log-probabilities are exact for 8-bit data."""

    outputs: int = 2
    """The mean and the log scale of the logistic density."""
    levels: int = 256
    """The number of grey levels, evenly spaced in [-1, 1]."""

    def log_prob(self, parameters: Parameters, image: Image) -> PerExample:
        """Returns the log probability of the image's levels."""
        mean, log_scale = jnp.split(parameters, 2, axis=-1)
        log_scale = jnp.maximum(log_scale, -7.0)
        half_bin = 1 / (self.levels - 1)
        upper = (image - mean + half_bin) * jnp.exp(-log_scale)
        lower = (image - mean - half_bin) * jnp.exp(-log_scale)
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)): a sum of logs that never cancels.
        inside = jax.nn.log_sigmoid(upper) + jax.nn.log_sigmoid(-lower) + jnp.log(-jnp.expm1(lower - upper))
        log_mass = jnp.where(
            image < -1 + half_bin,
            jax.nn.log_sigmoid(upper),
            jnp.where(image > 1 - half_bin, jax.nn.log_sigmoid(-lower), inside),
        )
        return _sum(log_mass)

    def mean(self, parameters: Parameters) -> Image:
        """Returns the logistic densities' means, clipped to [-1, 1]."""
        return jnp.clip(jnp.split(parameters, 2, axis=-1)[0], -1, 1)


def kl_to_standard_normal(mean: Float[Array, "*b z"], scale: Float[Array, "*b z"]) -> Float[Array, "*b z"]:
    """Returns KL(N(mean, scale²) || N(0, 1)) of each latent unit (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (jnp.square(mean) + jnp.square(scale) - 1) - jnp.log(scale)


def normal_log_prob(
    z: Float[Array, "*#b z"], mean: Float[Array, "*#b z"], scale: Float[Array, "*#b z"]
) -> Float[Array, "*b z"]:
    """Returns log N(z; mean, scale²) of each latent unit; leading axes broadcast."""
    return -0.5 * jnp.square((z - mean) / scale) - jnp.log(scale) - 0.5 * math.log(2 * math.pi)


def standard_normal_log_prob(z: Float[Array, "*b z"]) -> Float[Array, "*b"]:
    """Returns log N(z; 0, I), summed over the last axis."""
    return -0.5 * jnp.square(z).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)
