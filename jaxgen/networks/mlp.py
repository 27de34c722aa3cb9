"""Multi-layer perceptrons: the VAE of Kingma & Welling (2014) and the conditional GAN of Mirza & Osindero (2014).

All of them see images as intensities in [0, 1], with an empty background at 0. From the library's [-1, 1] the sum of a
dense layer over hundreds of background pixels at -1 would drown the drawing (on MNIST the VAE ends 2.6 nats lower).
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.nn.initializers import Initializer
from jaxtyping import Array, Float

from jaxgen.layers import with_label
from jaxgen.pixels import to_unit
from jaxgen.types import Label

__all__ = ["MLPDecoder", "MLPDiscriminator", "MLPEncoder", "MLPGenerator"]

# The players start at U(±1/√fan-in), a third of the variance of Flax's default: from there the generator's sigmoids do
# not saturate before the game has begun. A one-hot label is a single active input, so its fan-in is 1; if it were
# counted as `classes`, the label would start fainter than the latent and the generator might never heed it.
weights: Initializer = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
label_weights: Initializer = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=(), batch_axis=0)


class MLPEncoder(nn.Module):
    """Maps an image, and with `classes` its label, to the mean and the log variance of its posterior.

    mean, log_variance = encoder(image, label, train=train)      # (b, ...), (b,) -> (b, latent), (b, latent)
    """

    latent: int = 20
    """The number of latent units."""
    hidden: Sequence[int] = (500,)
    """The widths of the hidden layers."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "b ..."], label: Label = None, *, train: bool = False
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        x = with_label(to_unit(image).reshape(image.shape[0], -1), label, self.classes)
        for features in self.hidden:
            x = nn.relu(nn.Dense(features, dtype=self.dtype)(x))
        mean, log_variance = jnp.split(nn.Dense(2 * self.latent, dtype=self.dtype)(x).astype(jnp.float32), 2, axis=-1)
        return mean, log_variance


class MLPDecoder(nn.Module):
    """Maps a latent, and with `classes` a label, to the parameters of the likelihood.

    parameters = decoder(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)
    """

    shape: Sequence[int]
    """The shape (h, w, p) of the output, with p = channels × parameters for each value."""
    hidden: Sequence[int] = (500,)
    """The widths of the hidden layers."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w p"]:
        x = with_label(latent, label, self.classes)
        for features in self.hidden:
            x = nn.relu(nn.Dense(features, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x)
        return x.astype(jnp.float32).reshape(-1, *self.shape)


class MLPGenerator(nn.Module):
    """Embeds latent and label, concatenates them, and maps them to an image in (-1, 1).

        image = generator(latent, label, train=train)      # (b, z), (b,) -> (b, *shape)

    The output 2 sigmoid(x) - 1 is the paper's sigmoid in the library's pixel range. With the defaults, 100 latent
    units, `classes=10` and 28×28 images it has 548,112 parameters.
    """

    shape: Sequence[int]
    """The shape (h, w, c) of the image."""
    embedding: int = 128
    """The width of each of the two embeddings."""
    hidden: Sequence[int] = (512,)
    """The widths of the hidden layers."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(
        self, latent: Float[Array, "b z"], label: Label = None, *, train: bool = False
    ) -> Float[Array, "b h w c"]:
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
    """Embeds image and label, concatenates them, and maps them to one logit.

        logit = discriminator(image, label, train=train)      # (b, ...), (b,) -> (b,)

    With the defaults, `classes=10` and 28×28 images it has 477,249 parameters.
    """

    hidden: Sequence[int] = (512, 128)
    """The widths of the layers that embed the image."""
    embedding: int = 128
    """The width of the label's embedding."""
    joint: int = 32
    """The width of the layer that sees both."""
    classes: int = 0
    """The number of classes; 0 for an unconditional network, which ignores the label."""
    dtype: Dtype | None = None
    """The type in which the network computes."""

    @nn.compact
    def __call__(self, image: Float[Array, "b ..."], label: Label = None, *, train: bool = False) -> Float[Array, "b"]:
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
