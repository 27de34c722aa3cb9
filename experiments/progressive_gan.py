"""Progressive growing of GANs (Karras et al. 2018, arXiv:1710.10196): from 4×4 up, a size at a time.

python -m experiments.progressive_gan                  real digits, to 16×16
python -m experiments.progressive_gan mnist            to 32×32
python -m experiments.progressive_gan cifar10          to 32×32, with the paper's number of parameters below 64×64
python -m experiments.progressive_gan paper --source folder:PATH        to 1024×1024, the paper's settings

With --loss non_saturating --penalty r1: the regularisation of Mescheder et al. 2018 in place of WGAN-GP.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments.shared.adversarial import (
    GameConfig,
    PackingOptions,
    TruncationOptions,
    draw,
    gan_experiment,
    optimisers,
    options,
)
from jaxgen.cli import at_least, main
from jaxgen.data import read_image
from jaxgen.models import GAN, ProgressiveGAN
from jaxgen.models.progressive_gan import Stage
from jaxgen.networks import ProgressiveDiscriminator, ProgressiveGenerator
from jaxgen.networks.sizes import growth
from jaxgen.report import save_image
from jaxgen.types import State


@dataclass(frozen=True)
class ProgressiveGANConfig(PackingOptions, TruncationOptions, GameConfig):
    """The settings of progressive growing."""

    stage_images: int = 600_000
    """The number of images that are seen while a stage fades in, and again before the next; the last stage goes on to
    the end."""
    factors: tuple[int, ...] = ()
    """The minibatch at each size, from 4×4 up, in units of the batch size; by default one unit each."""
    widest: int = 512
    """The largest number of channels of a layer."""

    retired: ClassVar[frozenset[str]] = frozenset({"network", "spectral_norm", "conditional", "linear_decay"})

    def __post_init__(self) -> None:
        at_least(1, self, "stage_images", "widest")
        if min(self.factors, default=1) < 1:
            raise ValueError(f"--factors {' '.join(map(str, self.factors))}: at least 1 is needed")
        super().__post_init__()


cifar10 = ProgressiveGANConfig(
    source="tfds:cifar10",
    image_size=32,
    flip=True,
    width=512,
    latent=512,
    loss="wasserstein_drift",
    penalty=("gradient_penalty",),
    generator_learning_rate=1e-3,
    discriminator_learning_rate=1e-3,
    b1=0.0,
    b2=0.99,
    ema=0.999,
    batch_size=64,
    steps=7 * 600_000 // 64,
    checkpoint_every=2000,
    eval_every=600_000 // 64,
)
digits = replace(
    cifar10,
    source="digits",
    image_size=16,
    flip=False,
    width=16,
    latent=64,
    stage_images=32_000,
    steps=4000,
    eval_every=500,
)
presets = {
    "digits": digits,
    "mnist": replace(
        digits, source="tfds:mnist", image_size=32, width=32, stage_images=150_000, steps=20_000, eval_every=2344
    ),
    "cifar10": cifar10,
    "paper": replace(
        cifar10,
        source="folder:images",
        image_size=1024,
        width=16,
        factors=(32, 32, 32, 16, 8, 4, 2, 1, 1),
        batch_size=4,
        steps=800_000,
        eval_every=20_000,
    ),
}


def build(config: ProgressiveGANConfig, data: Any) -> ProgressiveGAN:
    """Returns the growing GAN of a config for images like those of `data`."""
    shape = data.example["image"].shape
    sizes = growth(*shape[:2])
    factors = config.factors or (1,) * len(sizes)
    if len(factors) != len(sizes):
        raise ValueError(f"--factors: {len(factors)}, but there are the sizes {', '.join(map(str, sizes))}")
    halves = [-(-config.stage_images // (config.batch_size * factor)) for factor in factors]
    stages = [
        Stage(half * (2 if i else 1), half if i else 0, factor)
        for i, (half, factor) in enumerate(zip(halves, factors, strict=True))
    ]
    common = {"widest": config.widest, "dtype": config.dtype}
    gan = GAN(
        ProgressiveGenerator(shape, config.width, **common),
        ProgressiveDiscriminator(shape[0], config.discriminator_width or config.width, **common),
        *optimisers(config),
        **options(config),
    )
    return ProgressiveGAN(gan, stages=tuple(stages))


def pictures(
    config: ProgressiveGANConfig, model: ProgressiveGAN, state: State, train: Any, test: Any, run: Path
) -> None:
    """Draws what every GAN draws, and the first row of the last samples of each stage."""
    draw(config, model, state, train, test, run)
    rows, ends = {}, np.cumsum([phase.steps for phase in model.phases])
    for path in sorted((run / "samples").glob("*.png")):
        picture = read_image(path, train.example["image"].shape[-1])
        rows[np.searchsorted(ends[:-1], int(path.stem))] = picture[: picture.shape[0] // 8]
    save_image(run / "stages.png", np.concatenate(list(rows.values())))


experiment = gan_experiment(__file__, presets, __doc__, build=build, pictures=pictures)

if __name__ == "__main__":
    main(experiment)
