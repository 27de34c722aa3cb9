"""JAX's native convolutions against `jaxgen.layers.convolution`: python -m benchmarks.convolution

Each row runs both in turn, 15 times, and prints the median times and their ratio (above 1: ours is faster). Only the
ratios are worth comparing between machines. `--quick` runs both three times.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxgen.layers import Conv, ConvTranspose, conv, conv_kernel, conv_transpose

LAYERS = [  # batch, size, in, out, kernel, stride
    (64, 28, 1, 64, 5, 2),
    (64, 14, 64, 128, 5, 2),
    (64, 7, 128, 256, 5, 2),
    (64, 16, 64, 128, 4, 2),
    (64, 32, 3, 64, 4, 2),
    (64, 32, 64, 64, 3, 1),
    (64, 16, 128, 128, 3, 1),
    (64, 8, 256, 256, 3, 1),
    (64, 32, 64, 3, 3, 1),
    (64, 28, 64, 1, 7, 1),
    (64, 32, 64, 128, 1, 1),
    (1, 128, 64, 64, 3, 1),
]


def native(x, w, strides):
    """Returns the convolution of x (b, h, w, i) with the kernel w (k, k, i, o) by JAX's own operation."""
    return lax.conv_general_dilated(x, w, (strides, strides), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def native_transpose(y, w, strides):
    """Returns the transposed convolution of y (b, h, w, o) with the kernel w (k, k, i, o) by JAX's own operation."""
    return lax.conv_transpose(y, w, (strides, strides), "SAME", transpose_kernel=True)


def compare(title, theirs, ours, *args):
    """Prints the times of two functions on the same arguments, and their ratio."""
    theirs, ours = jax.jit(theirs), jax.jit(ours)
    seconds = ([], [])
    for _ in range(1 + (3 if "--quick" in sys.argv else 15)):  # the first compiles
        for f, samples in zip((theirs, ours), seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(f(*args))
            samples.append(time.perf_counter() - start)
    a, b = (1e3 * statistics.median(samples[1:]) for samples in seconds)
    print(f"{title:58} native {a:8.1f} ms   ours {b:8.1f} ms   ratio {a / b:5.2f}", flush=True)


def layer(batch, size, inputs, outputs, kernel, strides):
    """Prints the times of what training computes of one layer: the map, its adjoints, and a gradient penalty."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (batch, size, size, inputs))
    w = jax.random.normal(keys[1], (kernel, kernel, inputs, outputs)) / (kernel * inputs**0.5)
    y = jax.random.normal(keys[2], (batch, -(-size // strides), -(-size // strides), outputs))
    name = f"{size}×{size}, {inputs} → {outputs}, kernel {kernel}, stride {strides}"

    def gradient(transpose, of):
        return lambda y, w, x: jax.grad(lambda y, w: jnp.vdot(transpose(y, w, strides), x), of)(y, w)

    def penalty(f):  # the gradient of a gradient's norm, as WGAN-GP and R1 need it
        def norm(w, x):
            return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(f(x, w, strides))))(x) ** 2)

        return jax.grad(norm)

    def adjoint(of):
        def compute(x, w, y):
            linear = (lambda x: native(x, w, strides)) if of == 0 else (lambda w: native(x, w, strides))
            return jax.linear_transpose(linear, (x, w)[of])(y)[0]

        return compute

    compare(f"forward             {name}", partial(native, strides=strides), partial(conv, strides=strides), x, w)
    ours = lambda x, w, y: conv_transpose(y, w, strides)  # noqa: E731
    compare(f"adjoint in x        {name}", adjoint(0), ours, x, w, y)
    ours = lambda x, w, y: conv_kernel(x, y, kernel, strides)  # noqa: E731
    compare(f"adjoint in w        {name}", adjoint(1), ours, x, w, y)
    if strides > 1:
        theirs, ours = (gradient(f, 1) for f in (native_transpose, conv_transpose))
        compare(f"transposed, its dw  {name}", theirs, ours, y, w, x)
    compare(f"gradient penalty    {name}", penalty(native), penalty(conv), w, x)


class Generator(nn.Module):
    """The generator of a small DCGAN."""

    up: Callable
    """(features, kernel, strides) -> a transposed convolution."""

    @nn.compact
    def __call__(self, z):
        """Returns images (b, 28, 28, 1)."""
        x = nn.relu(nn.Dense(7 * 7 * 128)(z)).reshape(-1, 7, 7, 128)
        x = nn.relu(self.up(64, 4, 2)(x))
        return jnp.tanh(self.up(1, 4, 2)(x))


class Discriminator(nn.Module):
    """The discriminator of a small DCGAN."""

    down: Callable
    """(features, kernel, strides) -> a convolution."""

    @nn.compact
    def __call__(self, x):
        """Returns logits (b, 1)."""
        x = nn.leaky_relu(self.down(64, 4, 2)(x), 0.2)
        x = nn.leaky_relu(self.down(128, 4, 2)(x), 0.2)
        return nn.Dense(1)(x.reshape(x.shape[0], -1))


def flax_down(features, kernel, strides):
    """Returns Flax's convolution."""
    return nn.Conv(features, (kernel, kernel), strides)


def flax_up(features, kernel, strides):
    """Returns Flax's transposed convolution."""
    return nn.ConvTranspose(features, (kernel, kernel), (strides, strides))


def gan(down, up, length=None):
    """Returns a training step of DCGAN at 28×28, or `length` of them in one scan, and the state before it."""
    generator, discriminator, optimiser = Generator(up), Discriminator(down), optax.adam(2e-4, b1=0.5)
    key, batch = jax.random.key(0), 64
    real = jax.random.uniform(key, (batch, 28, 28, 1), minval=-1)
    params = (generator.init(key, jnp.ones((1, 64))), discriminator.init(key, real))
    state = (params, tuple(optimiser.init(p) for p in params), jax.random.key(1))

    def make(g, z) -> Any:
        return generator.apply(g, z)

    def judge(d, x) -> Any:
        return discriminator.apply(d, x)

    def step(state, _):
        (g, d), (g_state, d_state), key = state
        key, noise = jax.random.split(key)
        z = jax.random.normal(noise, (batch, 64))

        def d_loss(d):
            fake = judge(d, make(g, z))
            return jnp.mean(nn.softplus(fake)) + jnp.mean(nn.softplus(-judge(d, real)))

        def g_loss(g):
            return jnp.mean(nn.softplus(-judge(d, make(g, z))))

        updates, d_state = optimiser.update(jax.grad(d_loss)(d), d_state)
        d = optax.apply_updates(d, updates)
        updates, g_state = optimiser.update(jax.grad(g_loss)(g), g_state)
        return ((optax.apply_updates(g, updates), d), (g_state, d_state), key), None

    run = (lambda s: step(s, None)[0]) if length is None else (lambda s: lax.scan(step, s, length=length)[0])
    return run, state


def main():
    """Runs all rows: the layers, then training steps."""
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {jax.default_backend()}")
    for shape in LAYERS:
        layer(*shape)
    for title, length in (("DCGAN 28×28, batch 64: one step", None), ("the same: 4 steps in one scan", 4)):
        theirs, their_state = gan(flax_down, flax_up, length)
        ours, our_state = gan(Conv, ConvTranspose, length)
        compare(title, lambda a, b, f=theirs: f(a), lambda a, b, f=ours: f(b), their_state, our_state)


if __name__ == "__main__":
    main()
