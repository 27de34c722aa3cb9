"""RealNVP: Dinh, Sohl-Dickstein & Bengio 2017 (arXiv:1605.08803).

Where the paper has batch normalisation and weight normalisation, this network has a scale and a bias that start from
data (`ActNorm`), so that the density of an image does not depend on the batch that it is in. With splines in place of
the affine maps it is a neural spline flow (Durkan et al. 2019, arXiv:1906.04032) with RealNVP's structure.
"""

from functools import partial
from typing import Literal

import jax
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers.bijectors import Affine, Condition, Pair, RationalQuadratic, Squeeze
from jaxgen.layers.glow import NormalisedConv, ZeroConv
from jaxgen.networks.flow import FlowStep, Steps, chain, conditioned, multi_scale
from jaxgen.networks.sizes import halve, squeezed
from jaxgen.types import Label

__all__ = ["RealNVP", "ResidualConditioner"]


class ResidualBlock(nn.Module):
    """Applies two 3×3 convolutions, each after ReLU, beside the identity."""

    width: int
    """The number of channels, of the input too."""
    dtype: Dtype | None
    """The type in which the block computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = NormalisedConv(self.width, 3, self.dtype)(nn.relu(x))
        return x + NormalisedConv(self.width, 3, self.dtype)(nn.relu(y))


class ResidualConditioner(nn.Module):
    """Maps images (b, h, w, i), and a condition, to (b, h, w, features), by residual blocks between a first convolution
    and one that starts at 0 (section 4.1)."""

    features: int
    """The number of outputs."""
    width: int = 64
    """The number of channels of the residual blocks."""
    blocks: int = 8
    """The number of residual blocks."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], condition: Condition = None) -> Float[Array, "b h w o"]:
        y = conditioned(NormalisedConv(self.width, 3, self.dtype)(x), condition, self.dtype)
        loop = nn.scan(
            lambda block, y, _: (block(y), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.blocks,
        )
        y, _ = loop(ResidualBlock(self.width, self.dtype, name="blocks"), y, None)
        return ZeroConv(self.features, self.dtype)(nn.relu(y)).astype(x.dtype)


class RealNVPLevel(nn.Module):
    """Applies three couplings masked by a checkerboard, a squeeze, and three couplings masked by channel; the last
    level applies four couplings masked by a checkerboard. The part that stays as it is alternates.

    It is an invertible layer in the form of `jaxgen.layers.bijectors`.
    """

    width: int
    """The number of channels of the networks before the squeeze; after it, twice as many."""
    blocks: int
    """The number of residual blocks of each network."""
    coupling: Literal["affine", "spline"]
    """What a coupling does to a value."""
    last: bool
    """Whether the level is the last."""
    remat: bool
    """Whether the activations of a coupling are computed again for the gradient."""
    dtype: Dtype | None
    """The type in which the networks compute."""

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], condition: Condition = None, inverse: bool = False) -> Pair:
        transform = partial(Affine, "tanh") if self.coupling == "affine" else RationalQuadratic

        def couplings(mask, length, width):
            def network(features):
                return ResidualConditioner(features, width, self.blocks, self.dtype)

            def step(name):
                return FlowStep(network, transform, mask=mask, name=name)

            return Steps(step, length, alternate=True, remat=self.remat, name=mask)

        if self.last:
            return couplings("checkerboard", 4, self.width)(x, condition, inverse)
        layers = [couplings("checkerboard", 3, self.width), Squeeze(), couplings("channel", 3, 2 * self.width)]
        return chain(layers, x, condition, inverse)


class RealNVP(nn.Module):
    """Maps images to latents ~ N(0, I), or back.

        z, log_det = flow(x, label)                      # (b, h, w, c), (b,) -> (b, h · w · c), (b,)
        x, log_det = flow(z, label, inverse=True)

    Raises ValueError for sides that are no multiples of 2^(levels - 1).
    """

    shape: tuple[int, int, int]
    """The shape (h, w, c) of an image."""
    levels: int = 2
    """The number of levels; between two, the image is squeezed and half the channels leave."""
    width: int = 64
    """The number of channels of the networks at full size; each squeeze doubles it."""
    blocks: int = 8
    """The number of residual blocks of each network."""
    coupling: Literal["affine", "spline"] = "affine"
    """What a coupling does to a value: the paper's affine map, or a monotone spline, which can turn a uniform
    distribution, such as that of a black pixel with its noise, into a normal one."""
    classes: int = 0
    """The number of classes. Labels condition the couplings. 0: they are ignored."""
    remat: bool = False
    """Whether the activations of a coupling are computed again for the gradient, to save memory."""
    dtype: Dtype | None = None
    """The type in which the networks compute."""

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], label: Label = None, inverse: bool = False) -> Pair:
        halve(*self.shape[:2], times=self.levels - 1)
        condition = jax.nn.one_hot(label, self.classes, dtype=x.dtype) if self.classes else None
        last = self.levels - 1
        options = {"blocks": self.blocks, "coupling": self.coupling, "remat": self.remat, "dtype": self.dtype}
        levels = [
            RealNVPLevel(self.width << i, last=i == last, name=f"level_{i}", **options) for i in range(self.levels)
        ]
        shapes = [squeezed(self.shape, min(i + 1, last), splits=i) for i in range(self.levels)]
        return multi_scale(levels, None, shapes, x, condition, inverse)
