"""Variational autoencoder: Kingma & Welling 2014 (arXiv:1312.6114), with β (Higgins et al. 2017) and labels (CVAE).

vae = VAE(MLPEncoder(latent=20), MLPDecoder(shape=(28, 28, 1)), optax.adam(1e-3))
state = vae.init(jax.random.key(0), batch)
step = jax.jit(vae.step, donate_argnums=0)
state, metrics = step(state, batch)
images = vae.sample(state, jax.random.key(1), 64)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Int, Key

from jaxgen.losses.variational import (
    Bernoulli,
    Likelihood,
    kl_to_standard_normal,
    standard_normal_log_prob,
)
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["ELBO", "VAE", "VAEState"]

Label = Int[Array, "b"] | None


@struct.dataclass
class VAEState:
    """Everything that going on needs; `params` holds `encoder` and `decoder`."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    params: dict
    optimiser: optax.OptState


class ELBO(NamedTuple):
    """The bound and its two terms, in nats per example: `elbo` = `log_likelihood` - `kl`; `kl` of each latent unit."""

    elbo: Float[Array, "b"]
    log_likelihood: Float[Array, "b"]
    kl_per_unit: Float[Array, "b z"]

    @property
    def kl(self) -> Float[Array, "b"]:
        return self.kl_per_unit.sum(-1)


@dataclass(frozen=True)
class VAE:
    """p(z) = N(0, I), p(x | z) by the decoder and `likelihood`, q(z | x) = N(mean, scale²) by the encoder.

    encoder:    (image, label) -> mean and log variance, each (b, latent); has a field `latent`
    decoder:    (latent, label) -> the likelihood's parameters, (b, h, w, channels × likelihood.outputs)
    beta:       weight of the KL term in the loss: a number, or an optax schedule of the step (KL annealing)
    binarise:   each time an image is seen, its pixels are drawn from Bernoulli(intensity) (dynamic binarisation)
    classes:    labels 0 … classes - 1 condition both networks (CVAE); 0: unconditional
    """

    encoder: nn.Module
    decoder: nn.Module
    optimiser: optax.GradientTransformation
    likelihood: Likelihood = Bernoulli()  # noqa: RUF009 (frozen)
    beta: float | Array | Callable[[Array], Array] = 1.0
    binarise: bool = False
    classes: int = 0

    @property
    def latent(self) -> int:
        return self.encoder.latent

    def init(self, key: Key[Array, ""], batch: Batch) -> VAEState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where the decoder's output does not fit the images and the likelihood.
        """
        key, encoder_key, decoder_key = jax.random.split(key, 3)
        shape = batch["image"].shape[1:]
        label = jnp.zeros(1, jnp.int32) if self.classes else None
        encoder = self.encoder.init(encoder_key, jnp.zeros((1, *shape)), label)
        decoder = self.decoder.init(decoder_key, jnp.zeros((1, self.latent)), label)
        for name, variables in (("encoder", encoder), ("decoder", decoder)):
            if set(variables) != {"params"}:
                raise ValueError(f"{name}: collections {sorted(variables)}; a VAE's networks have params only")
        made = jax.eval_shape(self.decoder.apply, decoder, jnp.zeros((1, self.latent)), label).shape[1:]
        wanted = (*shape[:-1], shape[-1] * self.likelihood.outputs)
        if made != wanted:
            raise ValueError(f"decoder makes {made}, but {shape} images under {self.likelihood} need {wanted}")
        params = {"encoder": encoder["params"], "decoder": decoder["params"]}
        return VAEState(jnp.int32(0), key, params, self.optimiser.init(params))

    def step(self, state: VAEState, batch: Batch) -> tuple[VAEState, Metrics]:
        """Descends -E[log p(x | z)] + β KL(q(z | x) || p(z)); metrics in nats per example."""
        key, step_key = jax.random.split(state.key)
        beta = self.beta(state.step) if callable(self.beta) else self.beta

        def loss(params):
            terms = self.elbo(state.replace(params=params), step_key, batch)
            log_likelihood, kl = terms.log_likelihood.mean(), terms.kl.mean()
            metrics = {"elbo": terms.elbo.mean(), "log_likelihood": log_likelihood, "kl": kl}
            return beta * kl - log_likelihood, metrics

        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics |= {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return VAEState(state.step + 1, key, params, optimiser), metrics

    def elbo(self, state: VAEState, key: Key[Array, ""], batch: Batch) -> ELBO:
        """The evidence lower bound of each example, by one sample of the posterior (eq. 10 with L = 1)."""
        binarise_key, posterior_key = jax.random.split(key)
        image, label = self._inputs(binarise_key, batch)
        mean, scale = self._posterior(state, image, label)
        z = mean + scale * jax.random.normal(posterior_key, mean.shape)
        log_likelihood = self.likelihood.log_prob(self._decode(state, z, label), image)
        kl = kl_to_standard_normal(mean, scale)
        return ELBO(log_likelihood - kl.sum(-1), log_likelihood, kl)

    def log_likelihood(
        self, state: VAEState, key: Key[Array, ""], batch: Batch, samples: int, chunk: int = 50
    ) -> Float[Array, "b"]:
        """log (1/K) Σ p(x, z_k) / q(z_k | x) with K = `samples` posterior draws: a lower bound of log p(x) that
        tightens with K (Burda et al. 2016, eq. 8). `chunk` draws are in memory at a time; it must divide `samples`.
        """
        chunk = min(chunk, samples)
        if samples < 1 or samples % chunk:
            raise ValueError(f"samples={samples}: a positive multiple of chunk={chunk} is needed")
        binarise_key, posterior_key = jax.random.split(key)
        image, label = self._inputs(binarise_key, batch)
        mean, scale = self._posterior(state, image, label)
        labels = None if label is None else jnp.tile(label, chunk)

        def more(total, key):
            noise = jax.random.normal(key, (chunk, *mean.shape))
            z = mean + scale * noise
            parameters = self._decode(state, z.reshape(-1, self.latent), labels)
            parameters = parameters.reshape(chunk, len(image), *parameters.shape[1:])
            log_posterior = standard_normal_log_prob(noise) - jnp.log(scale).sum(-1)
            log_weight = self.likelihood.log_prob(parameters, image) + standard_normal_log_prob(z) - log_posterior
            return jnp.logaddexp(total, jax.nn.logsumexp(log_weight, axis=0)), None

        start = jnp.full(len(image), -jnp.inf)
        total, _ = jax.lax.scan(more, start, jax.random.split(posterior_key, samples // chunk))
        return total - jnp.log(samples)

    def encode(
        self, state: VAEState, image: Array, label: Label = None
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Mean and scale (standard deviation) of the posterior q(z | x)."""
        return self._posterior(state, normalise(image), label)

    def decode(self, state: VAEState, z: Float[Array, "b z"], label: Label = None) -> Float[Array, "b ..."]:
        """E[x | z], in [-1, 1]."""
        return self.likelihood.mean(self._decode(state, z, label))

    def reconstruct(self, state: VAEState, image: Array, label: Label = None) -> Float[Array, "b ..."]:
        """The decoded mean of the posterior."""
        return self.decode(state, self.encode(state, image, label)[0], label)

    def sample(self, state: VAEState, key: Key[Array, ""], n: int, label: Label = None) -> Float[Array, "n ..."]:
        """E[x | z] for n draws of the prior, in [-1, 1]. A conditional model without labels goes through its
        classes in turn."""
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        return self.decode(state, jax.random.normal(key, (n, self.latent)), label)

    def _inputs(self, key: Key[Array, ""], batch: Batch) -> tuple[Array, Label]:
        image = normalise(batch["image"])
        if self.binarise:
            image = jnp.where(jax.random.bernoulli(key, (image + 1) / 2), 1.0, -1.0)
        return image, batch["label"] if self.classes else None

    def _posterior(self, state: VAEState, image: Array, label: Label) -> tuple[Array, Array]:
        mean, log_variance = self.encoder.apply({"params": state.params["encoder"]}, image, label)
        return mean, jnp.exp(0.5 * log_variance)

    def _decode(self, state: VAEState, z: Array, label: Label) -> Array:
        return self.decoder.apply({"params": state.params["decoder"]}, z, label)
