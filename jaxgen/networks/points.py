"""Multi-layer perceptrons for points of the plane, or of any number of features: the players of a GAN, and the network
of a diffusion model.

                                              generator                      discriminator
    WGAN-GP (Gulrajani et al. 2017)           527,874 with 2 latent units    527,361
    Unrolled GAN (Metz et al. 2017)           49,666 with 256 latent units   17,025

WGAN-GP's are the defaults, three layers of 512 with ReLU. Those of the unrolled GAN take `hidden=(128, 128)`,
`activation=nn.tanh` and `kernel_init=nn.initializers.orthogonal(1.4)`.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxgen.layers import time_embedding
from jaxgen.types import Label

__all__ = ["PointDenoiser", "PointDiscriminator", "PointGenerator"]


def perceptron(
    x: Float[Array, "b i"],
    widths: Sequence[int],
    activation: Callable[[Array], Array],
    kernel_init: Initializer,
    dtype: Dtype | None,
) -> Float[Array, "b o"]:
    """Applies dense layers of these widths, which belong to the calling module; the last is not activated."""
    for i, width in enumerate(widths):
        x = nn.Dense(width, kernel_init=kernel_init, dtype=dtype)(activation(x) if i else x)
    return x.astype(jnp.float32)


class PointGenerator(nn.Module):
    """Maps a latent to a point, whose coordinates are not bounded. It ignores the label.

    point = generator(latent, label, train=train)      # (b, z), (b,) -> (b, features)
    """

    features: int = 2
    """The number of coordinates."""
    hidden: Sequence[int] = (512,) * 3
    """The widths of the hidden layers."""
    activation: Callable[[Array], Array] = nn.relu
    """The activation of the hidden layers."""
    kernel_init: Initializer = nn.initializers.he_uniform()
    """The initialiser of the kernels."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False) -> Float[Array, "b f"]:
        return perceptron(latent, (*self.hidden, self.features), self.activation, self.kernel_init, self.dtype)


class PointDiscriminator(nn.Module):
    """Maps a point to one logit. It ignores the label.

    logit = discriminator(point, label, train=train)      # (b, f), (b,) -> (b,)
    """

    hidden: Sequence[int] = (512,) * 3
    """The widths of the hidden layers."""
    activation: Callable[[Array], Array] = nn.relu
    """The activation of the hidden layers."""
    kernel_init: Initializer = nn.initializers.he_uniform()
    """The initialiser of the kernels."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, image: Float[Array, "b f"], label: Label = None, *, train: bool = False) -> Float[Array, "b"]:
        return perceptron(image, (*self.hidden, 1), self.activation, self.kernel_init, self.dtype)[:, 0]


class PointDenoiser(nn.Module):
    """Maps points, the time and the label to `outputs` values for each feature.

    values = network(x, time, label, train=train)      # (b, f), (b,), (b,) -> (b, f · outputs)
    """

    hidden: Sequence[int] = (256,) * 3
    """The widths of the hidden layers."""
    outputs: int = 1
    """The number of values for each feature; 2 for learned variances."""
    classes: int = 0
    """The number of classes. A label is from 0 to classes - 1, or `classes` for none. 0: the label is ignored."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b f"], time: Float[Array, "b"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b o"]:
        inputs = [x, time_embedding(time, 64)]
        if self.classes:
            inputs.append(nn.Embed(self.classes + 1, 64)(label))
        widths = (*self.hidden, x.shape[-1] * self.outputs)
        return perceptron(jnp.concatenate(inputs, -1), widths, nn.swish, nn.initializers.he_uniform(), self.dtype)
