"""Glow: Kingma & Dhariwal 2018 (arXiv:1807.03039).

    CIFAR-10, affine        Glow((32, 32, 3))                       44,603,604
              additive      Glow((32, 32, 3), coupling="additive") 38,395,668

The structure is that of the authors' code. The last prior is a convolution of zeros, so that only its bias, its scale
and its edge channel matter.
"""

from typing import Literal

import jax
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.layers.bijectors import Additive, Affine, Condition, Pair, Squeeze
from jaxgen.layers.glow import Standardise
from jaxgen.networks.flow import ConvConditioner, FlowStep, Mixing, Steps, chain, multi_scale
from jaxgen.networks.sizes import halve, squeezed
from jaxgen.types import Label

__all__ = ["Glow"]


class GlowLevel(nn.Module):
    """Applies a squeeze, then steps of flow; it is an invertible layer in the form of `jaxgen.layers.bijectors`."""

    steps: int
    """The number of steps."""
    width: int
    """The number of channels of the couplings' networks."""
    coupling: Literal["affine", "additive"]
    """What a coupling does to a value."""
    mixing: Mixing
    """How the channels are mixed before each coupling."""
    remat: bool
    """Whether the activations of a step are computed again for the gradient."""
    dtype: Dtype | None
    """The type in which the couplings' networks compute."""

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], condition: Condition = None, inverse: bool = False) -> Pair:
        def network(features):
            return ConvConditioner(features, self.width, self.dtype)

        def step(name):
            return FlowStep(network, Affine if self.coupling == "affine" else Additive, self.mixing, name=name)

        return chain([Squeeze(), Steps(step, self.steps, remat=self.remat, name="steps")], x, condition, inverse)


class Glow(nn.Module):
    """Maps images to latents ~ N(0, I), or back.

        z, log_det = flow(x, label)                      # (b, h, w, c), (b,) -> (b, h · w · c), (b,)
        x, log_det = flow(z, label, inverse=True)

    Raises ValueError for sides that are no multiples of 2^levels.
    """

    shape: tuple[int, int, int]
    """The shape (h, w, c) of an image."""
    levels: int = 3
    """The number of levels, at each of which the image is squeezed; half the channels leave after all but the last."""
    steps: int = 32
    """The number of steps at each level."""
    width: int = 512
    """The number of channels of the couplings' networks."""
    coupling: Literal["affine", "additive"] = "affine"
    """What a coupling does to a value: scale and shift it, or only shift it."""
    mixing: Mixing = "convolution"
    """How the channels are mixed before each coupling."""
    classes: int = 0
    """The number of classes. Labels condition the last prior (as in the paper) and the couplings. 0: they are
    ignored."""
    remat: bool = False
    """Whether the activations of a step are computed again for the gradient, to save memory."""
    dtype: Dtype | None = None
    """The type in which the couplings' networks and the priors compute."""

    @nn.compact
    def __call__(self, x: Float[Array, "b ..."], label: Label = None, inverse: bool = False) -> Pair:
        halve(*self.shape[:2], times=self.levels)
        condition = jax.nn.one_hot(label, self.classes, dtype=x.dtype) if self.classes else None
        options = self.steps, self.width, self.coupling, self.mixing, self.remat, self.dtype
        levels = [GlowLevel(*options, name=f"level_{i}") for i in range(self.levels)]
        priors = [Standardise(self.dtype, name=f"prior_{i}") for i in range(self.levels)]
        shapes = [squeezed(self.shape, i + 1, splits=i) for i in range(self.levels)]
        return multi_scale(levels, priors, shapes, x, condition, inverse)
