"""What normalising flows are built of: steps, scales, and flows of points and of noise.

A flow is a module with a field `shape`, that of an example, and the call

    z, log_det = flow(x, label)                         # (b, *shape) -> (b, size), log |det ∂z/∂x| of each example
    x, log_det = flow(z, label, inverse=True)

where z is distributed as N(0, I): priors that are learnt are its last layers.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from jaxgen.layers import Conv
from jaxgen.layers.bijectors import (
    ActNorm,
    Affine,
    Condition,
    Coupling,
    InvertibleConv,
    Mask,
    NormalisedConv,
    Pair,
    RationalQuadratic,
    Reverse,
    ZeroConv,
)
from jaxgen.types import Label

__all__ = ["ConvConditioner", "Dequantiser", "FlowStep", "MLPConditioner", "PointFlow", "Steps", "chain", "multi_scale"]

Mixing = Literal["reverse", "convolution", "lu"]

MIXING = {"reverse": Reverse, "convolution": InvertibleConv, "lu": lambda **name: InvertibleConv(lu=True, **name)}


def chain(layers: Sequence[Callable[..., Pair]], x: Array, condition: Condition, inverse: bool) -> Pair:
    """One layer after the other, or backwards through their inverses; the log-determinants add up."""
    total = jnp.zeros(len(x), x.dtype)
    for layer in reversed(layers) if inverse else layers:
        x, log_det = layer(x, condition, inverse)
        total += log_det
    return x, total


def multi_scale(
    levels: Sequence[Callable[..., Pair]],
    priors: Sequence[Callable[..., Pair]] | None,
    shapes: Sequence[tuple[int, int, int]],
    x: Array,
    condition: Condition,
    inverse: bool,
) -> Pair:
    """Images (b, h, w, c) to their latents (b, h w c), and back: after each level but the last half the channels leave
    the flow (Dinh et al. 2017, section 3.6).

    `shapes` are those of the levels' outputs. `priors`, where there are any, standardise what leaves, each by what
    goes on; the last one all that is left, by zeros twice as deep.
    """
    total, parts = jnp.zeros(len(x), x.dtype), []
    sizes = [math.prod(shape) // (1 if shape is shapes[-1] else 2) for shape in shapes]

    def standardise(i, z, goes_on, inverse):
        if priors is None:
            return z, 0.0
        if goes_on is None:
            context = jnp.zeros((1, *z.shape[1:3], 2 * z.shape[3]), z.dtype)
            return priors[i](z, context, condition, inverse)
        return priors[i](z, goes_on, None, inverse)

    if not inverse:
        for i, level in enumerate(levels):
            x, log_det = level(x, condition, False)
            x, z = (None, x) if i == len(levels) - 1 else jnp.split(x, 2, axis=-1)
            z, more = standardise(i, z, x, False)
            total += log_det + more
            parts.append(z.reshape(len(z), -1))
        return jnp.concatenate(parts, axis=1), total
    latents = jnp.split(x, [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)], axis=1)
    x = None
    for i in reversed(range(len(levels))):
        h, w, _ = shapes[i]
        z, more = standardise(i, latents[i].reshape(-1, h, w, sizes[i] // (h * w)), x, True)
        x, log_det = levels[i](z if x is None else jnp.concatenate([x, z], axis=-1), condition, True)
        total += log_det + more
    return x, total


class FlowStep(nn.Module):
    """Normalisation, mixing of the channels, coupling (Kingma & Dhariwal 2018, figure 2a)."""

    network: Callable[[int], nn.Module]
    transform: Callable[[], nn.Module]
    mixing: Mixing | None = None
    mask: Mask = "channel"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b ... c"],
        condition: Condition = None,
        inverse: bool = False,
        flip: bool | Bool[Array, ""] = False,
    ) -> Pair:
        layers: list[Callable[..., Pair]] = [ActNorm(name="actnorm")]
        if self.mixing:
            layers.append(MIXING[self.mixing](name="convolution"))
        coupling = Coupling(self.network, self.transform, self.mask, name="coupling")
        return chain([*layers, partial(coupling, flip=flip)], x, condition, inverse)


class Steps(nn.Module):
    """`length` steps as one compiled loop: `step` makes a `FlowStep`, (name) -> module; their parameters are stacked.

    With `alternate` every second step is flipped. With `remat` the activations of a step are computed again when the
    gradient needs them, which saves their memory.
    """

    step: Callable[..., FlowStep]
    length: int
    alternate: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b ... c"], condition: Condition = None, inverse: bool = False) -> Pair:
        def one(step, carry, flip):
            x, total = carry
            x, log_det = step(x, condition, inverse, flip if self.alternate else False)
            return (x, total + log_det), None

        loop = nn.scan(
            nn.remat(one, prevent_cse=False) if self.remat else one,
            variable_axes={"params": 0, "finite": 0},
            split_rngs={"params": True},
            length=self.length,
            reverse=inverse,
        )
        flip = jnp.arange(self.length) % 2 == 1
        (x, log_det), _ = loop(self.step(name="step"), (x, jnp.zeros(len(x), x.dtype)), flip)
        return x, log_det


def conditioned(x: Float[Array, "b ... c"], condition: Condition, dtype: Dtype | None) -> Float[Array, "b ... c"]:
    """x plus a linear function of the condition, within the calling module."""
    if condition is None:
        return x
    more = nn.Dense(x.shape[-1], use_bias=False, dtype=dtype)(condition)
    return x + jnp.expand_dims(more, range(1, 1 + x.ndim - more.ndim)).astype(x.dtype)


class MLPConditioner(nn.Module):
    """Dense layers of these widths with ReLU, and a last one that starts at 0."""

    features: int
    hidden: Sequence[int] = (128, 128)
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b i"], condition: Condition = None) -> Float[Array, "b o"]:
        y = x
        for i, width in enumerate(self.hidden):
            y = nn.Dense(width, dtype=self.dtype)(y)
            y = nn.relu(conditioned(y, condition, self.dtype) if i == 0 else y)
        y = nn.Dense(self.features, kernel_init=nn.initializers.zeros, dtype=self.dtype)(y)
        return y.astype(x.dtype)


class ConvConditioner(nn.Module):
    """The network in Glow's coupling: 3×3 and 1×1 convolutions with ReLU, and a 3×3 one that starts at 0 (Kingma &
    Dhariwal 2018, section 4)."""

    features: int
    width: int = 512
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], condition: Condition = None) -> Float[Array, "b h w o"]:
        y = NormalisedConv(self.width, 3, self.dtype)(x)
        y = nn.relu(conditioned(y, condition, self.dtype))
        y = nn.relu(NormalisedConv(self.width, 1, self.dtype)(y))
        return ZeroConv(self.features, self.dtype)(y).astype(x.dtype)


class PointFlow(nn.Module):
    """Points of the plane, or of any number of features from 2: steps of normalisation, a learnt permutation (LU), and
    coupling by splines or affine."""

    shape: tuple[int] = (2,)
    coupling: Literal["spline", "affine"] = "spline"
    steps: int = 8
    hidden: Sequence[int] = (128, 128)
    bins: int = 16
    classes: int = 0
    remat: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b f"], label: Label = None, inverse: bool = False) -> Pair:
        if self.shape[0] < 2:
            raise ValueError(f"points of shape {tuple(self.shape)}: a coupling needs at least 2 features")

        def network(features):
            return MLPConditioner(features, self.hidden, self.dtype)

        def transform():
            return RationalQuadratic(self.bins) if self.coupling == "spline" else Affine("tanh")

        def step(name):
            return FlowStep(network, transform, "lu", name=name)

        condition = jax.nn.one_hot(label, self.classes, dtype=x.dtype) if self.classes else None
        return Steps(step, self.steps, remat=self.remat, name="steps")(x, condition, inverse)


class Dequantiser(nn.Module):
    """Noise N(0, I) to noise u in (0, 1) that is made for an image, and log |det ∂u/∂noise|: the variational
    dequantisation of Ho et al. 2019 (Flow++, section 3.1), by couplings that see the image's features."""

    steps: int = 4
    width: int = 32
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, noise: Float[Array, "b h w c"], image: Float[Array, "b h w c"]) -> Pair:
        context = image
        for _ in range(2):
            context = nn.relu(Conv(self.width, 3, dtype=self.dtype)(context))

        def network(features):
            return ConvConditioner(features, self.width, self.dtype)

        def step(name):
            return FlowStep(network, Affine, mask="checkerboard", name=name)

        steps = Steps(step, self.steps, alternate=True, name="steps")
        y, log_det = steps(noise, context.astype(noise.dtype))
        log_slope = jax.nn.log_sigmoid(y) + jax.nn.log_sigmoid(-y)
        return jax.nn.sigmoid(y), log_det + log_slope.sum((1, 2, 3))
