"""Multi-layer perceptrons: the VAE of Kingma & Welling (2014) and the conditional GAN of Mirza & Osindero (2014).

Both see images as intensities in [0, 1], with an empty background at 0. From the library's [-1, 1] the sum of a dense
layer over hundreds of background pixels at -1 would drown the drawing (on MNIST the VAE ends 2.6 nats lower).
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxgen.pixels import to_unit
from jaxgen.types import Label

__all__ = ["MLPDecoder", "MLPDiscriminator", "MLPEncoder", "MLPGenerator"]

# The players start at U(±1/√fan-in), a third of the variance of Flax's default: from there the generator's sigmoids do
# not saturate before the game has begun. A one-hot label is a single active input, so its fan-in is 1; were it counted
# as `classes`, the label would start fainter than the latent and the generator might never heed it.
weights = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
label_weights = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=(), batch_axis=0)


class MLPEncoder(nn.Module):
    """Image (and, with `classes`, its label) to the posterior's mean and log variance, each of `latent` units."""

    latent: int = 20
    hidden: Sequence[int] = (500,)
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b ..."], label: Label = None):
        x = to_unit(image).reshape(image.shape[0], -1)
        if self.classes:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.classes)], axis=-1)
        for features in self.hidden:
            x = nn.relu(nn.Dense(features, dtype=self.dtype)(x))
        return jnp.split(nn.Dense(2 * self.latent, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)


class MLPDecoder(nn.Module):
    """Latent (and label) to the likelihood's parameters, an array of `shape` (h, w, channels × outputs)."""

    shape: Sequence[int]
    hidden: Sequence[int] = (500,)
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None) -> Float[Array, "b h w p"]:
        x = latent
        if self.classes:
            x = jnp.concatenate([x, jax.nn.one_hot(label, self.classes)], axis=-1)
        for features in self.hidden:
            x = nn.relu(nn.Dense(features, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x)
        return x.astype(jnp.float32).reshape(-1, *self.shape)


class MLPGenerator(nn.Module):
    """Latent and label, each embedded, concatenated, and decoded to an image of `shape` in (-1, 1).

    The output 2 sigmoid(x) - 1 is the paper's sigmoid in the library's pixel range. With the defaults, 100 latent
    units, `classes=10` and 28×28 images it has 548,112 parameters.
    """

    shape: Sequence[int]
    embedding: int = 128
    hidden: Sequence[int] = (512,)
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False):
        dense = partial(nn.Dense, kernel_init=weights, dtype=self.dtype)
        x = dense(self.embedding)(latent)
        if self.classes:
            code = jax.nn.one_hot(label, self.classes)
            x = jnp.concatenate([x, dense(self.embedding, kernel_init=label_weights)(code)], axis=-1)
        x = nn.relu(x)
        for features in self.hidden:
            x = nn.relu(dense(features)(x))
        x = dense(math.prod(self.shape))(x).astype(jnp.float32)
        return (2 * nn.sigmoid(x) - 1).reshape(-1, *self.shape)


class MLPDiscriminator(nn.Module):
    """Image and label, each embedded, concatenated, and judged by one logit.

    With the defaults, `classes=10` and 28×28 images it has 477,249 parameters.
    """

    hidden: Sequence[int] = (512, 128)
    embedding: int = 128
    joint: int = 32
    classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, image: Float[Array, "b ..."], label: Label = None, *, train: bool = False):
        x = to_unit(image).reshape(image.shape[0], -1)
        dense = partial(nn.Dense, kernel_init=weights, dtype=self.dtype)
        for features in self.hidden:
            x = nn.leaky_relu(dense(features)(x), 0.2)
        if self.classes:
            code = jax.nn.one_hot(label, self.classes)
            code = nn.leaky_relu(dense(self.embedding, kernel_init=label_weights)(code), 0.2)
            x = jnp.concatenate([x, code], axis=-1)
        x = nn.leaky_relu(dense(self.joint)(x), 0.2)
        return dense(1)(x).astype(jnp.float32)[:, 0]
