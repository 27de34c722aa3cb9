"""Feature extractors, and the figures of samples by them.

    extractor = classifier_extractor(train, fit)                # or inception_extractor("pt_inception-2015-12-05.pth")
    real      = real_features(extractor, test, 10_000)          # kept in the user's cache folder
    fake      = features_of(extractor, batches_of_samples)
    figures   = sample_figures(extractor, real, fake)

Figures by different extractors, or of different numbers of samples, do not compare. The numbers are among the figures;
the extractor's name, a string, belongs beside them: {"extractor": extractor.name, **figures}.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, Num

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.metrics.cache import cache_path, content_digest, keep
from jaxgen.metrics.checks import Features
from jaxgen.metrics.classifier import trained_classifier
from jaxgen.metrics.frechet import fid
from jaxgen.metrics.inception import InceptionV3, load_inception, resize
from jaxgen.metrics.inception_score import inception_score
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.manifold import density_coverage, precision_recall
from jaxgen.pixels import normalise

__all__ = [
    "Extractor",
    "classifier_extractor",
    "features_of",
    "inception_extractor",
    "real_features",
    "sample_figures",
]

BATCH = 100

Images = Num[Array | np.ndarray, "b h w c"]
"""uint8, or float in [-1, 1]."""


@dataclass(frozen=True)
class Extractor:
    """A network that sees images as the figures of merit do."""

    name: str
    """What is stored beside every figure; it tells the network, and its weights by a digest."""
    features: Callable[[Images], Float[Array, "b d"]]
    """Compiled, from images to features."""
    logits: Callable[[Features], Array] | None = None
    """From features to class logits, of a network that classifies."""


def classifier_extractor(
    train: Dataset | StreamedDataset, fit: Callable, *, steps: int = 1500, batch_size: int = 128
) -> Extractor:
    """The 256 units below the logits of the classifier that `train_classifier` trains and keeps: for data unlike
    photographs. ValueError where there are no labels."""
    network, params = trained_classifier(train, fit, steps=steps, batch_size=batch_size)
    features = jax.jit(lambda params, image: network.apply(params, normalise(image), hidden=True))
    head = {"params": params["params"]["Dense_1"]}
    return Extractor(
        f"classifier of {train.name or 'data'} {_digest(params)}",
        partial(features, params),
        partial(nn.Dense(network.classes).apply, head),
    )


def inception_extractor(path: str | Path) -> Extractor:
    """The standard of FID: 2,048 features of Inception-v3 by the weight file at `path` (`load_inception`).

    The logits are those of the published Inception scores, which leave out the bias.
    """
    variables = jax.device_put(load_inception(path))
    features = jax.jit(lambda variables, image: InceptionV3().apply(variables, resize(normalise(image)))[0])
    kernel = variables["params"]["fc"]["kernel"]
    return Extractor(
        f"inception-v3 2015-12-05 {_digest(variables)}",
        partial(features, variables),
        lambda features: features @ kernel,
    )


def features_of(extractor: Extractor, data: Dataset | StreamedDataset | Iterable[Images]) -> Float[np.ndarray, "n d"]:
    """The features of a data set, in its order, or of batches of images."""
    if isinstance(data, Dataset | StreamedDataset):
        data = (batch["image"] for batch in data.batches(BATCH))
    return np.concatenate([np.asarray(extractor.features(image)) for image in data])


def real_features(extractor: Extractor, data: Dataset | StreamedDataset, n: int) -> Float[np.ndarray, "n d"]:
    """The features of `n` random examples, always the same; of all when there are no more.

    They are kept in the user's cache folder by the content of the images and the name of the extractor. ValueError for
    n < 1.
    """
    if n < 1:
        raise ValueError(f"features of {n} examples: at least 1 is needed")
    chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:n])

    def images():
        return (data.batch(chosen[start : start + BATCH])["image"] for start in range(0, len(chosen), BATCH))

    digest = content_digest(extractor.name, ({"image": image} for image in images()))
    path = cache_path("features", f"{digest}.npy")
    if not path.exists():
        file = io.BytesIO()
        np.save(file, features_of(extractor, images()))
        keep(path, file.getvalue())
    return np.load(path)


def sample_figures(extractor: Extractor, real: Features, fake: Features) -> dict[str, float]:
    """All figures of samples against real data, by features of the extractor.

    fid, kid and kid_standard_error, precision and recall, density and coverage; inception_score where the extractor
    has logits; and the numbers real_samples and fake_samples. ValueError for too few samples: KID asks for 20.
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


def _digest(params: dict) -> str:
    """Of the weights alone: the same from whatever file they came."""
    return content_digest("", [flatten_dict(params, sep=".")])[:12]
