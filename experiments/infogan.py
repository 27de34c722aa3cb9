"""InfoGAN (Chen et al. 2016, arXiv:1606.03657): codes that the images reveal, found without labels.

python -m experiments.infogan                  real digits, 16×16
python -m experiments.infogan mnist            28×28, the paper's networks, 62 units of noise, 10 categories, 2 codes
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from experiments.shared.adversarial import DecayOptions, GameConfig, gan_experiment, optimisers, options
from experiments.shared.adversarial import evaluator as evaluator_of_samples
from jaxgen.cli import ByLabel, Drawn, at_least, main
from jaxgen.cli.sampling import Load, drawn
from jaxgen.evaluation import Evaluator, joined
from jaxgen.evaluation.codes import code_evaluator
from jaxgen.evaluation.pictures import draw_codes, draw_neighbours
from jaxgen.models import InfoGAN
from jaxgen.networks import InfoGANDiscriminator, InfoGANGenerator
from jaxgen.types import State


@dataclass(frozen=True)
class InfoGANConfig(DecayOptions, GameConfig):
    """The settings of an InfoGAN."""

    latent: int = 62
    categories: int = 10
    """The number of categories of the categorical code."""
    continuous: int = 2
    """The number of continuous codes."""
    information_weight: float = 0.1
    """λ, the weight of the bound on the mutual information in both losses. At 1 (the paper's for categories) the
    categories are settled while the images are still blobs, and stay mixtures of classes."""
    continuous_scale: float | None = 1.0
    """Q's standard deviation of the continuous codes; None: it is learned."""
    width: int | None = 64
    generator_learning_rate: float = 1e-3
    batch_size: int = 128

    convolutional: ClassVar[bool] = False  # most weights are dense: one device, where all cores multiply, is faster
    retired: ClassVar[frozenset[str]] = frozenset({"network", "spectral_norm", "packing", "conditional", "truncation"})

    def __post_init__(self) -> None:
        at_least(1, self, "categories")
        at_least(0, self, "continuous")
        super().__post_init__()


@dataclass(frozen=True)
class CodeSampling(ByLabel):
    """How an InfoGAN samples: `labels` are categories, one row of the grid for each."""

    codes: tuple[float, ...] = ()
    """The continuous codes, which were trained in [-1, 1]; by default random."""

    def classes(self, model: Any) -> int:
        """Returns the number of categories of the first categorical code."""
        return sum(model.categorical[:1])

    def draw(self, model: Any, state: State, key: Key[Array, ""], n: int, load: Load) -> Drawn:
        """Draws n samples. ValueError for another number of codes than the model's, and as `ByLabel.draw` raises."""
        if self.codes and len(self.codes) != model.continuous:
            raise ValueError(
                f"--codes: {len(self.codes)} values, but this run's model has {model.continuous} continuous codes"
            )
        labels = self.rows(self.classes(model), n)
        columns = n // len(labels)
        n = columns * len(labels)
        codes = model.codes(jax.random.fold_in(key, 1), n)
        codes = codes._replace(categorical=codes.categorical.at[:, 0].set(jnp.repeat(jnp.array(labels), columns)))
        if self.codes:
            codes = codes._replace(continuous=jnp.tile(jnp.array(self.codes, jnp.float32), (n, 1)))
        return Drawn(drawn(model, state, key, n, {"codes": codes}), columns)


presets = {
    "digits": InfoGANConfig(image_size=16, width=32, steps=3000, batch_size=64, eval_every=1500),
    "mnist": InfoGANConfig(source="tfds:mnist", steps=50 * 469, checkpoint_every=5 * 469, eval_every=5 * 469),
}


def build(config: InfoGANConfig, data: Any) -> InfoGAN:
    """Returns the InfoGAN of a config for images like those of `data`."""
    judge_width = config.discriminator_width or config.width
    return InfoGAN(
        InfoGANGenerator(data.example["image"].shape, config.width, dtype=config.dtype),
        InfoGANDiscriminator((config.categories,), config.continuous, judge_width, dtype=config.dtype),
        *optimisers(config),
        **options(config),
        categorical=(config.categories,),
        continuous=config.continuous,
        information_weight=config.information_weight,
        continuous_scale=config.continuous_scale,
    )


def evaluator(config: InfoGANConfig, model: InfoGAN, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of samples, and for labelled images of the categorical code as a classifier."""
    samples = evaluator_of_samples(config, model, train, test)
    if not train.classes:
        return samples

    def infer(state: State, image: Array) -> Array:
        return model.infer(state, image).categorical[:, 0]

    return joined(samples, code_evaluator(infer, config.categories, train, test))


def draw(config: InfoGANConfig, model: InfoGAN, state: State, train: Any, test: Any, run: Path) -> None:
    """Draws the codes, and samples each with the nearest training image."""
    draw_codes(model, state, run)
    draw_neighbours(model.sample, state, train, run)


experiment = gan_experiment(
    __file__,
    presets,
    __doc__,
    build=build,
    evaluator=evaluator,
    pictures=draw,
    sampling=CodeSampling,
    best="code_error",
)

if __name__ == "__main__":
    main(experiment)
