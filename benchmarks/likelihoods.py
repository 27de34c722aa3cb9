"""Training and sampling of diffusion's U-Net and of Glow against PyTorch's, eager: python -m benchmarks.likelihoods

They are measured as in `benchmarks.pytorch`, with small networks of the published structure on 32×32×3 images. A step
of sampling draws a batch of samples, which takes the U-Net 20 steps of DDIM.
"""

import os
import time

import numpy as np

from benchmarks.comparison import READINGS, compare, steps_per_second

SYSTEMS = {  # batch size, steps between two readings of the clock
    "U-Net, training": (32, 4),
    "U-Net, sampling": (32, 1),
    "Glow, training": (32, 4),
    "Glow, sampling": (32, 1),
}
EXAMPLES = 1000
SIDE, WIDTH, MULTIPLIERS, BLOCKS = 32, 64, (1, 2, 2), 1  # the U-Net's
LEVELS, STEPS, GLOW_WIDTH = 2, 8, 128
SAMPLING_STEPS = 20


def images() -> np.ndarray:
    """Returns noise in place of images: no operation's speed depends on the pixels."""
    return np.random.default_rng(0).integers(0, 256, (EXAMPLES, SIDE, SIDE, 3)).astype(np.uint8)


def measure_jaxgen(system: str) -> list[float]:
    """Returns the steps per second that `fit` logs, or those of a compiled `sample`."""
    from functools import partial

    import jax
    import optax

    from jaxgen.data import Dataset
    from jaxgen.diffusion import DDIM
    from jaxgen.models import Diffusion, NormalizingFlow
    from jaxgen.networks import DiffusionUNet, Glow
    from jaxgen.sharding import data_mesh

    batch_size, steps = SYSTEMS[system]
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    shape, adam = (SIDE, SIDE, 3), optax.adam(1e-3)
    if system.startswith("U-Net"):
        network = DiffusionUNet(WIDTH, MULTIPLIERS, BLOCKS, (), 0.0)
        model = Diffusion(shape, network, adam)
        sampled = partial(model.sample, sampler=DDIM(SAMPLING_STEPS))
    else:
        model = NormalizingFlow(Glow(shape, LEVELS, STEPS, GLOW_WIDTH), adam)
        sampled = model.sample
    data = Dataset({"image": images()})
    if system.endswith("training"):
        return steps_per_second(model, data, batch_size, steps, None)
    state = jax.jit(lambda key: model.init(key, data.spec(batch_size)))(jax.random.key(0))
    sample, rates = jax.jit(sampled, static_argnums=2), []
    with jax.set_mesh(data_mesh()):
        for key in jax.random.split(jax.random.key(1), READINGS + 1):
            start = time.perf_counter()
            jax.block_until_ready(sample(state, key, batch_size))
            rates.append(1 / (time.perf_counter() - start))
    return rates[1:]


def measure_pytorch(system: str) -> list[float]:
    """Returns the steps per second of the usual eager loop, with fused Adam."""
    from benchmarks.torch_likelihoods import DiffusionModel, Flow, Glow, UNet, measure

    def make():
        if system.startswith("U-Net"):
            return DiffusionModel(UNet(WIDTH, MULTIPLIERS, BLOCKS), SAMPLING_STEPS)
        return Flow(Glow(SIDE, LEVELS, STEPS, GLOW_WIDTH))

    return measure(make, images(), *SYSTEMS[system], sampling=system.endswith("sampling"))


if __name__ == "__main__":
    compare("benchmarks.likelihoods", __doc__, SYSTEMS, measure_pytorch, measure_jaxgen)
