"""Step rate of jaxgen's loop against PyTorch's, eager with fused Adam: pip install torch; python -m benchmarks.pytorch

Both train the same networks on the same 28×28 images, held in memory, at the same batch size. Each measurement is a
process of its own; the two libraries take turns. Printed are the medians over the rounds and their ratio (above 1:
jaxgen is faster). Only the ratios are worth comparing between machines. `--rounds 1` is a quick look.
"""

import os

import numpy as np

from benchmarks.comparison import compare, steps_per_second

EXAMPLES = 10_000
SYSTEMS = {  # batch size, steps between two readings of the clock, devices of jaxgen's mesh on a CPU (None: all)
    "cGAN, MLP": (128, 300, 1),
    "VAE, MLP": (128, 300, 1),
    "DCGAN": (64, 25, None),
}


def noise() -> dict[str, np.ndarray]:
    """Returns noise in place of images, with labels: no operation's speed depends on the pixels."""
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (EXAMPLES, 28, 28, 1), np.uint8)
    return {"image": image, "label": draw.integers(0, 10, EXAMPLES, np.int32)}


def measure_jaxgen(system: str) -> list[float]:
    """Returns the steps per second that `fit` logs."""
    import jax
    import optax

    from jaxgen import networks
    from jaxgen.data import Dataset
    from jaxgen.models import GAN, VAE

    batch_size, steps, devices = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", devices or os.cpu_count())
    shape, adam = (28, 28, 1), optax.adam(2e-4, b1=0.5)
    if system == "cGAN, MLP":
        players = networks.MLPGenerator(shape, classes=10), networks.MLPDiscriminator(classes=10)
        model = GAN(*players, adam, adam, classes=10)
    elif system == "VAE, MLP":
        model = VAE(networks.MLPEncoder(), networks.MLPDecoder(shape), optax.adam(1e-3))
    else:
        model = GAN(networks.DCGANGenerator(shape), networks.DCGANDiscriminator(), adam, adam)
    return steps_per_second(model, Dataset(noise(), tuple("0123456789")), batch_size, steps, devices)


def measure_pytorch(system: str) -> list[float]:
    """Returns the steps per second of the usual eager loop."""
    from benchmarks import torch_small

    batch_size, steps, _ = SYSTEMS[system]
    return torch_small.measure(system, noise(), batch_size, steps)


if __name__ == "__main__":
    compare("benchmarks.pytorch", __doc__, SYSTEMS, measure_pytorch, measure_jaxgen)
