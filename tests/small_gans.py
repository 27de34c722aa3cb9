"""Small GANs, and what their tests share."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxgen.models import GAN
from jaxgen.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator

SHAPE = (8, 8, 1)


def dense(**options):
    classes = options.get("classes", 0)
    generator = MLPGenerator(SHAPE, 8, (16,), classes)
    discriminator = MLPDiscriminator((16,), 8, 8, classes)
    return GAN(generator, discriminator, optax.adam(1e-3, 0.5), optax.adam(1e-3, 0.5), latent=4, **options)


def convolutional(**options):
    generator, discriminator = DCGANGenerator(SHAPE, width=4), DCGANDiscriminator(width=4)
    return GAN(generator, discriminator, optax.adam(1e-3, 0.5), optax.adam(1e-3, 0.5), latent=4, **options)


def batch(n=8, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (n, *SHAPE)).astype(np.uint8)
    return {"image": jnp.array(image), "label": jnp.arange(n, dtype=jnp.int32) % 3}


def again(state):
    """The state for one more use: its key may be consumed twice here."""
    return state.replace(key=jax.random.clone(state.key))


def largest_difference(a, b):
    return max(float(jnp.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


class Shift(nn.Module):
    """G(z) = z + a: the generator of the smallest games."""

    @nn.compact
    def __call__(self, latent, label=None, *, train=False):
        return latent + self.param("shift", nn.initializers.constant(0.5), (2,))


class Linear(nn.Module):
    """D(x) = w · x: a discriminator whose gradients are known."""

    @nn.compact
    def __call__(self, image, label=None, *, train=False):
        return nn.Dense(1, use_bias=False)(image.reshape(len(image), -1))[:, 0]
