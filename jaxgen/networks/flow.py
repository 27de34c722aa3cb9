"""Normalising flows: the steps and scales that they are built of, and flows of points and of noise.

A flow is a module with a field `shape`, that of an example, and the call

    z, log_det = flow(x, label)                         # (b, *shape), (b,) -> (b, size), log |det ∂z/∂x| (b,)
    x, log_det = flow(z, label, inverse=True)           # (b, size), (b,) -> (b, *shape), log |det ∂x/∂z| (b,)

where z is distributed as N(0, I): a prior that is learnt is the last layer of its flow.
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
from jaxgen.layers.bijectors import Affine, Condition, Coupling, Mask, Pair, RationalQuadratic, Reverse
from jaxgen.layers.glow import ActNorm, InvertibleConv, NormalisedConv, ZeroConv
from jaxgen.types import Label

__all__ = [
    "MIXING",
    "ConvConditioner",
    "Dequantiser",
    "FlowStep",
    "MLPConditioner",
    "Mixing",
    "PointFlow",
    "Steps",
    "chain",
    "conditioned",
    "multi_scale",
]

Mixing = Literal["reverse", "convolution", "lu"]
"""How the channels are mixed before a coupling: in reverse order, by a 1×1 convolution, or by one in its LU form."""

MIXING: dict[Mixing, Callable[..., nn.Module]] = {
    "reverse": Reverse,
    "convolution": InvertibleConv,
    "lu": partial(InvertibleConv, lu=True),
}
"""The layers that mix the channels."""


def chain(layers: Sequence[Callable[..., Pair]], x: Array, condition: Condition, inverse: bool) -> Pair:
    """Applies one layer after the other, or with `inverse` their inverses from the last to the first, and adds up the
    log-determinants."""
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
    """Maps images (b, h, w, c) to their latents (b, h · w · c), or back. After each level but the last, half the
    channels leave the flow (Dinh et al. 2017, section 3.6).

    `shapes` are those of the levels' outputs. `priors`, where there are any, standardise what leaves the flow: each
    prior sees the channels that go on, and the last one sees zeros, with twice the channels.
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
            goes_on, z = (None, x) if i == len(levels) - 1 else jnp.split(x, 2, axis=-1)
            z, more = standardise(i, z, goes_on, False)
            total += log_det + more
            parts.append(z.reshape(len(z), -1))
            x = x if goes_on is None else goes_on
        return jnp.concatenate(parts, axis=1), total
    latents = jnp.split(x, [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)], axis=1)
    goes_on = None
    for i in reversed(range(len(levels))):
        h, w, _ = shapes[i]
        z, more = standardise(i, latents[i].reshape(-1, h, w, sizes[i] // (h * w)), goes_on, True)
        x, log_det = levels[i](z if goes_on is None else jnp.concatenate([goes_on, z], axis=-1), condition, True)
        total += log_det + more
        goes_on = x
    return x, total


class FlowStep(nn.Module):
    """Applies a normalisation, a mixing of the channels and a coupling (Kingma & Dhariwal 2018, figure 2a).

    It is an invertible layer in the form of `jaxgen.layers.bijectors`; `flip` is that of `Coupling`.
    """

    network: Callable[[int], nn.Module]
    """Makes the coupling's network, from the number of its outputs."""
    transform: Callable[[], nn.Module]
    """Makes the coupling's elementwise map."""
    mixing: Mixing | None = None
    """How the channels are mixed; None: not at all."""
    mask: Mask = "channel"
    """The part that the coupling leaves as it is."""

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
    """Applies several steps as one compiled loop, whose parameters are stacked along a first axis.

    It is an invertible layer in the form of `jaxgen.layers.bijectors`.
    """

    step: Callable[..., FlowStep]
    """Makes the step, from its name."""
    length: int
    """The number of steps."""
    alternate: bool = False
    """Whether every second step is flipped."""
    remat: bool = False
    """Whether the activations of a step are computed again when the gradient needs them, which saves their memory."""

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
    """Returns x plus a linear function of the condition, whose kernel belongs to the calling module."""
    if condition is None:
        return x
    more = nn.Dense(x.shape[-1], use_bias=False, dtype=dtype)(condition)
    return x + jnp.expand_dims(more, range(1, 1 + x.ndim - more.ndim)).astype(x.dtype)


class MLPConditioner(nn.Module):
    """Maps vectors (b, i), and a condition, to (b, features), by dense layers with ReLU and a last one that starts at
    0."""

    features: int
    """The number of outputs."""
    hidden: Sequence[int] = (128, 128)
    """The widths of the hidden layers."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b i"], condition: Condition = None) -> Float[Array, "b o"]:
        y = x
        for i, width in enumerate(self.hidden):
            y = nn.Dense(width, dtype=self.dtype)(y)
            y = nn.relu(conditioned(y, condition, self.dtype) if i == 0 else y)
        y = nn.Dense(self.features, kernel_init=nn.initializers.zeros, dtype=self.dtype)(y)
        return y.astype(x.dtype)


class ConvConditioner(nn.Module):
    """Maps images (b, h, w, i), and a condition, to (b, h, w, features), by a 3×3 and a 1×1 convolution with ReLU and a
    3×3 one that starts at 0: the network in Glow's coupling (Kingma & Dhariwal 2018, section 4)."""

    features: int
    """The number of outputs."""
    width: int = 512
    """The number of channels of the hidden layers."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], condition: Condition = None) -> Float[Array, "b h w o"]:
        y = NormalisedConv(self.width, 3, self.dtype)(x)
        y = nn.relu(conditioned(y, condition, self.dtype))
        y = nn.relu(NormalisedConv(self.width, 1, self.dtype)(y))
        return ZeroConv(self.features, self.dtype)(y).astype(x.dtype)


class PointFlow(nn.Module):
    """Maps points to latents ~ N(0, I), or back, by steps of normalisation, a learnt permutation (LU) and a coupling.

        z, log_det = flow(x, label)                      # (b, f), (b,) -> (b, f), (b,)
        x, log_det = flow(z, label, inverse=True)

    Raises ValueError for points of a single feature.
    """

    shape: tuple[int] = (2,)
    """The shape of a point: its number of features, from 2 on."""
    coupling: Literal["spline", "affine"] = "spline"
    """What a coupling does to a value: a monotone spline, or an affine map."""
    steps: int = 8
    """The number of steps."""
    hidden: Sequence[int] = (128, 128)
    """The widths of the hidden layers of the couplings' networks."""
    bins: int = 16
    """The number of pieces of a spline."""
    classes: int = 0
    """The number of classes; 0 for an unconditional flow, which ignores the label."""
    remat: bool = False
    """Whether the activations of a step are computed again for the gradient, to save memory."""
    dtype: Dtype | None = None
    """The type in which the couplings' networks compute."""

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
    """Maps noise ~ N(0, I) to noise u in (0, 1) that is made for an image, by couplings that see the image's features:
    the variational dequantisation of Ho et al. 2019 (Flow++, section 3.1).

        u, log_det = dequantiser(noise, image)      # both (b, h, w, c) -> (b, h, w, c), log |det ∂u/∂noise| (b,)
    """

    steps: int = 4
    """The number of steps."""
    width: int = 32
    """The number of channels of the hidden layers."""
    dtype: Dtype | None = None
    """The type in which the couplings' networks compute."""

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
