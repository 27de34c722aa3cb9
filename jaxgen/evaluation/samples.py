"""Figures of a model's samples, drawn by any function of a state, against the data that the model was trained on.

    evaluate = image_evaluator(model.sample, train, test, classes=model.classes)
    found    = evaluate(state)                                  # found.figures["fid"], found.extractor, found.counts

A sampler, a truncation or a temperature other than the model's own is another function:

    image_evaluator(partial(model.sample, truncation=0.5), train, test)
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.evaluation.classifier import accuracy, classifier_extractor
from jaxgen.evaluation.features import real_features
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.metrics import Extractor, features_of, ms_ssim_diversity, nearest_neighbours, sample_figures
from jaxgen.metrics.ssim import WINDOW
from jaxgen.pixels import normalise
from jaxgen.sharding import data_mesh, replicated
from jaxgen.types import State

__all__ = [
    "BATCH",
    "SAMPLES",
    "Sample",
    "class_figures",
    "image_evaluator",
    "mean_distance",
    "nearest_training_images",
    "sample_count",
    "sampled",
    "shares",
]

SAMPLES = 10_000  # drawn for the figures where the data are no smaller
PER_REAL_IMAGE = 10  # samples at most for each real image: more do not make the figures any surer
BATCH = 500  # samples that are drawn at once
MOST_SHARES = 25  # modes or classes up to which the share of each is a figure

Sample = Callable[..., Float[Array, "n ..."]]
"""(state, key, n), and of a conditional model the keyword `label` -> n samples; a model's method `sample`, or that with
options of sampling filled in by `functools.partial`."""

DataSet = Dataset | StreamedDataset


def sampled(sample: Sample, state: State, n: int, *, classes: int = 0) -> Iterator[np.ndarray]:
    """Yields n samples in batches of at most `BATCH`, which the devices share. The latents are the same each time; a
    model with classes is asked for them in turn."""
    size = min(BATCH, n)
    mesh = data_mesh(math.gcd(size, len(jax.devices())))
    state = jax.device_put(state, replicated(mesh))
    label = {"label": _asked(size, classes)} if classes else {}
    batches = -(-n // size)
    for i, key in enumerate(jax.random.split(jax.random.key(0), batches)):
        with jax.set_mesh(mesh):
            made = _draw(sample, size, state, key, **label)
        yield np.asarray(made)[: n - i * size]


@partial(jax.jit, static_argnums=(0, 1))  # compiled once for each function, not at every evaluation
def _draw(sample: Sample, n: int, state: State, key: Array, **label: Array) -> Array:
    return sample(state, key, n, **label)


def _asked(n: int, classes: int) -> Int[Array, "n"]:
    return jnp.arange(n, dtype=jnp.int32) % classes


def sample_count(real: int, wanted: int | None = None) -> int:
    """Returns the number of samples for figures against `real` images: `wanted`, or by default ten for each real image,
    in whole batches, and at most 10,000.

    ValueError for fewer than one.
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"{wanted} samples: at least 1 is needed")
    return wanted or min(SAMPLES, -(-PER_REAL_IMAGE * real // BATCH) * BATCH)


def image_evaluator(
    sample: Sample,
    train: DataSet,
    test: DataSet,
    *,
    classes: int = 0,
    samples: int | None = None,
    extractor: Extractor | None = None,
    reader: Extractor | None = None,
) -> Evaluator:
    """Returns an evaluator of image samples: FID and the like against training images, how far the samples are apart,
    and the classes that a classifier reads in them.

    Unlabelled images have no figures without an extractor.

    Args:
        sample: draws the samples.
        train: the data set whose images are the real ones.
        test: the data set by which the classifier's own accuracy is measured.
        classes: the number of classes of a conditional model; the share of samples that are read as the class that was
            asked for is then a figure too.
        samples: the number of samples; by default as `sample_count` says. They are compared with up to 10,000 training
            images.
        extractor: the network by whose features the samples are compared; by default `reader`.
        reader: the classifier that reads classes, an extractor with logits; by default one that is trained on `train`,
            where that has labels.
    """
    if reader is None and train.classes:
        reader = classifier_extractor(train)
    extractor = extractor or reader
    if extractor is None:
        return lambda state: Evaluation({})
    n = sample_count(len(train), samples)
    real = real_features(extractor, train, SAMPLES)
    spread = mean_distance(np.asarray(normalise(train.batch(np.arange(min(len(train), BATCH)))["image"])))
    on_test: dict[str, float] = {}
    if reader is not None:
        on_test["classifier_accuracy_on_test_images"] = accuracy(lambda image: _logits(reader, image), test)

    def evaluate(state: State) -> Evaluation:
        images = list(sampled(sample, state, n, classes=classes))
        features = features_of(extractor, images)
        figures = {"diversity": mean_distance(images[0]) / spread} | sample_figures(extractor, real, features)
        if min(images[0].shape[1:3]) >= WINDOW:
            figures["ms_ssim"] = ms_ssim_diversity(np.concatenate(images))
        if reader is not None:
            read = features if reader is extractor else features_of(reader, images)
            found = np.asarray(_read(reader, read)).argmax(-1)
            asked = np.concatenate([_asked(len(part), classes) for part in images]) if classes else None
            figures |= class_figures(found, train.classes, asked) | on_test
        return Evaluation(figures, extractor.name, {"real_samples": len(real), "fake_samples": n})

    return evaluate


def _read(reader: Extractor, features: Num[Array | np.ndarray, "n d"]) -> Float[Array | np.ndarray, "n k"]:
    if reader.logits is None:
        raise ValueError(f"the extractor {reader.name} reads no classes: one with logits is needed")
    return reader.logits(features)


def _logits(reader: Extractor, image: Num[Array | np.ndarray, "n h w c"]) -> Float[Array | np.ndarray, "n k"]:
    return _read(reader, reader.features(image))


def class_figures(
    found: Int[np.ndarray, "n"], classes: int, asked: Int[np.ndarray, "n"] | None = None
) -> dict[str, float]:
    """Returns figures of the classes that were read in samples.

    They are the number of `classes_found`, which have at least a tenth of their fair share; the `class_entropy` in
    nats; the share of each class, where there are few; and with `asked`, the classes that were asked for, the
    `label_accuracy`.
    """
    share = np.bincount(found, minlength=classes) / len(found)
    figures = {
        "classes_found": float((share > 0.1 / classes).sum()),
        "class_entropy": float(-(share * np.log(np.maximum(share, 1e-12))).sum()),
    }
    if asked is not None:
        figures["label_accuracy"] = float((found == asked).mean())
    return figures | shares(share)


def mean_distance(examples: Num[np.ndarray, "n ..."]) -> float:
    """Returns the mean Euclidean distance of each example to the next, an estimate of that of two random examples."""
    flat = np.asarray(examples, np.float64).reshape(len(examples), -1)
    return float(np.linalg.norm(flat - np.roll(flat, 1, axis=0), axis=1).mean())


def shares(share: Float[np.ndarray, "k"]) -> dict[str, float]:
    """Returns the share of each mode or class as a figure, `share_0` and so on; nothing where they are more than 25."""
    return {f"share_{i}": float(x) for i, x in enumerate(share)} if len(share) <= MOST_SHARES else {}


def nearest_training_images(samples: Float[np.ndarray, "n h w c"], train: Dataset) -> Float[np.ndarray, "n h w c"]:
    """Returns for each sample the training image that is nearest to it in Euclidean distance of pixels, in [-1, 1]."""
    nearest, least = np.zeros_like(samples), np.full((len(samples), 1), np.inf)
    for batch in train.batches(5000):
        images = normalise(batch["image"])
        distance, index = nearest_neighbours(samples, images)
        closer = (distance < least)[:, 0]
        nearest[closer], least[closer] = images[index[closer, 0]], distance[closer]
    return nearest
