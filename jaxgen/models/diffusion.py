"""Denoising diffusion: Ho et al. 2020 (arXiv:2006.11239), with the samplers and objectives that followed, and flow
matching, which is the same model with straight paths.

diffusion = Diffusion((28, 28, 1), DiffusionUNet(width=32), optax.adam(2e-4))
state = diffusion.init(jax.random.key(0), batch)
step = jax.jit(diffusion.step, donate_argnums=0)
state, metrics = step(state, batch)
fast = dataclasses.replace(diffusion, sampler="dpm_solver", sampling_steps=20)
images = fast.sample(state, jax.random.key(1), 64)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.losses.diffusion import (
    PREDICTIONS,
    WEIGHTINGS,
    Transition,
    discretised_gaussian_log_prob,
    gaussian_kl,
    noise_schedule,
    transition,
)
from jaxgen.models.average import moving_average
from jaxgen.pixels import normalise
from jaxgen.samplers import SAMPLERS, coefficients, visited
from jaxgen.sharding import along_data
from jaxgen.types import Batch, Label, Metrics

__all__ = ["VARIANCES", "Bound", "Diffusion", "DiffusionState"]

VARIANCES = ("small", "large", "learned")
BOUND_WEIGHT = 1e-3  # of the bound that trains learned variances (Nichol & Dhariwal 2021, eq. 16)


@struct.dataclass
class DiffusionState:
    """Everything that going on needs; `average` is the moving average of the parameters, where there is one."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    params: dict
    optimiser: optax.OptState
    average: dict | None


class Bound(NamedTuple):
    """The terms of the negative variational bound, in nats per example (Ho et al. 2020, eq. 5): L_T, the sum of L_1 to
    L_{T-1}, and L_0."""

    prior: Float[Array, "b"]
    diffusion: Float[Array, "b"]
    decoder: Float[Array, "b"]


@dataclass(frozen=True)
class Diffusion:
    """q(x_t | x_0) = N(α_t x_0, σ_t² I) for t = 1 … T, and a network that finds x_0 in x_t.

    shape:          of an example: (h, w, c), or (features,) of points
    network:        (x_t, time (b,), label, train) -> (b, ..., c), with learned variances (b, ..., 2 c); time is t - 1
                    in units in which T is 1,000; label `classes` stands for none
    timesteps:      T
    schedule:       of α and σ: `linear`, `cosine`, `sigmoid`, or `rectified` (flow matching)
    prediction:     what the network predicts: `noise`, `image`, `velocity`, or `flow`, ε - x_0
    weighting:      of the loss: `simple`, `snr`, `min_snr`, or `bound`; see `jaxgen.losses.diffusion`
    variance:       of p(x_{t-1} | x_t): that of q(x_{t-1} | x_t, x_0), `small`; β_t, `large`; or between, `learned`
                    (Nichol & Dhariwal 2021, eq. 15)
    classes:        labels 0 … classes - 1 condition the network; 0: unconditional
    label_dropout:  the share of examples whose label is hidden in training, for classifier-free guidance
    ema:            decay of the `moving_average` of the parameters that sampling and likelihoods use; 0: none
    sampler:        `ancestral` (DDPM); `ddim` (Song et al. 2021a), of a rectified flow Euler's method; `dpm_solver`,
                    DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); `heun`, of the probability-flow ODE dx̃ = ε dσ̃ with
                    x̃ = x / α and σ̃ = σ / α (Karras et al. 2022)
    sampling_steps: of the T timesteps so many are visited; None: all
    eta:            η of DDIM: 0 is deterministic, 1 is ancestral sampling with small variance
    guidance:       w of classifier-free guidance, (1 + w) f(x, label) - w f(x) (Ho & Salimans 2022, eq. 6)
    clip:           keep predicted images within [-1, 1] while sampling
    """

    shape: Sequence[int]
    network: nn.Module
    optimiser: optax.GradientTransformation
    timesteps: int = 1000
    schedule: str = "linear"
    prediction: str = "noise"
    weighting: str = "simple"
    variance: str = "large"
    classes: int = 0
    label_dropout: float = 0.1
    ema: float = 0.0
    sampler: str = "ancestral"
    sampling_steps: int | None = None
    eta: float = 0.0
    guidance: float | Array = 0.0
    clip: bool = True

    def __post_init__(self):
        choices = {"prediction": PREDICTIONS, "weighting": WEIGHTINGS, "variance": VARIANCES, "sampler": SAMPLERS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r}: choose from {', '.join(allowed)}")
        noise_schedule(self.schedule, self.timesteps)  # or ValueError
        if self.sampling_steps is not None and not 1 <= self.sampling_steps <= self.timesteps:
            raise ValueError(f"sampling_steps={self.sampling_steps}: 1 to the {self.timesteps} timesteps are allowed")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta={self.eta}: 0 to 1 is allowed")
        if self._guided and not (self.classes and self.label_dropout):
            raise ValueError(
                f"guidance={self.guidance}: labels are needed, of which some are hidden in training (classes="
                f"{self.classes}, label_dropout={self.label_dropout})"
            )

    @property
    def _guided(self) -> bool:
        return not (isinstance(self.guidance, int | float) and self.guidance == 0)

    # ---- Training --------------------------------------------------------------------------------------------

    def init(self, key: Key[Array, ""], batch: Batch) -> DiffusionState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where the images or the network's output are not of `shape`.
        """
        key, network_key = jax.random.split(key)
        shape = tuple(batch["image"].shape[1:])
        if shape != tuple(self.shape):
            raise ValueError(f"shape={tuple(self.shape)}, but the data's images are {shape}")
        inputs = jnp.zeros((1, *shape)), jnp.zeros(1), jnp.zeros(1, jnp.int32) if self.classes else None
        variables = self.network.init(network_key, *inputs, train=False)
        if set(variables) != {"params"}:
            raise ValueError(f"network: collections {sorted(variables)}; a diffusion model's has params only")
        made = jax.eval_shape(lambda v: self.network.apply(v, *inputs, train=False), variables).shape[1:]
        wanted = (*shape[:-1], shape[-1] * (2 if self.variance == "learned" else 1))
        if made != wanted:
            raise ValueError(f"network makes {made}, but images of {shape} with variance {self.variance} need {wanted}")
        params = variables["params"]
        average = jax.tree.map(jnp.copy, params) if self.ema else None
        return DiffusionState(jnp.int32(0), key, params, self.optimiser.init(params), average)

    def step(self, state: DiffusionState, batch: Batch) -> tuple[DiffusionState, Metrics]:
        """One step of Algorithm 1: each example at a timestep of its own. `loss` is per value."""
        key, step_key = jax.random.split(state.key)
        gradient_of = jax.value_and_grad(lambda params: self._loss(params, step_key, batch), has_aux=True)
        (loss, metrics), gradient = gradient_of(state.params)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        average = moving_average(state.average, params, self.ema, state.step) if self.ema else None
        metrics |= {"loss": loss, "gradient_norm": optax.tree.norm(gradient)}
        return DiffusionState(state.step + 1, key, params, optimiser, average), metrics

    def _loss(self, params: dict, key: Key[Array, ""], batch: Batch) -> tuple[Array, Metrics]:
        """The weighted error of the prediction, or the bound; metrics hold its parts where it has several."""
        time_key, noise_key, label_key, dropout_key = jax.random.split(key, 4)
        image, label = self._inputs(batch)
        t = along_data(jax.random.randint(time_key, image.shape[:1], 1, self.timesteps + 1))
        noise = along_data(jax.random.normal(noise_key, image.shape))
        if self.classes:
            hidden = jax.random.bernoulli(label_key, self.label_dropout, label.shape)
            label = jnp.where(hidden, self.classes, label)
        alpha, sigma = self._alpha_sigma(t, image.ndim)
        x = alpha * image + sigma * noise
        output, interpolation = self._apply(params, x, t, label, rngs={"dropout": dropout_key}, train=True)
        a, b = PREDICTIONS[self.prediction](alpha, sigma)
        error = jnp.square(output - (a * noise - b * image))

        def bound(output):
            found = self._image(output, x, alpha, sigma)
            discrete = not jnp.issubdtype(batch["image"].dtype, jnp.floating)
            return self.timesteps * self._bound_term(image, x, t, found, interpolation, discrete).mean()

        if self.weighting == "bound":
            return bound(output), {}
        if weight := WEIGHTINGS[self.weighting]:
            error *= weight(jnp.square(alpha / sigma)) * jnp.square(sigma / (a * alpha + b * sigma))
        loss = error.mean()
        if self.variance != "learned":
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
        progress: Callable[[int], None] | None = None,
    ) -> Float[Array, "n ..."]:
        """n examples, images in [-1, 1], from noise. A conditional model without labels goes through its classes in
        turn. `progress` is called on the host after each step with its number, while the loop goes on."""
        return self.trajectory(state, key, n, label, 1, progress)[-1]

    def trajectory(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        n: int,
        label: Label = None,
        frames: int = 8,
        progress: Callable[[int], None] | None = None,
    ) -> Float[Array, "frames n ..."]:
        """What n examples look like on their way, at so many moments (at most one a step), evenly spaced; the last are
        the samples."""
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        latent_key, key = jax.random.split(key)
        latent = along_data(jax.random.normal(latent_key, (n, *self.shape)))
        return self._denoise(state, key, latent, label, frames=frames, progress=progress)

    def decode(
        self,
        state: DiffusionState,
        latent: Float[Array, "b ..."],
        label: Label = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "b ..."]:
        """The examples to which noise of N(0, I) leads; the samplers that draw more noise need a key for it."""
        return self._denoise(state, key, latent, label)[-1]

    def edit(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        image: Array,
        strength: float,
        label: Label = None,
    ) -> Float[Array, "b ..."]:
        """Images (uint8, or float in [-1, 1]) noised up to timestep `strength` T, and denoised: 0 keeps them, 1 forgets
        them (SDEdit, Meng et al. 2022)."""
        if not 0 < strength <= 1:
            raise ValueError(f"strength={strength}: a number above 0, at most 1, is needed")
        start = max(1, round(strength * self.timesteps))
        noise_key, key = jax.random.split(key)
        alpha, sigma = self._schedule
        noise = jax.random.normal(noise_key, image.shape)
        noisy = alpha[start] * normalise(image) + sigma[start] * noise
        return self._denoise(state, key, noisy, label, start)[-1]

    def inpaint(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        image: Array,
        mask: Float[Array, "..."],
        label: Label = None,
    ) -> Float[Array, "b ..."]:
        """Images whose pixels where `mask` is 0 are made anew, to go with those where it is 1: at each step the known
        ones are put in, as noisy as the step is (Lugmayr et al. 2022, eq. 8, without resampling). `mask` broadcasts."""
        latent_key, key = jax.random.split(key)
        latent = jax.random.normal(latent_key, image.shape)
        return self._denoise(state, key, latent, label, known=(normalise(image), mask))[-1]

    def _denoise(
        self,
        state: DiffusionState,
        key: Key[Array, ""] | None,
        x: Array,
        label: Label,
        start: int | None = None,
        known: tuple[Array, Array] | None = None,
        frames: int = 1,
        progress: Callable[[int], None] | None = None,
    ) -> Float[Array, "frames b ..."]:
        """From timestep to timestep by the coefficients of the sampler (`jaxgen.samplers`)."""
        start = self.timesteps if start is None else start
        count = max(1, round((self.sampling_steps or self.timesteps) * start / self.timesteps))
        t = visited(self.sampler, self._schedule, start, count)[::-1]
        s = np.append(t[1:], 0)
        eta = {"ancestral": 1.0, "ddim": self.eta}.get(self.sampler, 0.0)
        alpha, sigma = self._schedule
        numbers = (*coefficients(self.sampler, self._schedule, t, s, eta), alpha[s], sigma[s])
        between = transition(self._schedule, t, s)
        noisy = bool(eta) or known is not None
        if noisy and key is None:
            raise ValueError(f"sampler {self.sampler} with eta={eta}: a key is needed for its noise")
        keys = jax.random.split(key, len(t)) if noisy else None
        frames = min(frames, len(t))
        slot = np.arange(len(t)) * frames // len(t)
        inputs = (np.arange(len(t)), t, s, slot, keys, jnp.asarray(np.stack(numbers, 1), x.dtype), between)

        def one(carry, inputs):
            x, previous, history = carry
            i, t, s, slot, key, (a, b, c, e, alpha, sigma), between = inputs
            image, interpolation = self._denoised(state, x, t, label)
            after = a * x + b * (image + e * (image - previous))
            if self.sampler == "heun":
                after = jax.lax.cond(s > 0, self._corrected, lambda *args: after, state, x, after, image, t, s, label)
            if noisy:
                noise_key, known_key = jax.random.split(key)
            if eta:
                if self.sampler == "ancestral" and self.variance != "small":
                    log_variance = self._log_variance(between, interpolation)
                    c = jnp.where(s > 0, jnp.exp(0.5 * log_variance), 0)
                after += c * jax.random.normal(noise_key, x.shape)
            if known is not None:
                image_known, mask = known
                after = jnp.where(mask > 0, alpha * image_known + sigma * jax.random.normal(known_key, x.shape), after)
            if progress is not None:
                jax.debug.callback(progress, i + 1)
            return (after, image, history.at[slot].set(after)), None

        history = jnp.zeros((frames, *x.shape), x.dtype)
        return jax.lax.scan(one, (x, jnp.zeros_like(x), history), inputs)[0][2]

    def _corrected(self, state, x, after, image, t, s, label) -> Array:
        """Heun's second half: the step again, with the mean of the slopes at its two ends."""
        alpha, sigma = self._alpha_sigma(t, 0)
        new_alpha, new_sigma = self._alpha_sigma(s, 0)
        first = (x - alpha * image) / sigma
        second = (after - new_alpha * self._denoised(state, after, s, label)[0]) / new_sigma
        change = new_sigma / new_alpha - sigma / alpha
        return new_alpha * (x / alpha + change * (first + second) / 2)

    # ---- Likelihood ------------------------------------------------------------------------------------------

    def variational_bound(
        self, state: DiffusionState, key: Key[Array, ""], batch: Batch, evaluations: int | None = None
    ) -> Bound:
        """The terms of -log p(x) ≤ L_T + Σ L_t + L_0, one draw of noise each; of T - 1 timesteps in the sum as many as
        `evaluations`, stratified and drawn for each example, stand for all (None: all).

        Images are of 256 levels; of floats the density counts.
        """
        image, label = self._inputs(batch)
        discrete = not jnp.issubdtype(batch["image"].dtype, jnp.floating)
        every = self.timesteps - 1
        count = every if evaluations is None else min(evaluations, every)
        time_key, noise_key, decoder_key = jax.random.split(key, 3)

        def term(t, key):
            alpha, sigma = self._alpha_sigma(t, image.ndim)
            x = alpha * image + sigma * jax.random.normal(key, image.shape)
            output, interpolation = self._apply(self._averaged(state), x, t, label)
            found = self._image(output, x, alpha, sigma)
            return self._bound_term(image, x, t, found, interpolation, discrete).reshape(len(image), -1).sum(1)

        if count == 0:
            total = jnp.zeros(len(image))
        else:
            shift = jax.random.uniform(time_key, (count, len(image))) if evaluations is not None else 0.5
            strata = (jnp.arange(count)[:, None] + shift) / count * every
            times = jnp.broadcast_to(strata.astype(jnp.int32), (count, len(image))).clip(0, every - 1) + 2
            terms = jax.lax.map(lambda inputs: term(*inputs), (times, jax.random.split(noise_key, count)))
            total = terms.mean(0) * every
        first = term(jnp.ones(len(image), jnp.int32), decoder_key)
        alpha, sigma = (x[-1] for x in self._schedule)
        prior = gaussian_kl(alpha * image, 2 * math.log(sigma), 0.0, self._log_prior_variance)
        return Bound(prior.reshape(len(image), -1).sum(1), total, first)

    def bits_per_dim(
        self, state: DiffusionState, key: Key[Array, ""], batch: Batch, evaluations: int | None = None
    ) -> Float[Array, "b"]:
        """The variational bound in bits per value."""
        return sum(self.variational_bound(state, key, batch, evaluations)) / (math.log(2) * math.prod(self.shape))

    def ode_bits_per_dim(
        self, state: DiffusionState, key: Key[Array, ""], batch: Batch, steps: int = 100
    ) -> Float[Array, "b"]:
        """An upper bound in bits per value by the likelihood of the probability-flow ODE: -log p(x_0) ≤
        E[log q(x_1 | x_0) - log p_ODE(x_1) - log p(x_0 | x_1)] over x_1, x_0 with the noise of the first timestep."""
        image, label = self._inputs(batch)
        noise_key, key = jax.random.split(key)
        t = jnp.ones(len(image), jnp.int32)
        alpha, sigma = self._alpha_sigma(t, image.ndim)
        noise = jax.random.normal(noise_key, image.shape)
        x = alpha * image + sigma * noise
        output, interpolation = self._apply(self._averaged(state), x, t, label)
        discrete = not jnp.issubdtype(batch["image"].dtype, jnp.floating)
        decoder = self._bound_term(image, x, t, self._image(output, x, alpha, sigma), interpolation, discrete)
        entropy = -0.5 * jnp.square(noise) - 0.5 * math.log(2 * math.pi) - jnp.log(sigma)
        nats = (entropy + decoder).reshape(len(image), -1).sum(1) - self.log_prob(state, key, x, label, steps)
        return nats / (math.log(2) * math.prod(self.shape))

    def log_prob(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        x: Float[Array, "b ..."],
        label: Label = None,
        steps: int = 100,
    ) -> Float[Array, "b"]:
        """log p(x) in nats by the probability-flow ODE (Song et al. 2021b, section 4.3), of x as at the first timestep,
        where σ is small: the log density of the noise it leads to, and the divergence on the way, by Heun's method.

        The divergence is that along one random direction of ±1, an unbiased estimate (Hutchinson), exact for points.
        """
        times = visited("heun", self._schedule, self.timesteps, steps + 1)
        alpha, sigma = self._schedule
        directions = jax.random.rademacher(key, (1, *x.shape), x.dtype)
        if len(self.shape) == 1:
            directions = jnp.broadcast_to(jnp.eye(*self.shape)[:, None], (*self.shape, *x.shape))

        def image_of(scaled, t):
            """x_0 found from x̃ = x / α, and its divergence with respect to x̃."""
            alpha, _ = self._alpha_sigma(t, 0)
            image, along = jax.linearize(lambda x: self._denoised(state, alpha * x, t, label, plain=True)[0], scaled)
            divergence = sum((direction * along(direction)).reshape(len(x), -1).sum(1) for direction in directions)
            return image, divergence

        def one(carry, inputs):
            # With σ̃ = σ / α, dx̃ = (x̃ - x_0) d log σ̃: what x̃ itself adds to the divergence is known.
            scaled, total = carry
            t, s, ratio = inputs
            first, first_divergence = image_of(scaled, t)
            slope = scaled - first
            second, second_divergence = image_of(first + ratio * slope, s)
            scaled += (ratio - 1) / 2 * (slope + slope + (first - second) / ratio)
            return (scaled, total - jnp.log(ratio) / 2 * (first_divergence + second_divergence)), None

        ratios = jnp.asarray(np.exp(np.diff(np.log(sigma[times] / alpha[times]))), x.dtype)
        start = x / alpha[1], jnp.zeros(len(x), x.dtype)
        (scaled, total), _ = jax.lax.scan(one, start, (times[:-1], times[1:], ratios))
        end = alpha[-1] * scaled
        variance = math.exp(self._log_prior_variance)
        density = -0.5 * jnp.square(end) / variance - 0.5 * math.log(2 * math.pi * variance)
        stretched = math.prod(self.shape) * math.log(sigma[-1] / sigma[1])
        return density.reshape(len(x), -1).sum(1) + total + stretched

    @property
    def _log_prior_variance(self) -> float:
        """Of p(x_T): 1, and σ_T² where the schedule does not preserve the variance."""
        return 0.0 if self.schedule != "rectified" else 2 * math.log(self._schedule[1][-1])

    # ---- The network -----------------------------------------------------------------------------------------

    def _inputs(self, batch: Batch) -> tuple[Array, Label]:
        return normalise(jnp.asarray(batch["image"])), batch["label"] if self.classes else None

    def _averaged(self, state: DiffusionState) -> dict:
        return state.params if state.average is None else state.average

    def _alpha_sigma(self, t: Array, ndim: int) -> tuple[Array, Array]:
        """α and σ at each timestep, with axes of length 1 to broadcast against arrays of `ndim` axes."""
        return tuple(_expanded(jnp.asarray(x, jnp.float32)[t], ndim) for x in self._schedule)

    @property
    def _schedule(self) -> tuple[np.ndarray, np.ndarray]:
        return noise_schedule(self.schedule, self.timesteps)

    def _apply(
        self, params: dict, x: Array, t: Array, label: Label, rngs: dict | None = None, train: bool = False
    ) -> tuple[Array, Array | None]:
        """The prediction, and v of learned variances, in [0, 1]."""
        time = jnp.broadcast_to((t - 1) * (1000 / self.timesteps), len(x))
        output = self.network.apply({"params": params}, x, time, label, train=train, rngs=rngs)
        if self.variance != "learned":
            return output, None
        output, raw = jnp.split(output, 2, axis=-1)
        return output, (raw + 1) / 2

    def _image(self, output: Array, x: Array, alpha: Array, sigma: Array) -> Array:
        """x_0 from x_t = α x_0 + σ ε and the prediction a ε - b x_0."""
        a, b = PREDICTIONS[self.prediction](alpha, sigma)
        return (a * x - sigma * output) / (a * alpha + b * sigma)

    def _denoised(
        self, state: DiffusionState, x: Array, t: Array, label: Label, plain: bool = False
    ) -> tuple[Array, Array | None]:
        """The image in x at timestep t, guided and clipped unless `plain`; and v of learned variances."""
        params = self._averaged(state)
        output, interpolation = self._apply(params, x, t, label)
        if self._guided and not plain:
            other, _ = self._apply(params, x, t, jnp.full_like(label, self.classes))
            output += self.guidance * (output - other)
        image = self._image(output, x, *self._alpha_sigma(t, 0))
        return jnp.clip(image, -1, 1) if self.clip and not plain else image, interpolation

    def _log_variance(self, between: Transition, interpolation: Array | None) -> Array:
        """Of p(x_s | x_t)."""
        small, large = (jnp.log(jnp.maximum(x, 1e-20)) for x in (between.small, between.large))
        match self.variance:
            case "small":
                return small
            case "large":
                return large
        return interpolation * large + (1 - interpolation) * small

    def _bound_term(
        self, image: Array, x: Array, t: Array, found: Array, interpolation: Array | None, discrete: bool
    ) -> Float[Array, "b ..."]:
        """KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) of each value, in nats; at t = 1, -log p(x_0 | x_1)."""
        every = np.arange(1, self.timesteps + 1)
        terms = transition(self._schedule, every, every - 1)
        # The first posterior has no variance, p(x_0 | x_1) that of the next.
        terms = terms._replace(small=np.append(terms.small[1:2] if len(every) > 1 else terms.large, terms.small[1:]))
        between = Transition(*(_expanded(jnp.asarray(x, jnp.float32)[t - 1], image.ndim) for x in terms))
        log_variance = self._log_variance(between, interpolation)
        mean = between.of_x * x + between.of_image * found
        true_mean = between.of_x * x + between.of_image * image
        kl = gaussian_kl(true_mean, jnp.log(between.small), mean, log_variance)
        if discrete:
            decoder = -discretised_gaussian_log_prob(image, mean, jnp.exp(0.5 * log_variance))
        else:
            decoder = 0.5 * (jnp.square(image - mean) * jnp.exp(-log_variance) + log_variance + math.log(2 * math.pi))
        return jnp.where(_expanded(t, image.ndim) == 1, decoder, kl)


def _expanded(x: Array, ndim: int) -> Array:
    return x.reshape(*x.shape, *[1] * (ndim - x.ndim)) if ndim else x
