"""Variational autoencoder: Kingma & Welling 2014 (arXiv:1312.6114), with β (Higgins et al. 2017) and labels (CVAE).

Other objectives are options: a capacity for the KL term, regularisers of the code (β-TCVAE, DIP-VAE), and the
importance-weighted bound (IWAE).

    vae = VAE(MLPEncoder(latent=20), MLPDecoder(shape=(28, 28, 1)), optax.adam(1e-3))
    state = vae.init(jax.random.key(0), batch)
    step = jax.jit(vae.step, donate_argnums=0)
    state, metrics = step(state, batch)
    images = vae.sample(state, jax.random.key(1), 64)

A subclass changes the training through the hooks `inputs`, `penalty`, `loss` and `descend`; see `FactorVAE`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

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
from jaxgen.networks.calls import apply_network, check_network, init_network, output_shape
from jaxgen.pixels import normalise
from jaxgen.schedules import Scheduled, value_at
from jaxgen.types import Batch, Label, Metrics

__all__ = ["ELBO", "VAE", "VAEState"]

Scalar = Float[Array, ""]
Codes = Float[Array, "b z"]
Images = Float[Array, "b ..."]


class VAEState(struct.PyTreeNode):
    """Everything that is needed to go on with the training."""

    step: Any
    """The number of steps taken, an int32 scalar; Any because tree transformations put other leaves here."""
    key: Any
    """The key of the next step."""
    params: dict[str, Any]
    """The parameters of `encoder` and `decoder`."""
    statistics: dict[str, Any]
    """The other collections of `encoder` and `decoder`, such as the averages of batch normalisation."""
    optimiser: optax.OptState

    def variables(self, name: str) -> dict[str, Any]:
        """Returns the variables with which a network is applied; `name` is `encoder` or `decoder`."""
        return {"params": self.params[name], **self.statistics[name]}


S = TypeVar("S", bound=VAEState)


class ELBO(NamedTuple):
    """The evidence lower bound of each example in nats, `elbo` = `log_likelihood` - `kl`, and what it is made of."""

    elbo: Float[Array, "b"]
    log_likelihood: Float[Array, "b"]
    kl_per_unit: Codes
    """The divergence KL(q(z_j | x) || p(z_j)) of each latent unit."""
    mean: Codes
    """The posteriors' means."""
    scale: Codes
    """The posteriors' standard deviations."""
    z: Codes
    """The draw of each posterior at which the likelihood is taken."""

    @property
    def kl(self) -> Float[Array, "b"]:
        """KL(q(z | x) || p(z)) of each example."""
        return self.kl_per_unit.sum(-1)


class _Encoded(NamedTuple):
    image: Images
    label: Label
    mean: Codes
    scale: Codes
    key: Key[Array, ""]
    """The key of the draws from the posteriors."""
    statistics: dict[str, Any]


@dataclass(frozen=True)
class VAE:
    """p(z) = N(0, I), p(x | z) by the decoder and `likelihood`, q(z | x) = N(mean, scale²) by the encoder.

    Networks with dropout or batch normalisation take the argument `train`, see `jaxgen.networks.calls`.
    """

    encoder: nn.Module
    """(image, label) -> mean and log variance, each (b, latent); it has a field `latent`."""
    decoder: nn.Module
    """(latent, label) -> the likelihood's parameters, (b, h, w, channels × likelihood.outputs)."""
    optimiser: optax.GradientTransformation
    likelihood: Likelihood = Bernoulli()  # noqa: RUF009 (frozen)
    """p(x | z), any object that follows the protocol `Likelihood`."""
    beta: Scheduled = 1.0
    """The weight of the KL term in the loss: a number, or an optax schedule of the step (KL annealing)."""
    binarise: bool = False
    """Draw the pixels from Bernoulli(intensity) each time an image is seen (dynamic binarisation)."""
    classes: int = 0
    """The number of labels 0, 1, …, which condition both networks (CVAE); 0 means unconditional."""
    capacity: Scheduled | None = None
    """C in nats, a number or a schedule. The KL term, averaged over the batch, is drawn to it by β |KL - C| in place of
    β KL (Burgess et al. 2018, eq. 8: β = 1000, C = optax.linear_schedule(0, 25, 100_000))."""
    regulariser: Regulariser | None = None
    """Is added to the loss: `BetaTC`, `DIP`, or another function (mean, scale, z) -> (penalty, metrics)."""
    objective_samples: int = 1
    """With k > 1 the importance-weighted bound by k draws of the posterior takes the place of the ELBO (Burda et al.
    2016, eq. 8); β is then the exponent of p(z) / q(z | x) in the weights."""

    def __post_init__(self) -> None:
        check_network("encoder", self.encoder)
        check_network("decoder", self.decoder)
        if self.objective_samples < 1:
            raise ValueError(f"objective_samples={self.objective_samples}: at least 1 is needed")
        if self.objective_samples > 1 and (self.capacity is not None or self.regulariser is not None):
            raise ValueError(
                f"objective_samples={self.objective_samples}: the importance-weighted bound has no KL term for a "
                "capacity or a regulariser; choose 1"
            )

    @property
    def latent(self) -> int:
        """The number of latent units."""
        return self.encoder.latent

    def init(self, key: Key[Array, ""], batch: Batch) -> VAEState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where the decoder's output does not fit the images and the likelihood.
        """
        key, encoder_key, decoder_key = jax.random.split(key, 3)
        shape = tuple(batch["image"].shape[1:])
        label = jnp.zeros(1, jnp.int32) if self.classes else None
        z = jnp.zeros((1, self.latent))
        encoder, encoder_statistics = init_network(self.encoder, encoder_key, jnp.zeros((1, *shape)), label)
        decoder, decoder_statistics = init_network(self.decoder, decoder_key, z, label)
        params = {"encoder": encoder, "decoder": decoder}
        statistics = {"encoder": encoder_statistics, "decoder": decoder_statistics}
        state = VAEState(jnp.int32(0), key, params, statistics, self.optimiser.init(params))
        made = output_shape(self.decoder, state.variables("decoder"), z, label)
        wanted = (*shape[:-1], shape[-1] * self.likelihood.outputs)
        if made != wanted:
            raise ValueError(f"decoder makes {made}, but {shape} images under {self.likelihood} need {wanted}")
        return state

    def step(self, state: VAEState, batch: Batch) -> tuple[VAEState, Metrics]:
        """Descends -E[log p(x | z)] + β KL(q(z | x) || p(z)), or what the options make of it.

        The metrics are in nats per example, each part by its name.
        """
        key, step_key = jax.random.split(state.key)
        state, metrics, _ = self.descend(state, step_key, batch)
        return state.replace(step=state.step + 1, key=key), metrics

    # ---- Hooks of the training

    def inputs(self, key: Key[Array, ""], batch: Batch) -> tuple[Images, Label]:
        """Returns the images in [-1, 1] as the model sees them, and their labels."""
        image = jnp.asarray(normalise(batch["image"]))
        if self.binarise:
            image = jnp.where(jax.random.bernoulli(key, (image + 1) / 2), 1.0, -1.0)
        return image, jnp.asarray(batch["label"]) if self.classes else None

    def penalty(self, state: VAEState, mean: Codes, scale: Codes, z: Codes) -> tuple[Scalar, Metrics]:
        """Returns what is added to the loss, and metrics, from the posteriors' means, scales and draws."""
        return self.regulariser(mean, scale, z) if self.regulariser else (jnp.float32(0), {})

    def loss(
        self, state: VAEState, key: Key[Array, ""], batch: Batch
    ) -> tuple[Scalar, tuple[dict[str, Any], Metrics, Any]]:
        """Returns the loss, and with it the networks' statistics after the step, the metrics, and the draws of the
        posteriors (None under the importance-weighted bound). It is differentiated by `state.params`."""
        if self.objective_samples > 1:
            return self._importance_weighted_loss(state, key, batch)
        terms, statistics = self._elbo(state, key, batch, train=True)
        log_likelihood, kl = terms.log_likelihood.mean(), terms.kl.mean()
        metrics = {"elbo": terms.elbo.mean(), "log_likelihood": log_likelihood, "kl": kl}
        charged = kl
        if self.capacity is not None:
            metrics["capacity"] = jnp.asarray(value_at(self.capacity, state.step), jnp.float32)
            charged = jnp.abs(kl - metrics["capacity"])
        value = value_at(self.beta, state.step) * charged - log_likelihood
        penalty, parts = self.penalty(state, terms.mean, terms.scale, terms.z)
        return value + penalty, (statistics, metrics | parts, terms.z)

    def descend(self, state: S, key: Key[Array, ""], batch: Batch) -> tuple[S, Metrics, Any]:
        """Takes one step of the optimiser along `loss`; returns the state after it, the metrics, and the draws."""
        (value, (statistics, metrics, z)), gradient = jax.value_and_grad(
            lambda params: self.loss(state.replace(params=params), key, batch), has_aux=True
        )(state.params)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics |= {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return state.replace(params=params, statistics=statistics, optimiser=optimiser), metrics, z

    def draw_codes(self, state: VAEState, key: Key[Array, ""], batch: Batch) -> Codes:
        """Returns one draw of the posterior of each example, with the encoder in training."""
        seen = self._encoded(state, key, batch, _dropout_keys(key)[0])
        return seen.mean + seen.scale * jax.random.normal(seen.key, seen.mean.shape)

    # ---- What a trained model can do

    def elbo(self, state: VAEState, key: Key[Array, ""], batch: Batch) -> ELBO:
        """Returns the evidence lower bound of each example, by one draw of its posterior (eq. 10 with L = 1)."""
        return self._elbo(state, key, batch, train=False)[0]

    def log_likelihood(
        self, state: VAEState, key: Key[Array, ""], batch: Batch, samples: int, chunk: int = 50
    ) -> Float[Array, "b"]:
        """Returns log (1/K) Σ p(x, z_k) / q(z_k | x) with K = `samples` draws of the posterior.

        It is a lower bound of log p(x) that tightens with K (Burda et al. 2016, eq. 8). `chunk` draws are in memory at
        a time. ValueError where `chunk` does not divide `samples`.
        """
        chunk = min(chunk, samples)
        if samples < 1 or samples % chunk:
            raise ValueError(f"samples={samples}: a positive multiple of chunk={chunk} is needed")
        seen = self._encoded(state, key, batch)

        def more(total, key):
            z = seen.mean + seen.scale * jax.random.normal(key, (chunk, *seen.mean.shape))
            log_likelihood, log_ratio, _ = self._at(state, z, seen)
            return jnp.logaddexp(total, jax.nn.logsumexp(log_likelihood - log_ratio, axis=0)), None

        start = jnp.full(len(seen.image), -jnp.inf)
        total, _ = jax.lax.scan(more, start, jax.random.split(seen.key, samples // chunk))
        return total - jnp.log(samples)

    def encode(self, state: VAEState, image: Array, label: Label = None) -> tuple[Codes, Codes]:
        """Returns mean and scale (standard deviation) of the posterior q(z | x)."""
        return self._posterior(state, normalise(image), label)[:2]

    def decode(self, state: VAEState, z: Codes, label: Label = None) -> Images:
        """Returns E[x | z], in [-1, 1]."""
        return self.likelihood.mean(self._decode(state, z, label)[0])

    def reconstruct(self, state: VAEState, image: Array, label: Label = None) -> Images:
        """Returns the decoded mean of the posterior."""
        return self.decode(state, self.encode(state, image, label)[0], label)

    def classify(
        self, state: VAEState, key: Key[Array, ""], image: Array, samples: int = 100, log_prior: Array | None = None
    ) -> Float[Array, "b k"]:
        """Returns log p(y | x) of each class by Bayes' rule, p(y | x) ∝ p(x | y) p(y).

        p(x | y) is estimated as by `log_likelihood`. Without `log_prior` (k,) the classes are equally likely.
        ValueError for an unconditional model.
        """
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
    ) -> Images:
        """Fills in the pixels where `mask` is 0, given those where it is 1; the mask broadcasts.

        Each of the steps draws a latent of the posterior and puts E[x | z] in (Rezende et al. 2014, appendix F).
        """
        start_key, key = jax.random.split(key)
        image = normalise(image)
        made = self.decode(state, jax.random.normal(start_key, (len(image), self.latent)), label)

        def again(made, key):
            mean, scale, _ = self._posterior(state, jnp.where(mask > 0, image, made), label)
            return self.decode(state, mean + scale * jax.random.normal(key, mean.shape), label), None

        made, _ = jax.lax.scan(again, made, jax.random.split(key, steps))
        return jnp.where(mask > 0, image, made)

    def sample(self, state: VAEState, key: Key[Array, ""], n: int, label: Label = None) -> Float[Array, "n ..."]:
        """Returns E[x | z] for n draws of the prior, in [-1, 1].

        A conditional model without labels goes through its classes in turn.
        """
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        return self.decode(state, jax.random.normal(key, (n, self.latent)), label)

    # ---- Parts

    def _elbo(self, state: VAEState, key: Key[Array, ""], batch: Batch, train: bool) -> tuple[ELBO, dict[str, Any]]:
        """The bound, and the networks' statistics after it."""
        encoder_key, decoder_key = _dropout_keys(key) if train else (None, None)
        image, label, mean, scale, key, encoder = self._encoded(state, key, batch, encoder_key)
        z = mean + scale * jax.random.normal(key, mean.shape)
        parameters, decoder = self._decode(state, z, label, decoder_key)
        log_likelihood = self.likelihood.log_prob(parameters, image)
        kl = kl_to_standard_normal(mean, scale)
        terms = ELBO(log_likelihood - kl.sum(-1), log_likelihood, kl, mean, scale, z)
        return terms, {"encoder": encoder, "decoder": decoder}

    def _importance_weighted_loss(
        self, state: VAEState, key: Key[Array, ""], batch: Batch
    ) -> tuple[Scalar, tuple[dict[str, Any], Metrics, None]]:
        """The negative bound -log (1/k) Σ p(x | z_i) (p(z_i) / q(z_i | x))^β.

        The decoder's gradient is the sum of those of the log weights, each times its normalised weight w_i (Burda et
        al. 2016, eq. 14). The encoder's is doubly reparameterised (Tucker et al. 2019, eq. 8): the same in the mean
        with less noise. It flows through the draws alone, times w_i again, or with β ≠ 1 times 1 - β (1 - w_i).
        """
        beta = value_at(self.beta, state.step)
        encoder_key, decoder_key = _dropout_keys(key)
        seen = self._encoded(state, key, batch, encoder_key)
        z = seen.mean + seen.scale * jax.random.normal(seen.key, (self.objective_samples, *seen.mean.shape))
        mean, scale = jax.lax.stop_gradient((seen.mean, seen.scale))

        def log_weights(params, z, key):
            log_likelihood, log_ratio, statistics = self._at(
                state.replace(params=params), z, seen._replace(mean=mean, scale=scale), key
            )
            return log_likelihood - beta * log_ratio, log_likelihood, statistics

        fixed, *_ = log_weights(*jax.lax.stop_gradient((state.params, z)), jax.random.clone(decoder_key))
        factor = 1 - beta * (1 - jax.nn.softmax(fixed, axis=0)[..., None])
        z = factor * z + jax.lax.stop_gradient((1 - factor) * z)  # z itself, with `factor` times its gradient
        log_weight, log_likelihood, decoder = log_weights(state.params, z, decoder_key)
        bound = (jax.nn.logsumexp(log_weight, axis=0) - jnp.log(self.objective_samples)).mean()
        log_likelihood, kl = log_likelihood.mean(), kl_to_standard_normal(seen.mean, seen.scale).sum(-1).mean()
        metrics = {"bound": bound, "elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}
        return -bound, ({"encoder": seen.statistics, "decoder": decoder}, metrics, None)

    def _encoded(
        self, state: VAEState, key: Key[Array, ""], batch: Batch, dropout: Key[Array, ""] | None = None
    ) -> _Encoded:
        """The batch as it is seen, and its posteriors; in training where a key for dropout is given."""
        binarise_key, posterior_key = jax.random.split(key)
        image, label = self.inputs(binarise_key, batch)
        mean, scale, statistics = self._posterior(state, image, label, dropout)
        return _Encoded(image, label, mean, scale, posterior_key, statistics)

    def _at(
        self, state: VAEState, z: Float[Array, "k b z"], seen: _Encoded, dropout: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "k b"], Float[Array, "k b"], dict[str, Any]]:
        """log p(x | z), log q(z | x) - log p(z), and the decoder's statistics after it."""
        labels = None if seen.label is None else jnp.tile(seen.label, len(z))
        parameters, statistics = self._decode(state, z.reshape(-1, self.latent), labels, dropout)
        parameters = parameters.reshape(*z.shape[:2], *parameters.shape[1:])
        log_posterior = normal_log_prob(z, seen.mean, seen.scale).sum(-1)
        log_ratio = log_posterior - standard_normal_log_prob(z)
        return self.likelihood.log_prob(parameters, seen.image), log_ratio, statistics

    def _posterior(
        self, state: VAEState, image: Images, label: Label, dropout: Key[Array, ""] | None = None
    ) -> tuple[Codes, Codes, dict[str, Any]]:
        (mean, log_variance), statistics = apply_network(
            self.encoder, state.variables("encoder"), image, label, key=dropout
        )
        return mean, jnp.exp(0.5 * log_variance), statistics

    def _decode(
        self, state: VAEState, z: Codes, label: Label, dropout: Key[Array, ""] | None = None
    ) -> tuple[Images, dict[str, Any]]:
        return apply_network(self.decoder, state.variables("decoder"), z, label, key=dropout)


def _dropout_keys(key: Key[Array, ""]) -> tuple[Key[Array, ""], Key[Array, ""]]:
    """The keys of encoder and decoder. `_encoded` splits the key itself in two, which takes the numbers 0 and 1."""
    return jax.random.fold_in(key, 2), jax.random.fold_in(key, 3)
