"""Step rate of the models from images to images against PyTorch's, eager: python -m benchmarks.translation

They are measured as in `benchmarks.pytorch`, with the published networks, and the clock is read every second step. The
images are smaller than published, so that a step takes seconds.
"""

import os

import numpy as np

from benchmarks.comparison import compare, steps_per_second

SYSTEMS = {  # batch size, side of the images, devices of jaxgen's mesh on a CPU (None: all)
    "Pix2Pix": (1, 256, 1),
    "CycleGAN": (1, 128, 1),
    "DiscoGAN": (32, 64, None),
    "StarGAN": (4, 64, None),
}
STEPS = 2  # between two readings of the clock
EXAMPLES = 200
ATTRIBUTES = 5


def noise(system: str) -> dict[str, np.ndarray]:
    """Returns noise in place of images, with attributes for StarGAN: no operation's speed depends on the pixels."""
    size = SYSTEMS[system][1]
    draw = np.random.default_rng(0)
    names = {"Pix2Pix": ["source", "target"], "StarGAN": ["image"]}.get(system, ["a", "b"])
    arrays: dict[str, np.ndarray] = {
        name: draw.integers(0, 256, (EXAMPLES, size, size, 3)).astype(np.uint8) for name in names
    }
    if system == "StarGAN":
        arrays["attributes"] = draw.integers(0, 2, (EXAMPLES, ATTRIBUTES)).astype(np.int32)
    return arrays


def measure_jaxgen(system: str) -> list[float]:
    """Returns the steps per second that `fit` logs."""
    import jax
    import optax

    from jaxgen import networks
    from jaxgen.data import Dataset
    from jaxgen.models import CycleGAN, DiscoGAN, Pix2Pix, StarGAN

    batch_size, _, devices = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", devices or os.cpu_count())
    adam = optax.adam(2e-4, b1=0.5)
    match system:
        case "Pix2Pix":
            model = Pix2Pix(networks.UNetGenerator(), networks.PatchGANDiscriminator(), adam, adam)
        case "CycleGAN":
            judge = networks.PatchGANDiscriminator(norm="instance")
            model = CycleGAN(networks.CycleGANGenerator(), networks.CycleGANGenerator(), judge, judge, adam, adam)
        case "DiscoGAN":
            judge = networks.DiscoGANDiscriminator()
            model = DiscoGAN(networks.DiscoGANGenerator(), networks.DiscoGANGenerator(), judge, judge, adam, adam)
        case "StarGAN":
            players = networks.StarGANGenerator(), networks.StarGANDiscriminator(ATTRIBUTES)
            model = StarGAN(*players, adam, adam, groups=(1,) * ATTRIBUTES)
    data = Dataset(noise(system), unpaired="a" in noise(system))
    return steps_per_second(model, data, batch_size, STEPS, devices)


def measure_pytorch(system: str) -> list[float]:
    """Returns the steps per second of the usual eager loop, with fused Adam."""
    from benchmarks import torch_translation

    return torch_translation.measure(system, noise(system), SYSTEMS[system][0], STEPS)


if __name__ == "__main__":
    compare("benchmarks.translation", __doc__, SYSTEMS, measure_pytorch, measure_jaxgen)
