"""SinGAN: Shaham et al. 2019 (arXiv:1905.01164): a generative model of a single image, from its patches at all scales.

singan = SinGAN(SinGANGenerator(), SinGANDiscriminator(), adam, adam, shape=(166, 250, 3))
state = singan.init(jax.random.key(0), batch)                       # batch: one "image"
for phase in singan.phases:
    step = jax.jit(phase.step, donate_argnums=0)
    for _ in range(phase.steps):
        state, metrics = step(state, batch)
wide   = singan.sample(state, jax.random.key(1), 4, size=(166, 500))
filled = singan.refine(state, jax.random.key(1), clipart, scale=2)  # paint to image, editing, harmonisation
large  = singan.super_resolve(state, jax.random.key(1), image, factor=4.0)
frames = singan.animate(state, jax.random.key(1), 30)
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.losses.adversarial import AdversarialLoss, wasserstein
from jaxgen.losses.penalties import Penalty, gradient_penalty, penalise
from jaxgen.models.player import Loss, Player, check_game, dropout_keys
from jaxgen.networks.calls import apply_network, check_network
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["SinGAN", "SinGANState", "scale_sizes"]

Size = tuple[int, int]
Noise = Callable[[int], Array]
"""The noise of a scale, in units of the scale's amplitude."""


def scale_sizes(size: Size, smallest: int = 25, largest: int = 250, factor: float = 0.75) -> tuple[Size, ...]:
    """Returns height and width of the image at each scale, the coarsest first.

    The finest is `size`, made smaller where its longer side exceeds `largest`. The coarsest's shorter side is
    `smallest`; the ratio of neighbours is the nearest to `factor`, from above, that leads there. ValueError for an
    image whose shorter side is below `smallest`.
    """
    shrink = min(1.0, largest / max(size))
    height, width = (side * shrink for side in size)
    if round(min(height, width)) < smallest:
        raise ValueError(f"image of {round(height)}×{round(width)}: at least {smallest} pixels a side are needed")
    n = math.ceil(math.log(smallest / min(height, width)) / math.log(factor) - 1e-9) if smallest < min(size) else 0
    ratio = (smallest / min(height, width)) ** (1 / n) if n else 1.0
    return tuple((round(height * ratio ** (n - i)), round(width * ratio ** (n - i))) for i in range(n + 1))


def resized(image: Float[Array, "b h w c"], size: Size) -> Float[Array, "b h2 w2 c"]:
    """Returns the images at another size (height, width), bicubic and antialiased."""
    return jax.image.resize(image, (len(image), *size, image.shape[-1]), "cubic")


class SinGANState(struct.PyTreeNode):
    """Everything that going on needs, for all scales."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    """The number of steps that were taken."""
    key: Any
    """The key of the steps to come."""
    generators: tuple[Player, ...]
    """The generator of each scale."""
    discriminators: tuple[Player, ...]
    """The discriminator of each scale."""
    amplitudes: Any  # (scales,)
    """The amplitude of the noise of each scale."""
    noise: Any  # (1, h, w, 1)
    """z*, from which the coarsest scale reconstructs the image."""


@dataclass(frozen=True)
class SinGAN:
    """A generator and a discriminator for each scale, trained one scale after the other, the coarser ones at rest."""

    generator: nn.Module
    """(noise, image, train) -> image; its `width` is doubled every four scales, up to `widest`."""
    discriminator: nn.Module
    """(image, train) -> logits of patches (b, p, q), as wide."""
    generator_optimiser: optax.GradientTransformation
    """The optimiser of each generator."""
    discriminator_optimiser: optax.GradientTransformation
    """The optimiser of each discriminator."""
    shape: tuple[int, int, int]
    """The shape of the training image."""
    smallest: int = 25
    """The shorter side at the coarsest scale, in pixels; see `scale_sizes`."""
    largest: int = 250
    """The longer side at the finest scale, at most."""
    factor: float = 0.75
    """The ratio of the sizes of neighbouring scales, at least."""
    widest: int = 128
    """The largest width of the networks."""
    steps: int = 2000
    """The number of steps of each scale; one has `discriminator_steps` and then `generator_steps`."""
    discriminator_steps: int = 3
    """The number of steps of the discriminator in a step."""
    generator_steps: int = 3
    """The number of steps of the generator in a step."""
    reconstruction_weight: float = 10.0
    """α of equation 5."""
    penalties: tuple[Penalty, ...] = (Penalty(gradient_penalty, 0.1),)
    """Terms that are added to D's loss. Slopes are those of a patch, not of the image."""
    loss: AdversarialLoss = wasserstein
    """The game of the patches."""
    noise: float = 0.1
    """The noise of a scale after the first, in units of the RMSE of the reconstruction before it."""
    scale: int = 0
    """The scale that `step` trains; see `phases`."""

    def __post_init__(self) -> None:
        check_network("generator", self.generator)
        check_network("discriminator", self.discriminator)
        check_game(self.loss, self.penalties)
        if not 0 <= self.scale < len(self.sizes):
            raise ValueError(f"scale {self.scale}: 0 to {len(self.sizes) - 1} are the scales of this image")

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of the image at the scales, the coarsest first."""
        return scale_sizes(self.shape[:2], self.smallest, self.largest, self.factor)

    @property
    def phases(self) -> tuple["SinGAN", ...]:
        """The models of the scales, in the order of training, which share their state."""
        return tuple(dataclasses.replace(self, scale=i) for i in range(len(self.sizes)))

    def init(self, key: Key[Array, ""], batch: Batch) -> SinGANState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError for an image of another shape than the model's.
        """
        if batch["image"].shape[1:] != self.shape:
            raise ValueError(f"the data's images are {batch['image'].shape[1:]}, but the model is for {self.shape}")
        key, noise_key, *keys = jax.random.split(key, 2 + 2 * len(self.sizes))
        image = jnp.zeros((1, *self.sizes[0], self.shape[2]))  # convolutions: the size does not matter
        generators = [
            Player.start(self._generator(i), self.generator_optimiser, key, image, image)
            for i, key in enumerate(keys[::2])
        ]
        discriminators = [
            Player.start(self._discriminator(i), self.discriminator_optimiser, key, image)
            for i, key in enumerate(keys[1::2])
        ]
        noise = jax.random.normal(noise_key, (1, *self.sizes[0], 1))
        return SinGANState(
            jnp.int32(0), key, tuple(generators), tuple(discriminators), jnp.ones(len(self.sizes)), noise
        )

    def step(self, state: SinGANState, batch: Batch) -> tuple[SinGANState, Metrics]:
        """Takes steps of the scale's players on the first image of the batch, each with noise of its own.

        A scale begins with the weights of the one before, where they are as wide. Metrics are means over the steps.
        """
        i = self.scale
        real = jnp.clip(resized(normalise(batch["image"])[:1], self.sizes[i]), -1, 1)
        state = jax.lax.cond(state.step == i * self.steps, lambda s: self._begin(s, real), lambda s: s, state)
        key, below_key, noise_key, penalty_key = jax.random.split(state.key, 4)
        split, count = self.discriminator_steps, self.discriminator_steps + self.generator_steps
        noise = state.amplitudes[i] * self._random(noise_key, count, self.sizes)(i)
        inputs = noise[:, None], self._below(state, count, self._random(below_key, count, self.sizes))[:, None]
        first, rest = ([x[part] for x in inputs] for part in (slice(split), slice(split, None)))
        again = self._fixed(state)(i), self._below(state, 1, self._fixed(state))
        keys = jax.random.split(penalty_key, self.discriminator_steps)
        generator_keys = dropout_keys(penalty_key, self.generator_steps)

        def discriminator_step(player, inputs):
            loss = self._discriminator_loss(state, real)
            player, metrics, _ = player.step(self.discriminator_optimiser, loss, *inputs)
            return player, metrics

        discriminator, metrics = jax.lax.scan(discriminator_step, state.discriminators[i], (keys, *first))

        def generator_step(player, inputs):
            loss = self._generator_loss(discriminator, real, again)
            player, metrics, _ = player.step(self.generator_optimiser, loss, *inputs)
            return player, metrics

        generator, more = jax.lax.scan(generator_step, state.generators[i], (generator_keys, *rest))
        metrics = jax.tree.map(jnp.mean, metrics | more)
        metrics |= {"scale": jnp.float32(i), "noise_amplitude": state.amplitudes[i]}
        state = state.replace(
            step=state.step + 1,
            key=key,
            generators=_with(state.generators, i, generator),
            discriminators=_with(state.discriminators, i, discriminator),
        )
        return state, metrics

    def _discriminator_loss(self, state: SinGANState, real: Array) -> Loss:
        """The game and the penalties, on what the scale's generator makes of noise and of the image below."""
        i, network = self.scale, self._discriminator(self.scale)

        def loss(params, statistics, key, noise, below):
            made_key, real_key, fake_key, critic_key = dropout_keys(key, 4)
            fake, _ = apply_network(self._generator(i), state.generators[i].variables, noise, below, key=made_key)
            variables = {"params": params, **statistics}
            on_real, statistics = apply_network(network, variables, real, key=real_key)
            variables = {"params": params, **statistics}
            on_fake, statistics = apply_network(network, variables, fake, key=fake_key)
            after = {"params": params, **statistics}

            def critic(image):
                # Of patches, as the judgement is: the norm of a patch's gradient, not of the image's, is to be 1.
                logits, _ = apply_network(network, after, image, key=critic_key)
                return logits.sum((1, 2)) / math.prod(logits.shape[1:]) ** 0.5

            value = self.loss.discriminator(on_real, on_fake)
            penalty, penalty_metrics = penalise(self.penalties, state.step, critic, key, real, fake)
            metrics = {
                "discriminator_loss": value,
                "discriminator_real": self.loss.output(on_real).mean(),
                "discriminator_fake": self.loss.output(on_fake).mean(),
            }
            return value + penalty, (statistics, metrics | penalty_metrics)

        return loss

    def _generator_loss(self, discriminator: Player, real: Array, again: tuple[Array, Array]) -> Loss:
        """The game and the reconstruction from `again`, fixed noise and the image below."""
        network, judge = self._generator(self.scale), self._discriminator(self.scale)

        def loss(params, statistics, key, noise, below):
            made_key, fake_key, real_key, again_key = dropout_keys(key, 4)
            variables = {"params": params, **statistics}
            fake, statistics = apply_network(network, variables, noise, below, key=made_key)
            judged, _ = apply_network(judge, discriminator.variables, fake, key=fake_key)
            on_real, _ = apply_network(judge, discriminator.variables, real, key=real_key)
            made, statistics = apply_network(network, {"params": params, **statistics}, *again, key=again_key)
            value, error = self.loss.generator(on_real, judged), jnp.square(made - real).mean()
            metrics = {"generator_loss": value, "reconstruction_mse": error}
            return value + self.reconstruction_weight * error, (statistics, metrics)

        return loss

    def sample(
        self, state: SinGANState, key: Key[Array, ""], n: int, *, size: Size | None = None
    ) -> Float[Array, "n h w c"]:
        """Returns n images in [-1, 1] of the finest scale's size, or of `size` (height, width) with any aspect.

        Scales that are not trained yet only enlarge.
        """
        sizes = self._scaled(size or self.sizes[-1])
        return self._through(state, jnp.zeros((n, *sizes[0], self.shape[2])), 0, self._random(key, n, sizes), sizes)

    def reconstruct(self, state: SinGANState) -> Float[Array, "1 h w c"]:
        """Returns the training image, as the fixed noise z* makes it."""
        image = jnp.zeros((1, *self.sizes[0], self.shape[2]))
        return self._through(state, image, 0, self._fixed(state), self.sizes)

    def refine(
        self, state: SinGANState, key: Key[Array, ""], image: Float[Array, "b h w c"], scale: int
    ) -> Float[Array, "b h2 w2 c"]:
        """Returns the image as the training image would have it from `scale` on (section 4).

        A clipart becomes a picture; what was edited or pasted in becomes part of it.

        The image is shrunk to the scale before, so the detail is the model's; the result has its aspect, at the
        training image's height. ValueError for a scale that is not above the coarsest.
        """
        if not 1 <= scale < len(self.sizes):
            raise ValueError(f"scale {scale}: 1 to {len(self.sizes) - 1} are the scales that refine an image")
        _, height, width, _ = image.shape
        sizes = self._scaled((self.sizes[-1][0], round(width * self.sizes[-1][0] / height)))
        image = resized(image, sizes[scale - 1])
        return self._through(state, image, scale, self._random(key, len(image), sizes), sizes)

    def super_resolve(
        self, state: SinGANState, key: Key[Array, ""], image: Float[Array, "b h w c"], factor: float = 4.0
    ) -> Float[Array, "b h2 w2 c"]:
        """Returns the image enlarged `factor` times, the finest scale adding its detail each time (section 4).

        It grows in about the pyramid's ratio each time. ValueError for a factor that does not enlarge, and for a model
        of one scale.
        """
        if not factor > 1 or len(self.sizes) == 1:
            raise ValueError(f"factor {factor}, {len(self.sizes)} scales: more than 1 of both is needed")
        last = len(self.sizes) - 1
        ratio = math.prod(self.sizes[last]) ** 0.5 / math.prod(self.sizes[last - 1]) ** 0.5
        count = max(1, round(math.log(factor) / math.log(ratio)))
        first = image.shape[1:3]
        network, variables = self._generator(last), state.generators[last].variables
        for i, noise_key in enumerate(jax.random.split(key, count), 1):
            image = resized(image, tuple(round(side * factor ** (i / count)) for side in first))
            noise = state.amplitudes[last] * jax.random.normal(noise_key, image.shape)
            image, _ = apply_network(network, variables, noise, image)
        return image

    def animate(
        self,
        state: SinGANState,
        key: Key[Array, ""],
        frames: int,
        alpha: float | Array = 0.1,
        beta: float | Array = 0.9,
        start: int = 0,
    ) -> Float[Array, "frames h w c"]:
        """Returns the frames of a video that begins near the training image.

        They follow a random walk of the noise from the scale `start` on; the scales before it are those of the
        reconstruction (section 4 and the supplement's equation).

        alpha: how strongly the walk is drawn back to the reconstruction's noise, 0 to 1
        beta:  the share of the last move in the next, 0 to 1: how smooth the walk is
        """
        if not 0 <= start < len(self.sizes):
            raise ValueError(f"start {start}: 0 to {len(self.sizes) - 1} are the scales of this image")
        fixed = [self._fixed(state)(i) for i in range(len(self.sizes))]
        first_key, walk_key = jax.random.split(key)

        def noise_like(key):
            drawn = self._random(key, 1, self.sizes)
            return [drawn(i) if i >= start else jnp.zeros_like(z) for i, z in enumerate(fixed)]

        def frame(carry, key):
            before, now = carry
            image = jnp.zeros((1, *self.sizes[0], self.shape[2]))
            shown = self._through(state, image, 0, lambda i: now[i], self.sizes)
            moved = [
                alpha * rest + (1 - alpha) * (z + beta * (z - last) + (1 - beta) * new) if i >= start else rest
                for i, (rest, last, z, new) in enumerate(zip(fixed, before, now, noise_like(key), strict=True))
            ]
            return (now, moved), shown[0]

        near = [0.95 * rest + 0.05 * new for rest, new in zip(fixed, noise_like(first_key), strict=True)]
        near = [z if i >= start else rest for i, (z, rest) in enumerate(zip(near, fixed, strict=True))]
        return jax.lax.scan(frame, (fixed, near), jax.random.split(walk_key, frames))[1]

    def _begin(self, state: SinGANState, real: Array) -> SinGANState:
        """The state at the first step of the scale: weights of the scale before, and the noise's amplitude."""
        i = self.scale
        if not i:
            return state
        error = jnp.square(self._below(state, 1, self._fixed(state)) - real).mean()
        state = state.replace(amplitudes=state.amplitudes.at[i].set(self.noise * jnp.sqrt(error)))
        if self._width(i) == self._width(i - 1):
            generator, discriminator = (
                players[i].replace(params=players[i - 1].params, statistics=players[i - 1].statistics)
                for players in (state.generators, state.discriminators)
            )
            state = state.replace(
                generators=_with(state.generators, i, generator),
                discriminators=_with(state.discriminators, i, discriminator),
            )
        return state

    def _below(self, state: SinGANState, n: int, noise: Noise) -> Float[Array, "n h w c"]:
        """The image of the scales before this one, enlarged to it."""
        image = jnp.zeros((n, *self.sizes[0], self.shape[2]))
        return resized(self._through(state, image, 0, noise, self.sizes[: self.scale]), self.sizes[self.scale])

    def _through(
        self, state: SinGANState, image: Array, start: int, noise: Noise, sizes: Sequence[Size]
    ) -> Float[Array, "n h w c"]:
        """The image after the scales of `sizes` from `start` on, in evaluation mode."""
        for i in range(start, len(sizes)):
            image = resized(image, sizes[i])
            inputs = state.amplitudes[i] * noise(i), image
            made, _ = apply_network(self._generator(i), state.generators[i].variables, *inputs)
            image = jnp.where(state.step > i * self.steps, made, image)
        return image

    def _random(self, key: Key[Array, ""], n: int, sizes: Sequence[Size]) -> Noise:
        """N(0, 1), at the coarsest scale the same in all channels."""
        return lambda i: jax.random.normal(jax.random.fold_in(key, i), (n, *sizes[i], self.shape[2] if i else 1))

    def _fixed(self, state: SinGANState) -> Noise:
        """z* at the coarsest scale and none at the others."""
        return lambda i: jnp.zeros((1, *self.sizes[i], self.shape[2])) if i else state.noise

    def _scaled(self, size: Size) -> tuple[Size, ...]:
        """The scales' sizes for an image of `size` at the finest. ValueError where the coarsest would vanish."""
        height, width = (new / old for new, old in zip(size, self.sizes[-1], strict=True))
        sizes = tuple((round(h * height), round(w * width)) for h, w in self.sizes)
        if min(sizes[0]) < 1:
            raise ValueError(f"size {size[0]}×{size[1]}: the coarsest scale would have no pixel")
        return sizes

    def _width(self, scale: int) -> int:
        return min(self.generator.width * 2 ** (scale // 4), self.widest)

    def _generator(self, scale: int) -> nn.Module:
        return self.generator.clone(width=self._width(scale))

    def _discriminator(self, scale: int) -> nn.Module:
        return self.discriminator.clone(width=self._width(scale))


def _with(players: tuple[Player, ...], i: int, player: Player) -> tuple[Player, ...]:
    """The players, the i-th replaced."""
    return (*players[:i], player, *players[i + 1 :])
