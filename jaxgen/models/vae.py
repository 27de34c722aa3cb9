"""Variational autoencoder: Kingma & Welling 2014 (arXiv:1312.6114), with β (Higgins et al. 2017) and labels (CVAE).

Other objectives are options of it: a capacity for the KL term, regularisers of the code (β-TCVAE, DIP-VAE), and the
importance-weighted bound (IWAE).

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
from jaxtyping import Array, Float, Key

from jaxgen.losses.regularisers import Regulariser
from jaxgen.losses.variational import (
    Bernoulli,
    Likelihood,
    kl_to_standard_normal,
    normal_log_prob,
    standard_normal_log_prob,
)
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Label, Metrics

__all__ = ["ELBO", "VAE", "VAEState"]

Scheduled = float | int | Array | Callable[[Array], Array]


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
    capacity:   C in nats, a number or a schedule: the KL term, the batch's mean, is drawn to it by β |KL - C| in place
                of β KL (Burgess et al. 2018, eq. 8: β = 1000, C = optax.linear_schedule(0, 25, 100_000))
    regulariser:        added to the loss: `BetaTC`, `DIP`, or another function (mean, scale, z) -> (penalty, metrics)
    objective_samples:  k > 1: the importance-weighted bound by k posterior draws takes the place of the ELBO (Burda et
                        al. 2016, eq. 8); β is then the exponent of p(z) / q(z | x) in the weights
    """

    encoder: nn.Module
    decoder: nn.Module
    optimiser: optax.GradientTransformation
    likelihood: Likelihood = Bernoulli()  # noqa: RUF009 (frozen)
    beta: Scheduled = 1.0
    binarise: bool = False
    classes: int = 0
    capacity: Scheduled | None = None
    regulariser: Regulariser | None = None
    objective_samples: int = 1

    def __post_init__(self):
        if self.objective_samples < 1:
            raise ValueError(f"objective_samples={self.objective_samples}: at least 1 is needed")
        if self.objective_samples > 1 and (self.capacity is not None or self.regulariser is not None):
            raise ValueError(
                f"objective_samples={self.objective_samples}: the importance-weighted bound has no KL term for a "
                "capacity or a regulariser; choose 1"
            )

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
        """Descends -E[log p(x | z)] + β KL(q(z | x) || p(z)), or what the options make of it; metrics in nats per
        example, each part by its name."""
        key, step_key = jax.random.split(state.key)
        state, metrics, _ = self._descend(state, step_key, batch)
        return state.replace(step=state.step + 1, key=key), metrics

    def _descend(self, state: VAEState, key: Key[Array, ""], batch: Batch) -> tuple[VAEState, Metrics, Array | None]:
        """One step of the optimiser; the state after it, metrics, and the draws of the posteriors."""
        loss = self._loss if self.objective_samples == 1 else self._importance_weighted_loss
        beta = _now(self.beta, state.step)
        (value, (metrics, z)), gradient = jax.value_and_grad(
            lambda params: loss(state.replace(params=params), key, batch, beta), has_aux=True
        )(state.params)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics |= {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return state.replace(params=params, optimiser=optimiser), metrics, z

    def _loss(
        self, state: VAEState, key: Key[Array, ""], batch: Batch, beta: float | int | Array
    ) -> tuple[Array, tuple[Metrics, Array]]:
        """The negative ELBO with β, capacity and penalty; metrics and the draws z."""
        terms, mean, scale, z = self._terms(state, key, batch)
        log_likelihood, kl = terms.log_likelihood.mean(), terms.kl.mean()
        metrics = {"elbo": terms.elbo.mean(), "log_likelihood": log_likelihood, "kl": kl}
        charged = kl
        if self.capacity is not None:
            metrics["capacity"] = jnp.asarray(_now(self.capacity, state.step), jnp.float32)
            charged = jnp.abs(kl - metrics["capacity"])
        value = beta * charged - log_likelihood
        penalty, parts = self._penalty(state, mean, scale, z)
        return value + penalty, (metrics | parts, z)

    def _penalty(self, state: VAEState, mean: Array, scale: Array, z: Array) -> tuple[Array, Metrics]:
        """What is added to the loss, and its parts."""
        return self.regulariser(mean, scale, z) if self.regulariser else (jnp.float32(0), {})

    def _importance_weighted_loss(
        self, state: VAEState, key: Key[Array, ""], batch: Batch, beta: float | int | Array
    ) -> tuple[Array, tuple[Metrics, None]]:
        """The negative bound -log (1/k) Σ p(x | z_i) (p(z_i) / q(z_i | x))^β.

        The decoder's gradient is the sum of those of the log weights, each times its normalised weight w_i (Burda et
        al. 2016, eq. 14). The encoder's is doubly reparameterised (Tucker et al. 2019, eq. 8), the same in the mean
        with less noise: it flows through the draws alone, times w_i again, or with β ≠ 1 times 1 - β (1 - w_i).
        """
        image, label, mean, scale, key = self._encoded(state, key, batch)
        z = mean + scale * jax.random.normal(key, (self.objective_samples, *mean.shape))
        posterior = jax.lax.stop_gradient((mean, scale))

        def log_weights(params, z):
            log_likelihood, log_ratio = self._at(state.replace(params=params), z, image, label, *posterior)
            return log_likelihood - beta * log_ratio, log_likelihood

        fixed, _ = log_weights(*jax.lax.stop_gradient((state.params, z)))
        factor = 1 - beta * (1 - jax.nn.softmax(fixed, axis=0)[..., None])
        z = factor * z + jax.lax.stop_gradient((1 - factor) * z)  # z itself, with `factor` of its gradient
        log_weight, log_likelihood = log_weights(state.params, z)
        bound = (jax.nn.logsumexp(log_weight, axis=0) - jnp.log(self.objective_samples)).mean()
        log_likelihood, kl = log_likelihood.mean(), kl_to_standard_normal(mean, scale).sum(-1).mean()
        metrics = {"bound": bound, "elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return -bound, (metrics, None)

    def elbo(self, state: VAEState, key: Key[Array, ""], batch: Batch) -> ELBO:
        """The evidence lower bound of each example, by one sample of the posterior (eq. 10 with L = 1)."""
        return self._terms(state, key, batch)[0]

    def log_likelihood(
        self, state: VAEState, key: Key[Array, ""], batch: Batch, samples: int, chunk: int = 50
    ) -> Float[Array, "b"]:
        """log (1/K) Σ p(x, z_k) / q(z_k | x) with K = `samples` posterior draws: a lower bound of log p(x) that
        tightens with K (Burda et al. 2016, eq. 8). `chunk` draws are in memory at a time; it must divide `samples`.
        """
        chunk = min(chunk, samples)
        if samples < 1 or samples % chunk:
            raise ValueError(f"samples={samples}: a positive multiple of chunk={chunk} is needed")
        image, label, mean, scale, posterior_key = self._encoded(state, key, batch)

        def more(total, key):
            log_likelihood, log_ratio = self._drawn(state, key, image, label, mean, scale, chunk)
            return jnp.logaddexp(total, jax.nn.logsumexp(log_likelihood - log_ratio, axis=0)), None

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

    def classify(
        self, state: VAEState, key: Key[Array, ""], image: Array, samples: int = 100, log_prior: Array | None = None
    ) -> Float[Array, "b k"]:
        """log p(y | x) by Bayes' rule, p(y | x) ∝ p(x | y) p(y), of each class, with p(x | y) estimated as by
        `log_likelihood`; without `log_prior` (k,) the classes are equally likely. ValueError for an unconditional
        model."""
        if not self.classes:
            raise ValueError("classes=0: only a conditional model classifies")

        def joint(inputs):
            label, key = inputs
            batch = {"image": image, "label": jnp.full(len(image), label)}
            return self.log_likelihood(state, key, batch, samples)

        labels = jnp.arange(self.classes, dtype=jnp.int32)
        log_joint = jax.lax.map(joint, (labels, jax.random.split(key, self.classes))).T
        return jax.nn.log_softmax(log_joint if log_prior is None else log_joint + log_prior, axis=-1)

    def complete(
        self,
        state: VAEState,
        key: Key[Array, ""],
        image: Array,
        mask: Float[Array, "..."],
        label: Label = None,
        steps: int = 50,
    ) -> Float[Array, "b ..."]:
        """Images whose pixels where `mask` is 0 are made anew, given those where it is 1: so many times a latent of the
        posterior is drawn and E[x | z] put in (Rezende et al. 2014, appendix F). `mask` broadcasts."""
        start_key, key = jax.random.split(key)
        image = normalise(image)
        made = self.decode(state, jax.random.normal(start_key, (len(image), self.latent)), label)

        def again(made, key):
            mean, scale = self._posterior(state, jnp.where(mask > 0, image, made), label)
            return self.decode(state, mean + scale * jax.random.normal(key, mean.shape), label), None

        made, _ = jax.lax.scan(again, made, jax.random.split(key, steps))
        return jnp.where(mask > 0, image, made)

    def sample(self, state: VAEState, key: Key[Array, ""], n: int, label: Label = None) -> Float[Array, "n ..."]:
        """E[x | z] for n draws of the prior, in [-1, 1]. A conditional model without labels goes through its
        classes in turn."""
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        return self.decode(state, jax.random.normal(key, (n, self.latent)), label)

    def _terms(self, state: VAEState, key: Key[Array, ""], batch: Batch) -> tuple[ELBO, Array, Array, Array]:
        """The bound, and the posteriors' means, scales and draws z that it was made with."""
        image, label, mean, scale, key = self._encoded(state, key, batch)
        z = mean + scale * jax.random.normal(key, mean.shape)
        log_likelihood = self.likelihood.log_prob(self._decode(state, z, label), image)
        kl = kl_to_standard_normal(mean, scale)
        return ELBO(log_likelihood - kl.sum(-1), log_likelihood, kl), mean, scale, z

    def _encoded(
        self, state: VAEState, key: Key[Array, ""], batch: Batch
    ) -> tuple[Array, Label, Array, Array, Key[Array, ""]]:
        """Images as they are seen, labels, the posteriors' means and scales, and the key for draws from them."""
        binarise_key, posterior_key = jax.random.split(key)
        image, label = self._inputs(binarise_key, batch)
        return image, label, *self._posterior(state, image, label), posterior_key

    def _drawn(
        self, state: VAEState, key: Key[Array, ""], image: Array, label: Label, mean: Array, scale: Array, k: int
    ) -> tuple[Float[Array, "k b"], Float[Array, "k b"]]:
        """log p(x | z) and log q(z | x) - log p(z) at k draws z of each posterior."""
        return self._at(state, mean + scale * jax.random.normal(key, (k, *mean.shape)), image, label, mean, scale)

    def _at(
        self, state: VAEState, z: Float[Array, "k b z"], image: Array, label: Label, mean: Array, scale: Array
    ) -> tuple[Float[Array, "k b"], Float[Array, "k b"]]:
        """log p(x | z) and log q(z | x) - log p(z), of q = N(mean, scale²)."""
        labels = None if label is None else jnp.tile(label, len(z))
        parameters = self._decode(state, z.reshape(-1, self.latent), labels)
        parameters = parameters.reshape(*z.shape[:2], *parameters.shape[1:])
        log_posterior = normal_log_prob(z, mean, scale).sum(-1)
        return self.likelihood.log_prob(parameters, image), log_posterior - standard_normal_log_prob(z)

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


def _now(value: Scheduled, step: Array) -> float | int | Array:
    return value(step) if callable(value) else value
