"""Denoising diffusion: Ho et al. 2020 (arXiv:2006.11239), with the objectives that followed, and flow matching, which
is the same model with straight paths.

    process   = DiscreteProcess(schedules.Cosine(), timesteps=1000)
    diffusion = Diffusion((28, 28, 1), DiffusionUNet(width=32), optax.adam(2e-4), process, predictions.velocity)
    state = diffusion.init(jax.random.key(0), batch)
    step = jax.jit(diffusion.step, donate_argnums=0)
    state, metrics = step(state, batch)
    images = diffusion.sample(state, jax.random.key(1), 64, sampler=DPMSolver(steps=20))

The parts come from `jaxgen.diffusion`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.diffusion import likelihood, predictions, variances, weightings
from jaxgen.diffusion.denoiser import Denoiser, Reverse
from jaxgen.diffusion.likelihood import Bound
from jaxgen.diffusion.predictions import Prediction
from jaxgen.diffusion.process import DiscreteProcess, broadcast
from jaxgen.diffusion.samplers import Ancestral, Sampler
from jaxgen.diffusion.sampling import Progress, sample_path
from jaxgen.diffusion.variances import Variance
from jaxgen.diffusion.weightings import Terms, Weighting
from jaxgen.models.average import moving_average
from jaxgen.networks.calls import apply_network, check_network, init_network, output_shape
from jaxgen.pixels import normalise
from jaxgen.sharding import along_data
from jaxgen.types import Batch, Label, Metrics

__all__ = ["Diffusion", "DiffusionState"]

BOUND_WEIGHT = 1e-3  # of the bound that trains learned variances (Nichol & Dhariwal 2021, eq. 16)
DDPM = DiscreteProcess()
ANCESTRAL = Ancestral()


class DiffusionState(struct.PyTreeNode):
    """Everything that going on needs."""

    step: Any
    """The number of steps taken, an int32 scalar; Any because tree transformations put other leaves here."""
    key: Any
    """The key of the next step."""
    params: dict[str, Any]
    """The network's parameters."""
    optimiser: optax.OptState
    """The optimiser's state."""
    average: dict[str, Any] | None
    """The moving average of the parameters, where there is one."""


@dataclass(frozen=True)
class Diffusion:
    """A process that turns data into noise, and a network that finds x_0 in x_t."""

    shape: Sequence[int]
    """The shape of an example: (h, w, c), or (features,) for points."""
    network: nn.Module
    """(x_t, time (b,), label, train) -> (b, ..., c), or (b, ..., 2 c) for learned variances. The time is t - 1 in units
    in which T is 1,000; the label `classes` stands for none."""
    optimiser: optax.GradientTransformation
    """The optimiser of the network."""
    process: DiscreteProcess = DDPM
    """The schedule and the number of timesteps T."""
    prediction: Prediction = predictions.noise
    """What the network predicts: one of `jaxgen.diffusion.predictions`, or your own."""
    weighting: Weighting = weightings.simple
    """How the losses at different noise levels are weighed: by one of `jaxgen.diffusion.weightings`, or your own."""
    variance: Variance = variances.large
    """The variance of p(x_s | x_t): one of `jaxgen.diffusion.variances`, or your own."""
    classes: int = 0
    """Labels 0 to classes - 1 condition the network; 0: it is unconditional."""
    label_dropout: float = 0.1
    """The share of examples whose label is hidden in training, for classifier-free guidance."""
    ema: float = 0.0
    """The decay of the `moving_average` of the parameters that sampling and likelihoods use; 0: none."""
    clip: bool = True
    """Whether images predicted in sampling are kept within [-1, 1]; data beyond need False."""

    def __post_init__(self) -> None:
        check_network("network", self.network)

    # ---- Training --------------------------------------------------------------------------------------------

    def init(self, key: Key[Array, ""], batch: Batch) -> DiffusionState:
        """Returns the state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where the images or the network's output are not of `shape`.
        """
        key, network_key = jax.random.split(key)
        shape = tuple(batch["image"].shape[1:])
        if shape != tuple(self.shape):
            raise ValueError(f"shape={tuple(self.shape)}, but the data's images are {shape}")
        inputs = jnp.zeros((1, *shape)), jnp.zeros(1), jnp.zeros(1, jnp.int32) if self.classes else None
        params, statistics = init_network(self.network, network_key, *inputs)
        if statistics:
            raise ValueError(
                f"network: collections {sorted(['params', *statistics])}; a diffusion model's has params only"
            )
        made = output_shape(self.network, {"params": params}, *inputs)
        wanted = (*shape[:-1], shape[-1] * self.variance.outputs)
        if made != wanted:
            variance = type(self.variance).__name__
            raise ValueError(f"network makes {made}, but images of {shape} with variance {variance} need {wanted}")
        average = jax.tree.map(jnp.copy, params) if self.ema else None
        return DiffusionState(jnp.int32(0), key, params, self.optimiser.init(params), average)

    def step(self, state: DiffusionState, batch: Batch) -> tuple[DiffusionState, Metrics]:
        """Takes one step of Algorithm 1, each example at a timestep of its own. `loss` is per value."""
        key, step_key = jax.random.split(state.key)
        gradient_of = jax.value_and_grad(lambda params: self._loss(params, step_key, batch), has_aux=True)
        (loss, metrics), gradient = gradient_of(state.params)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params: Any = optax.apply_updates(state.params, updates)
        average = moving_average(state.average, params, self.ema, state.step) if self.ema else None
        metrics |= {"loss": loss, "gradient_norm": optax.tree.norm(gradient)}
        return DiffusionState(state.step + 1, key, params, optimiser, average), metrics

    def _loss(self, params: dict[str, Any], key: Key[Array, ""], batch: Batch) -> tuple[Array, Metrics]:
        """The loss, and its parts where it has several."""
        time_key, noise_key, label_key, dropout_key = jax.random.split(key, 4)
        image, label, discrete = self._inputs(batch)
        t = along_data(self.process.draw_timesteps(time_key, len(image)))
        noise = along_data(jax.random.normal(noise_key, image.shape))
        if label is not None:
            hidden = jax.random.bernoulli(label_key, self.label_dropout, (len(image),))
            label = jnp.where(hidden, self.classes, label)
        marginal = broadcast(self.process.marginal(t), image.ndim)
        x = marginal.alpha * image + marginal.sigma * noise
        output, v = self._apply(params, x, t, label, dropout_key)
        error = jnp.square(output - self.prediction.target(image, noise, marginal))

        def bound(output: Array) -> Array:
            between = broadcast(self.process.step_back(t), image.ndim)
            widths = self.variance.log_variance(between, v), self.variance.scale(between, v)
            found = Reverse(self.prediction.image(output, x, marginal), *widths)
            return self.process.timesteps * likelihood.bound_term(image, x, t, found, between, discrete).mean()

        loss = self.weighting(Terms(error, marginal, self.prediction, lambda: bound(output)))
        if self.variance.outputs == 1 or self.weighting is weightings.bound:
            return loss, {}
        term = bound(jax.lax.stop_gradient(output))
        return loss + BOUND_WEIGHT * term, {"prediction_loss": loss, "bound_loss": term}

    # ---- Sampling --------------------------------------------------------------------------------------------

    def sample(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        n: int,
        label: Label = None,
        *,
        sampler: Sampler = ANCESTRAL,
        guidance: float | Array = 0.0,
        progress: Progress | None = None,
    ) -> Float[Array, "n ..."]:
        """Draws n examples, images in [-1, 1], from noise. A conditional model without labels goes through its classes
        in turn.

        `sampler` is one of `jaxgen.diffusion` or your own. `guidance` is w of classifier-free guidance, (1 + w) f(x,
        label) - w f(x) (Ho & Salimans 2022, eq. 6); ValueError where no labels were hidden in training. `progress` is
        called on the host after each step with its number, while the loop goes on.
        """
        return self.trajectory(state, key, n, label, 1, sampler=sampler, guidance=guidance, progress=progress)[-1]

    def trajectory(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        n: int,
        label: Label = None,
        frames: int = 8,
        *,
        sampler: Sampler = ANCESTRAL,
        guidance: float | Array = 0.0,
        progress: Progress | None = None,
    ) -> Float[Array, "frames n ..."]:
        """Draws n examples as `sample` does and returns what they look like on their way, at `frames` moments (at most
        one a step), evenly spaced; the last are the samples."""
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        latent_key, key = jax.random.split(key)
        latent = along_data(jax.random.normal(latent_key, (n, *self.shape)))
        denoiser = self.denoiser(state, label, guidance=guidance)
        return sample_path(sampler, denoiser, latent, key, frames=frames, progress=progress)

    def decode(
        self,
        state: DiffusionState,
        latent: Float[Array, "b ..."],
        label: Label = None,
        key: Key[Array, ""] | None = None,
        *,
        sampler: Sampler = ANCESTRAL,
        guidance: float | Array = 0.0,
        progress: Progress | None = None,
    ) -> Float[Array, "b ..."]:
        """Returns the examples to which noise of N(0, I) leads; samplers that draw more noise need a key for it."""
        denoiser = self.denoiser(state, label, guidance=guidance)
        return sample_path(sampler, denoiser, latent, key, progress=progress)[-1]

    def edit(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        image: Array,
        strength: float,
        label: Label = None,
        *,
        sampler: Sampler = ANCESTRAL,
        guidance: float | Array = 0.0,
        progress: Progress | None = None,
    ) -> Float[Array, "b ..."]:
        """Adds noise to images (uint8, or float in [-1, 1]) up to timestep `strength` T, and denoises them (SDEdit,
        Meng et al. 2022): near 0 the images stay, at 1 nothing is left of them."""
        if not 0 < strength <= 1:
            raise ValueError(f"strength={strength}: a number above 0, at most 1, is needed")
        start = max(1, round(strength * self.process.timesteps))
        noise_key, key = jax.random.split(key)
        alpha, sigma = self.process.marginal(start)
        noisy = alpha * normalise(image) + sigma * jax.random.normal(noise_key, image.shape)
        denoiser = self.denoiser(state, label, guidance=guidance)
        return sample_path(sampler, denoiser, noisy, key, start=start, progress=progress)[-1]

    def inpaint(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        image: Array,
        mask: Float[Array, "..."],
        label: Label = None,
        *,
        sampler: Sampler = ANCESTRAL,
        guidance: float | Array = 0.0,
        progress: Progress | None = None,
    ) -> Float[Array, "b ..."]:
        """Makes the pixels of images anew where `mask`, which broadcasts, is 0, to go with those where it is 1
        (Lugmayr et al. 2022, eq. 8, without resampling)."""
        latent_key, key = jax.random.split(key)
        latent = jax.random.normal(latent_key, image.shape)
        denoiser = self.denoiser(state, label, guidance=guidance)
        known = jnp.asarray(normalise(image)), mask
        return sample_path(sampler, denoiser, latent, key, known=known, progress=progress)[-1]

    def denoiser(
        self, state: DiffusionState, label: Label = None, *, guidance: float | Array = 0.0, clip: bool | None = None
    ) -> Denoiser:
        """Returns the function from x_t and t to x_0 by which the model samples; `clip` None: as the model's.

        ValueError for guidance where no labels were hidden in training.
        """
        unguided = isinstance(guidance, int | float) and guidance == 0
        if not unguided and (label is None or not (self.classes and self.label_dropout)):
            raise ValueError(
                f"guidance={guidance}: labels are needed, of which some are hidden in training (classes="
                f"{self.classes}, label_dropout={self.label_dropout})"
            )
        params = state.params if state.average is None else state.average

        def predict(x: Array, t: Array) -> tuple[Array, Array | None]:
            output, v = self._apply(params, x, t, label)
            if not unguided and label is not None:
                other, _ = self._apply(params, x, t, jnp.full_like(label, self.classes))
                output += guidance * (output - other)
            return output, v

        return Denoiser(self.process, predict, self.prediction, self.variance, self.clip if clip is None else clip)

    # ---- Likelihood ------------------------------------------------------------------------------------------

    def variational_bound(
        self, state: DiffusionState, key: Key[Array, ""], batch: Batch, evaluations: int | None = None
    ) -> Bound:
        """Returns the terms of -log p(x) ≤ L_T + Σ L_t + L_0 in nats; `evaluations` timesteps of each example stand for
        the T - 1 of the sum (None: all).

        For uint8 images the probability of 256 levels counts, for floats the density.
        """
        image, label, discrete = self._inputs(batch)
        denoiser = self.denoiser(state, label, clip=False)
        return likelihood.variational_bound(denoiser, key, image, evaluations, discrete=discrete)

    def bits_per_dim(
        self, state: DiffusionState, key: Key[Array, ""], batch: Batch, evaluations: int | None = None
    ) -> Float[Array, "b"]:
        """Returns the variational bound in bits per value."""
        prior, diffusion, decoder = self.variational_bound(state, key, batch, evaluations)
        return self._bits(prior + diffusion + decoder)

    def ode_bits_per_dim(
        self, state: DiffusionState, key: Key[Array, ""], batch: Batch, steps: int = 100
    ) -> Float[Array, "b"]:
        """Returns an upper bound in bits per value by the likelihood of the probability-flow ODE."""
        image, label, discrete = self._inputs(batch)
        denoiser = self.denoiser(state, label, clip=False)
        return self._bits(likelihood.ode_bound(denoiser, key, image, steps, discrete=discrete))

    def log_prob(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        x: Float[Array, "b ..."],
        label: Label = None,
        steps: int = 100,
    ) -> Float[Array, "b"]:
        """Returns log p(x) in nats by the probability-flow ODE, for x as at the first timestep, where σ is small."""
        return likelihood.ode_log_prob(self.denoiser(state, label, clip=False), key, x, steps)

    def _bits(self, nats: Float[Array, "b"]) -> Float[Array, "b"]:
        return nats / (math.log(2) * math.prod(self.shape))

    # ---- The network -----------------------------------------------------------------------------------------

    def _inputs(self, batch: Batch) -> tuple[Array, Label, bool]:
        """Images in [-1, 1], their labels, and whether they have 256 levels."""
        discrete = not jnp.issubdtype(batch["image"].dtype, jnp.floating)
        label = jnp.asarray(batch["label"]) if self.classes else None
        return jnp.asarray(normalise(jnp.asarray(batch["image"]))), label, discrete

    def _apply(
        self, params: dict[str, Any], x: Array, t: Array, label: Label, key: Key[Array, ""] | None = None
    ) -> tuple[Array, Array | None]:
        """The prediction, and v of learned variances; in training where a key for dropout is given."""
        time = jnp.broadcast_to(self.process.conditioning(t), len(x))
        output, _ = apply_network(self.network, {"params": params}, x, time, label, key=key)
        return self.variance.split(output)
