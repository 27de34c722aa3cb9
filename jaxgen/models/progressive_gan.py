"""Progressive growing of GANs: Karras et al. 2018 (arXiv:1710.10196).

gan = GAN(ProgressiveGenerator((32, 32, 3), 64), ProgressiveDiscriminator(32, 64), adam, adam,
          losses.wasserstein_drift, latent=512, ema=0.999, penalties=(losses.Penalty(losses.gradient_penalty),))
model = ProgressiveGAN(gan, (Stage(1000), Stage(2000, fade=1000), ...))     # 4×4, 8×8, 16×16, 32×32
state = model.init(jax.random.key(0), batch)
for phase in model.phases:
    step = jax.jit(phase.step, donate_argnums=0)
    for _ in range(phase.steps):
        state, metrics = step(state, batch)
images = model.sample(state, jax.random.key(1), 64)
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.layers import enlarge, shrink
from jaxgen.models.gan import GAN, GANState
from jaxgen.networks.sizes import growth
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Label, Metrics

__all__ = ["ProgressiveGAN", "Stage"]


@dataclass(frozen=True)
class Stage:
    """The training at one size."""

    steps: int
    """The number of steps of the stage; after those of the last stage, training goes on in it."""
    fade: int = 0
    """The number of its first steps over which the new blocks fade in."""
    minibatches: int = 1
    """The size of the minibatch in units of the batch size."""


@dataclass(frozen=True)
class ProgressiveGAN:
    """A GAN that is trained stage after stage, at 4×4, 8×8 and so on to the size of the data.

    The state is that of the GAN, with the parameters of all stages, so it stays of one form; a stage compiles one
    program. Both optimisers start anew with each stage.
    """

    gan: GAN
    """The GAN at the full size. Its networks have an `alpha`, the weight of their newest blocks, and work at every
    size: the generator by its field `side`, the discriminator by the image that it gets."""
    stages: tuple[Stage, ...]
    """The stages, one for each size."""
    stage: int = 0
    """The stage that `step` trains; see `phases`."""

    def __post_init__(self) -> None:
        sizes = growth(*self.gan.generator.shape[:2])
        if len(self.stages) != len(sizes):
            raise ValueError(
                f"{len(self.stages)} stages: one for each of {', '.join(map(str, sizes))} pixels is needed"
            )
        for i, stage in enumerate(self.stages):
            if not 0 <= stage.fade <= stage.steps or stage.steps < 1 or stage.minibatches < 1 or (stage.fade and not i):
                raise ValueError(f"stage {i}, {stage}: needs steps, minibatches ≥ 1 and fade ≤ steps, 0 at first")

    @property
    def latent(self) -> int:
        """The number of units of the latent z."""
        return self.gan.latent

    @property
    def classes(self) -> int:
        """The number of classes; 0: the model is unconditional."""
        return self.gan.classes

    @property
    def packing(self) -> int:
        """The number of examples that the discriminator judges together."""
        return self.gan.packing

    @property
    def phases(self) -> tuple["ProgressiveGAN", ...]:
        """The models of the stages, in the order of training, which share their state."""
        return tuple(dataclasses.replace(self, stage=i) for i in range(len(self.stages)))

    @property
    def steps(self) -> int:
        """The number of steps of the stage."""
        return self.stages[self.stage].steps

    @property
    def minibatches(self) -> int:
        """The number of minibatches in the batch of one step: the GAN's, times that of the stage."""
        return self.gan.minibatches * self.stages[self.stage].minibatches

    def init(self, key: Key[Array, ""], batch: Batch) -> GANState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where the generator's examples are not of the data's shape.
        """
        return self.gan.init(key, batch)

    def step(self, state: GANState, batch: Batch) -> tuple[GANState, Metrics]:
        """Takes one step of the stage, on images shrunk to its size.

        While the stage fades in, the images are as smooth as what it makes.
        """
        begins = state.step == self._begins[self.stage]
        state = jax.lax.cond(begins, self._restart, lambda state: state, state)
        alpha = self._alpha(state.step, self.stage)
        image = shrink(normalise(batch["image"]), self._factor(self.stage))
        if self.stage:
            image = alpha * image + (1 - alpha) * enlarge(shrink(image))
        state, metrics = self._at(self.stage, alpha).step(state, {**batch, "image": image})
        return state, metrics | {"side": jnp.float32(4 * 2**self.stage), "alpha": alpha}

    def prior(self, key: Key[Array, ""], n: int, truncation: float | None = None) -> Float[Array, "n z"]:
        """Returns n draws of the latent z; see `GAN.prior`."""
        return self.gan.prior(key, n, truncation)

    def sample(
        self, state: GANState, key: Key[Array, ""], n: int, label: Label = None, *, truncation: float | None = None
    ) -> Float[Array, "n ..."]:
        """Returns n images in [-1, 1] of the stage that the state has reached, enlarged to the full size.

        A conditional model without labels goes through its classes in turn; for the truncation see `GAN.sample`.
        """
        if self.classes and label is None:
            label = jnp.arange(n, dtype=jnp.int32) % self.classes
        return self.generate(state, self.prior(key, n, truncation), label)

    def generate(self, state: GANState, latent: Float[Array, "b z"], label: Label = None) -> Float[Array, "b ..."]:
        """Returns G(z) in evaluation mode, at the stage that the state has reached, enlarged to the full size."""

        def at(stage, latent):
            image = self._at(stage, self._alpha(state.step, stage)).generate(state, latent, label)
            return enlarge(image, self._factor(stage))

        return self._switch(state, at, latent)

    def discriminate(self, state: GANState, image: Array, label: Label = None) -> Float[Array, "n"]:
        """Returns D's logits in evaluation mode, at the stage that the state has reached, of full-size images."""

        def at(stage, image):
            shrunk = shrink(image, self._factor(stage))
            return self._at(stage, self._alpha(state.step, stage)).discriminate(state, shrunk, label)

        return self._switch(state, at, normalise(image))

    @property
    def _begins(self) -> tuple[int, ...]:
        """The steps at which the stages begin."""
        return (0, *accumulate(stage.steps for stage in self.stages[:-1]))

    def _factor(self, stage: int) -> int:
        """The ratio of the full size to the stage's."""
        return 2 ** (len(self.stages) - 1 - stage)

    def _alpha(self, step: Array, stage: int) -> Float[Array, ""]:
        done = jnp.float32(step - self._begins[stage])
        return jnp.clip(done / self.stages[stage].fade, 0.0, 1.0) if self.stages[stage].fade else jnp.float32(1)

    def _at(self, stage: int, alpha: Float[Array, ""]) -> GAN:
        """The GAN of a stage."""
        generator = self.gan.generator.clone(side=4 * 2**stage, alpha=alpha)
        return dataclasses.replace(
            self.gan, generator=generator, discriminator=self.gan.discriminator.clone(alpha=alpha)
        )

    def _restart(self, state: GANState) -> GANState:
        """Both optimisers at their start."""
        generator, discriminator = state.generator, state.discriminator
        return state.replace(
            generator=generator.replace(optimiser=self.gan.generator_optimiser.init(generator.params)),
            discriminator=discriminator.replace(optimiser=self.gan.discriminator_optimiser.init(discriminator.params)),
        )

    def _switch(self, state: GANState, at: Callable[[int, Array], Array], operand: Array) -> Array:
        """`at(stage, operand)` for the stage that the state has reached."""
        reached = (state.step >= jnp.array(self._begins[1:])).sum()
        return jax.lax.switch(reached, [partial(at, stage) for stage in range(len(self.stages))], operand)
