"""Figures of models that are trained on a single image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.evaluation.samples import Sample
from jaxgen.metrics import diversity, sifid
from jaxgen.types import State

__all__ = ["single_image_evaluator"]

SAMPLES = 16


def single_image_evaluator(
    sample: Sample,
    reconstruct: Callable[[State], Float[Array, "1 h w c"]],
    image: Float[Array, "1 h w c"],
    *,
    samples: int = SAMPLES,
) -> Evaluator:
    """Returns an evaluator of the root mean square error of the reconstruction, with pixels in [0, 1]; of the SIFID of
    samples by patches of 5×5 pixels; and of how much the samples differ.

    Args:
        sample: draws samples of the image's size.
        reconstruct: from a state to the model's reconstruction of the training image.
        image: the training image, in [-1, 1].
        samples: the number of samples.
    """
    draw, reconstruct = jax.jit(sample, static_argnums=2), jax.jit(reconstruct)

    def evaluate(state: State) -> Evaluation:
        made = draw(state, jax.random.key(0), samples)
        error = jnp.sqrt(jnp.square(reconstruct(state) - image).mean()) / 2
        figures = {
            "reconstruction_rmse": float(error),
            "sifid_of_patches": sifid(image, made),
            "diversity": diversity(image, made),
        }
        return Evaluation(figures, counts={"fake_samples": samples})

    return evaluate
