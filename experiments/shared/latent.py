"""What the VAE experiments share: settings of the evaluation, figures and pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Array

from jaxgen.cli import EvaluationOptions, at_least
from jaxgen.data import FactorWorld, factor_world
from jaxgen.evaluation import Evaluator, joined
from jaxgen.evaluation.latent_space import disentanglement_evaluator, vae_evaluator
from jaxgen.evaluation.pictures import draw_latent_space
from jaxgen.models import VAE
from jaxgen.types import State


@dataclass(frozen=True)
class LikelihoodOptions(EvaluationOptions):
    """How a VAE is measured."""

    importance_samples: int = 100
    """The samples of the importance-weighted log-likelihood in evaluations; 0: it is not computed."""
    factor_points: int = 0
    """The points by which evaluations measure the disentanglement of sources with known factors, 10,000 in the
    literature; 0: it is not measured."""

    def __post_init__(self):
        at_least(0, self, "importance_samples")
        if self.factor_points:
            at_least(100, self, "factor_points")
        super().__post_init__()


def evaluator(config: Any, model: VAE, train: Any, test: Any) -> Evaluator:
    """Returns the evaluator of a VAE on the test set, and of its disentanglement where the config asks for that and the
    factors of the source are known."""
    bound = vae_evaluator(model, test, importance_samples=config.importance_samples)
    world = world_of(config)
    if not config.factor_points or model.classes or world is None:
        return bound
    return joined(bound, disentanglement_evaluator(encode_mean(model), world, config.factor_points))


def encode_mean(model: VAE) -> Callable[[State, Array], Array]:
    """Returns the function from a state and images to the posterior means."""
    return lambda state, image: model.encode(state, image)[0]


def draw(config: Any, model: VAE, state: State, train: Any, test: Any, run: Path) -> None:
    """Draws the latent space."""
    draw_latent_space(model, state, train, test, run, world=world_of(config))


def world_of(config: Any) -> FactorWorld | None:
    """Returns the factors behind the images of a config's source; None where they are not known."""
    try:
        return factor_world(config.source, image_size=config.image_size, channels=config.channels)
    except ValueError:
        return None
