"""What the VAE experiments share: from their settings to figures and pictures."""

from pathlib import Path

from jaxgen.data import FactorWorld, factor_world
from jaxgen.evaluation import Evaluator, disentanglement_evaluator, joined
from jaxgen.evaluation import vae_evaluator as evaluator_of
from jaxgen.evaluation.pictures import draw_latent_space as draw
from jaxgen.models import VAE


def known_world(source: str, **options) -> FactorWorld | None:
    """Returns the factors behind the images of a source, where they are known."""
    try:
        return factor_world(source, **options)
    except ValueError:
        return None


def vae_evaluator(config, model: VAE, train, test) -> Evaluator:
    """Returns the evaluator of the test set; of an unconditional model and a source whose factors are known also of its
    disentanglement, where the config asks for it."""
    of_test = evaluator_of(model, test, importance_samples=config.importance_samples)
    world = known_world(config.source, image_size=config.image_size, channels=config.channels)
    if not config.factor_points or model.classes or world is None:
        return of_test
    measure = disentanglement_evaluator(lambda state, image: model.encode(state, image)[0], world, config.factor_points)
    return joined(of_test, measure)


def draw_latent_space(config, model: VAE, state, train, test, run: Path) -> None:
    """Draws the latent space."""
    draw(model, state, train, test, run, world=known_world(config.source))
