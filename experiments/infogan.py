"""InfoGAN (Chen et al. 2016, arXiv:1606.03657): codes that the images reveal, found without labels.

python -m experiments.infogan                  real digits, 16×16
python -m experiments.infogan mnist            28×28, the paper's networks: 62 noise, a category of 10, two in [-1, 1]
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from experiments.shared.adversarial import DecayOptions, GameConfig, gan_experiment, optimisers, options
from jaxgen.cli import ByLabel, Drawn, at_least, main
from jaxgen.cli.sampling import Load, drawn
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

    def __post_init__(self):
        at_least(1, self, "categories")
        at_least(0, self, "continuous")
        super().__post_init__()


@dataclass(frozen=True)
class CodeSampling(ByLabel):
    """How an InfoGAN samples: `labels` are categories, one row of the grid for each."""

    codes: tuple[float, ...] = ()
    """The continuous codes, which were trained in [-1, 1]; by default random."""

    def classes(self, model: Any) -> int:
        """The number of categories of the first categorical code."""
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


def code_evaluator(config: InfoGANConfig, model: InfoGAN, train, test) -> Callable:
    """As of every GAN, and the error of the categorical code as a classifier of the test set, where each category
    stands for the class that it most often meets in the training set."""
    rest = evaluator(config, model, train, test)
    if not train.classes:
        return rest
    infer = jax.jit(model.infer)

    def read(state, data):
        batches = [(np.asarray(infer(state, b["image"]).categorical)[:, 0], b["label"]) for b in data.batches(500)]
        return map(np.concatenate, zip(*batches, strict=True))

    def evaluate(state) -> dict[str, float]:
        met = np.zeros((config.categories, train.classes), int)
        np.add.at(met, tuple(read(state, train)), 1)
        code, label = read(state, test)
        return rest(state) | {"code_error": float((met.argmax(1)[code] != label).mean())}

    return replace(rest, figures=evaluate)


def draw(config: InfoGANConfig, model: InfoGAN, state, train, test, run: Path) -> None:
    """The categories, one a column, with noise of its own in each row; and walks along each continuous code from -2 to
    2, one category a row (the paper's figure 2)."""
    columns = config.categories
    codes = model.codes(jax.random.key(1), 10 * columns)
    categorical = jnp.tile(jnp.arange(columns), 10)[:, None]
    rows = jnp.repeat(jax.random.uniform(jax.random.key(2), (10, model.latent), minval=-1.0), columns, axis=0)
    sample = jax.jit(model.generate)

    def latent(noise, categorical, continuous):
        return jnp.concatenate([noise, jax.nn.one_hot(categorical[:, 0], columns), continuous], axis=1)

    images = sample(state, latent(rows, categorical, codes.continuous))
    save_image(run / "categories.png", image_grid(images, columns))
    steps = jnp.tile(jnp.linspace(-2, 2, 10), columns)
    for i in range(config.continuous):
        continuous = jnp.zeros((10 * columns, config.continuous)).at[:, i].set(steps)
        images = sample(state, latent(jnp.tile(rows[:1], (10 * columns, 1)), jnp.sort(categorical, 0), continuous))
        save_image(run / f"continuous_{i}.png", image_grid(images, 10))
    draw_neighbours(model, state, train, run)


experiment = gan_experiment(
    __file__, presets, __doc__, build=build, evaluator=code_evaluator, pictures=draw, best="code_error"
)

if __name__ == "__main__":
    main(experiment)
