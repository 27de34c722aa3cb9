"""Step rate of a SinGAN scale and of a stage of progressive growing against PyTorch's, eager:
python -m benchmarks.growing

It is measured as in `benchmarks.pytorch`. Both critics have a gradient penalty, so both libraries differentiate twice.
"""

import os

import numpy as np

from benchmarks.comparison import READINGS, compare, steps_per_second

SYSTEMS = {  # batch size, height and width of the images, steps between two readings of the clock, devices of the mesh
    "SinGAN, a scale": (1, (96, 128), 5, 1),  # 32 channels; three steps of each player
    "growing, a stage": (16, (32, 32), 3, 1),  # 64 channels at full size, grown
}
EXAMPLES = 200


def images(system: str) -> np.ndarray:
    """Returns noise in place of images: no operation's speed depends on the pixels. SinGAN has a single one."""
    batch_size, size, *_ = SYSTEMS[system]
    count = EXAMPLES if batch_size > 1 else 1
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype(np.uint8)


def measure_jaxgen(system: str) -> list[float]:
    """Returns the steps per second that `fit` logs."""
    import jax
    import optax

    from jaxgen import losses, networks
    from jaxgen.data import Dataset
    from jaxgen.models import GAN, SinGAN

    batch_size, size, steps, devices = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", devices or os.cpu_count())
    shape = (*size, 3)
    if batch_size == 1:
        adam = optax.adam(5e-4, b1=0.5)
        players = networks.SinGANGenerator(), networks.SinGANDiscriminator()
        model = SinGAN(*players, adam, adam, shape, smallest=min(size), steps=(READINGS + 1) * steps)
    else:
        adam = optax.adam(1e-3, 0.0, 0.99)
        players = networks.ProgressiveGenerator(shape, 64), networks.ProgressiveDiscriminator(size[0], 64)
        penalties = (losses.Penalty(losses.gradient_penalty),)
        model = GAN(*players, adam, adam, losses.wasserstein_drift, latent=512, ema=0.999, penalties=penalties)
    return steps_per_second(model, Dataset({"image": images(system)}), batch_size, steps, devices)


def measure_pytorch(system: str) -> list[float]:
    """Returns the steps per second of the usual eager loop, with fused Adam."""
    from benchmarks import torch_growing

    batch_size, _, steps, _ = SYSTEMS[system]
    return torch_growing.measure(images(system), batch_size, steps)


if __name__ == "__main__":
    compare("benchmarks.growing", __doc__, SYSTEMS, measure_pytorch, measure_jaxgen)
