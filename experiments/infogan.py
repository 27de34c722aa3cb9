"""InfoGAN (Chen et al. 2016, arXiv:1606.03657): codes that the images reveal, found without labels.

python -m experiments.infogan                  real digits, 16×16
python -m experiments.infogan mnist            28×28, the paper's networks: 62 noise, a category of 10, two in [-1, 1]
"""

from dataclasses import dataclass
from pathlib import Path

from experiments.adversarial import GANConfig, evaluator, gan_experiment, optimisers, options
from jaxgen.evaluation import Evaluator, code_evaluator, joined
from jaxgen.evaluation.pictures import draw_codes, draw_neighbours
from jaxgen.models import InfoGAN
from jaxgen.networks import InfoGANDiscriminator, InfoGANGenerator
from jaxgen.training.experiment import main


@dataclass(frozen=True)
class InfoGANConfig(GANConfig):
    latent: int = 62
    categories: int = 10
    """Of the categorical code."""
    continuous: int = 2
    """How many continuous codes there are."""
    information_weight: float = 0.1
    """λ, of the bound on the mutual information in both losses. At 1 (the paper's for categories) the categories are
    settled while the images are still blobs, and stay mixtures of classes."""
    continuous_scale: float | None = 1.0
    """Q's standard deviation of the continuous codes; None: learned."""
    width: int | None = 64
    generator_learning_rate: float = 1e-3
    batch_size: int = 128

    @property
    def convolutional(self) -> bool:
        return False  # most of its weights are dense: one device, where all cores multiply, is the faster


presets = {
    "digits": InfoGANConfig(image_size=16, width=32, steps=3000, batch_size=64, eval_every=1500),
    "mnist": InfoGANConfig(source="tfds:mnist", steps=50 * 469, checkpoint_every=5 * 469, eval_every=5 * 469),
}


def build(config: InfoGANConfig, data) -> InfoGAN:
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


def figures(config: InfoGANConfig, model: InfoGAN, train, test) -> Evaluator:
    """As of every GAN, and the error of the categorical code as a classifier of the test set."""
    rest = evaluator(config, model, train, test)
    if not train.classes:
        return rest
    return joined(
        rest, code_evaluator(lambda state, x: model.infer(state, x).categorical[:, 0], config.categories, train, test)
    )


def draw(config: InfoGANConfig, model: InfoGAN, state, train, test, run: Path) -> None:
    """The codes, and samples each with the training image nearest to it."""
    draw_codes(model, state, run)
    draw_neighbours(model.sample, state, train, run)


experiment = gan_experiment(
    __file__, presets, __doc__, build=build, evaluator=figures, pictures=draw, best="code_error"
)

if __name__ == "__main__":
    main(experiment)
