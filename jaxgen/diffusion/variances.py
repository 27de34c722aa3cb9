"""The variance of p(x_s | x_t), a step back. `small`, `large` and `learned` are values of `Variance`."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxgen.diffusion.process import Transition

__all__ = ["Large", "Learned", "Small", "Variance", "large", "learned", "small"]

FLOOR = 1e-20  # of variances whose logarithm is taken


@dataclass(frozen=True)
class Variance:
    """The variance of p(x_s | x_t), given the transition q(x_s | x_t, x_0) and the network's output `v`, if any."""

    @property
    def outputs(self) -> int:
        """The number of channels that the network makes for each channel of the data: 1, or 2 where it says `v`."""
        return 1

    def split(self, output: Float[Array, "... c"]) -> tuple[Float[Array, "... d"], Float[Array, "... d"] | None]:
        """Returns the network's prediction, and `v` or None."""
        return output, None

    def log_variance(self, between: Transition, v: Array | None) -> Array:
        """Returns the logarithm of the variance."""
        raise NotImplementedError

    def scale(self, between: Transition, v: Array | None) -> Array:
        """Returns the standard deviation."""
        return jnp.exp(0.5 * self.log_variance(between, v))


@dataclass(frozen=True)
class Small(Variance):
    """The variance of q(x_s | x_t, x_0), which is right for data of a single point."""

    def log_variance(self, between: Transition, v: Array | None) -> Array:
        """Returns log `small`."""
        return _log(between.small)

    def scale(self, between: Transition, v: Array | None) -> Array:
        """Returns the square root of `small`."""
        return jnp.asarray(between.scale)


@dataclass(frozen=True)
class Large(Variance):
    """The variance β of q(x_t | x_s), which is right for data of N(0, I)."""

    def log_variance(self, between: Transition, v: Array | None) -> Array:
        """Returns log `large`."""
        return _log(between.large)


@dataclass(frozen=True)
class Learned(Variance):
    """exp(v log large + (1 - v) log small), where the network makes v in [0, 1] (Nichol & Dhariwal 2021, eq. 15)."""

    @property
    def outputs(self) -> int:
        """2: the prediction and v."""
        return 2

    def split(self, output: Float[Array, "... c"]) -> tuple[Float[Array, "... d"], Float[Array, "... d"] | None]:
        """Returns the first half of the channels, and the second half mapped from [-1, 1] to [0, 1]."""
        output, raw = jnp.split(output, 2, axis=-1)
        return output, (raw + 1) / 2

    def log_variance(self, between: Transition, v: Array | None) -> Array:
        """Returns the interpolated logarithm."""
        assert v is not None  # `split` made it
        return v * _log(between.large) + (1 - v) * _log(between.small)


def _log(variance: ArrayLike) -> Array:
    return jnp.log(jnp.maximum(variance, FLOOR))


small: Variance = Small()
large: Variance = Large()
learned: Variance = Learned()
