"""RealNVP: Dinh, Sohl-Dickstein & Bengio 2017 (arXiv:1605.08803).

Where the paper has batch normalisation and weight normalisation, here it is a scale and a bias that start from data
(`ActNorm`): then the density of an image does not depend on the batch that it is in. With splines in place of the
affine maps it is a neural spline flow (Durkan et al. 2019, arXiv:1906.04032) of RealNVP's structure.
"""

from functools import partial
from typing import Literal

import jax
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers.bijectors import Affine, Condition, NormalisedConv, Pair, RationalQuadratic, Squeeze, ZeroConv
from jaxgen.networks.flow import FlowStep, Steps, chain, conditioned, multi_scale
from jaxgen.networks.resnet import smallest
from jaxgen.types import Label

__all__ = ["RealNVP", "ResidualConditioner"]


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, rectified beforehand, beside the identity."""

    width: int
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = NormalisedConv(self.width, 3, self.dtype)(nn.relu(x))
        return x + NormalisedConv(self.width, 3, self.dtype)(nn.relu(y))


class ResidualConditioner(nn.Module):
    """Residual blocks between a first convolution and one that starts at 0 (section 4.1)."""

    features: int
    width: int = 64
    blocks: int = 8
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w i"], condition: Condition = None) -> Float[Array, "b h w o"]:
        y = conditioned(NormalisedConv(self.width, 3, self.dtype)(x), condition, self.dtype)
        axes, rngs = {"params": 0}, {"params": True}
        loop = nn.scan(lambda block, y, _: (block(y), None), axes, split_rngs=rngs, length=self.blocks)
        y, _ = loop(ResidualBlock(self.width, self.dtype, name="blocks"), y, None)
        return ZeroConv(self.features, self.dtype)(nn.relu(y)).astype(x.dtype)


class RealNVPLevel(nn.Module):
    """Three couplings masked by a checkerboard, squeeze, three masked by channel; the last level, four by a
    checkerboard. What stays alternates."""

    width: int
    blocks: int
    coupling: Literal["affine", "spline"]
    last: bool
    remat: bool
    dtype: Dtype | None

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
    """Images of `shape`, whose sides are multiples of 2^(levels - 1), to latents (b, h w c) ~ N(0, I), and back.

    width:    channels of the networks at full size; each squeeze doubles them
    blocks:   residual blocks of each network
    coupling: what a coupling does to a value: the paper's affine map, or a monotone spline, which takes a uniform
              distribution, such as that of a black pixel with its noise, to a normal one
    classes:  labels condition the couplings
    remat:    compute the activations of a coupling again for the gradient, to save memory
    """

    shape: tuple[int, int, int]
    levels: int = 2
    width: int = 64
    blocks: int = 8
    coupling: Literal["affine", "spline"] = "affine"
    classes: int = 0
    remat: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], label: Label = None, inverse: bool = False) -> Pair:
        height, width, channels = self.shape
        smallest(height, width, self.levels - 1)
        condition = jax.nn.one_hot(label, self.classes, dtype=x.dtype) if self.classes else None
        last = self.levels - 1
        levels = [
            RealNVPLevel(
                self.width << i, self.blocks, self.coupling, i == last, self.remat, self.dtype, name=f"level_{i}"
            )
            for i in range(self.levels)
        ]
        squeezes = [min(i + 1, last) for i in range(self.levels)]
        shapes = [(height >> s, width >> s, channels << (2 * s - min(i, last))) for i, s in enumerate(squeezes)]
        return multi_scale(levels, None, shapes, x, condition, inverse)
