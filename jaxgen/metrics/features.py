"""Feature extractors, and the figures of samples by them.

    extractor = inception_extractor("pt_inception-2015-12-05.pth")
    real      = features_of(extractor, batches_of_images)
    fake      = features_of(extractor, batches_of_samples)
    figures   = sample_figures(extractor, real, fake)

Figures by different extractors, or of different numbers of samples, do not compare. The numbers are among the figures;
the extractor's name, a string, belongs beside them: {"extractor": extractor.name, **figures}. A classifier of the data
as an extractor is `jaxgen.evaluation.classifier_extractor`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, Num

from jaxgen.layers import Conv
from jaxgen.metrics.checks import Features
from jaxgen.metrics.digest import content_digest
from jaxgen.metrics.frechet import fid
from jaxgen.metrics.inception import InceptionV3, load_inception, resize
from jaxgen.metrics.inception_score import inception_score
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.manifold import density_coverage, precision_recall
from jaxgen.pixels import normalise

__all__ = [
    "Extractor",
    "Images",
    "RandomNetwork",
    "features_of",
    "inception_extractor",
    "pixel_extractor",
    "random_extractor",
    "sample_figures",
    "weights_digest",
]

Images = Num[Array | np.ndarray, "b h w c"]
"""uint8, or float in [-1, 1]."""


@dataclass(frozen=True)
class Extractor:
    """A network that sees images as the figures of merit do."""

    name: str
    """What is stored beside every figure; it names the network, and its weights by a digest."""
    features: Callable[[Images], Float[Array, "b d"]]
    """A compiled function from images to features."""
    logits: Callable[[Features], Array] | None = None
    """The function from features to class logits, where the network classifies."""


def inception_extractor(path: str | Path) -> Extractor:
    """Returns the standard extractor of FID: 2,048 features of Inception-v3 by the weight file at `path`, which
    `load_inception` reads.

    The logits are those of the published Inception scores, which leave out the bias.
    """
    variables = jax.device_put(load_inception(path))
    features = jax.jit(
        lambda variables, image: InceptionV3().apply(variables, resize(jnp.asarray(normalise(image))))[0]
    )
    kernel = variables["params"]["fc"]["kernel"]
    return Extractor(
        f"inception-v3 2015-12-05 {weights_digest(variables)}",
        partial(features, variables),
        lambda features: features @ kernel,
    )


def pixel_extractor() -> Extractor:
    """Returns the extractor whose features are the pixels themselves, in [-1, 1]."""
    return Extractor("pixels", jax.jit(lambda image: normalise(image).reshape(len(image), -1)))


class RandomNetwork(nn.Module):
    """Images of at least 4×4 pixels to 256 features: three convolutions with strides, and the mean over all places."""

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b 256"]:
        x = image
        for width in (64, 128, 256):
            x = nn.relu(Conv(width, (4, 4), strides=2, padding=1, kernel_init=nn.initializers.he_normal())(x))
        return x.mean((1, 2))


def random_extractor(channels: int, seed: int = 0) -> Extractor:
    """Returns an extractor whose network has random weights, which the seed fixes, for images of `channels` channels.

    It needs no weight file. Its figures rank samples of the same data, but compare with no others.
    """
    blank = jnp.zeros((1, 32, 32, channels))
    variables = jax.jit(RandomNetwork().init)(jax.random.key(seed), blank)
    features = jax.jit(lambda variables, image: RandomNetwork().apply(variables, normalise(image)))
    return Extractor(f"random network {weights_digest(variables)}", partial(features, variables))


def features_of(extractor: Extractor, batches: Iterable[Images]) -> Float[np.ndarray, "n d"]:
    """Returns the features of all images of the batches, in their order."""
    return np.concatenate([np.asarray(extractor.features(image)) for image in batches])


def sample_figures(extractor: Extractor, real: Features, fake: Features) -> dict[str, float]:
    """Returns all figures of samples against real data, by features of the extractor.

    They are fid, kid and kid_standard_error, precision and recall, density and coverage; inception_score where the
    extractor has logits; and the numbers real_samples and fake_samples.

    Raises:
        ValueError: too few samples; KID needs 20.
    """
    kid_value, kid_error = kid(real, fake)
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    figures = {
        "fid": fid(real, fake),
        "kid": kid_value,
        "kid_standard_error": kid_error,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
        "real_samples": float(len(real)),
        "fake_samples": float(len(fake)),
    }
    if extractor.logits:
        figures["inception_score"] = inception_score(np.asarray(extractor.logits(fake)))[0]
    return figures


def weights_digest(variables: Mapping[str, Any]) -> str:
    """Returns 12 digits that depend on the weights alone, from whatever file they came."""
    return content_digest("", [cast(Any, flatten_dict(variables, sep="."))])[:12]
