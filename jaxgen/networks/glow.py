"""Glow: Kingma & Dhariwal 2018 (arXiv:1807.03039).

    CIFAR-10, affine        Glow((32, 32, 3))                       44,603,604
              additive      Glow((32, 32, 3), coupling="additive") 38,395,668

The structure is that of the authors' code. The last prior is a convolution of zeros, of which only the bias, the scale
and the edge channel matter.
"""

from typing import Literal

import jax
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers.bijectors import Additive, Affine, Condition, Pair, Squeeze, Standardise
from jaxgen.networks.flow import ConvConditioner, FlowStep, Mixing, Steps, chain, multi_scale
from jaxgen.networks.resnet import smallest
from jaxgen.types import Label

__all__ = ["Glow"]


class GlowLevel(nn.Module):
    """Squeeze, then steps of flow."""

    steps: int
    width: int
    coupling: Literal["affine", "additive"]
    mixing: Mixing
    remat: bool
    dtype: Dtype | None

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], condition: Condition = None, inverse: bool = False) -> Pair:
        def network(features):
            return ConvConditioner(features, self.width, self.dtype)

        def step(name):
            return FlowStep(network, Affine if self.coupling == "affine" else Additive, self.mixing, name=name)

        return chain([Squeeze(), Steps(step, self.steps, remat=self.remat, name="steps")], x, condition, inverse)


class Glow(nn.Module):
    """Images of `shape`, whose sides are multiples of 2^levels, to latents (b, h w c) ~ N(0, I), and back.

    mixing:  of the channels before each coupling: reversal, 1×1 convolution, or that in its LU form
    classes: labels condition the top prior (as in the paper) and the couplings
    remat:   compute the activations of a step again for the gradient, to save memory
    """

    shape: tuple[int, int, int]
    levels: int = 3
    steps: int = 32
    width: int = 512
    coupling: Literal["affine", "additive"] = "affine"
    mixing: Mixing = "convolution"
    classes: int = 0
    remat: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], label: Label = None, inverse: bool = False) -> Pair:
        height, width, channels = self.shape
        smallest(height, width, self.levels)
        condition = jax.nn.one_hot(label, self.classes, dtype=x.dtype) if self.classes else None
        options = self.steps, self.width, self.coupling, self.mixing, self.remat, self.dtype
        levels = [GlowLevel(*options, name=f"level_{i}") for i in range(self.levels)]
        priors = [Standardise(self.dtype, name=f"prior_{i}") for i in range(self.levels)]
        shapes = [(height >> i, width >> i, channels << i + 1) for i in range(1, self.levels + 1)]
        return multi_scale(levels, priors, shapes, x, condition, inverse)
