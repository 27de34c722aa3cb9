"""Figures of models from images to images: learned from pairs, between two domains, among many attributes."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from jaxgen.data import Attribute, Dataset, StreamedDataset
from jaxgen.evaluation.classifier import train_classifier
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.metrics import nearest_neighbours, psnr, ssim
from jaxgen.models.two_domains import OTHER
from jaxgen.pixels import normalise
from jaxgen.types import State

__all__ = [
    "AttributeReader",
    "attribute_evaluator",
    "attribute_readers",
    "examples",
    "paired_evaluator",
    "right_counterpart",
    "similarity",
    "two_domains_evaluator",
]

TEST = 1000  # test images at most that are translated for the figures
BATCH = 50  # images that are translated at once
NEIGHBOURS = 5000  # training pairs at most that are searched for the baseline
TO_ALL = 200  # test images that are translated to every attribute
PARTS = 10  # in which they are

DataSet = Dataset | StreamedDataset


def examples(test: DataSet, n: int = TEST) -> Iterator[dict[str, np.ndarray]]:
    """Yields the first n examples of the test set, in batches."""
    for start in range(0, min(n, len(test)), BATCH):
        yield dict(test.batch(np.arange(start, min(start + BATCH, n, len(test)))))


def similarity(made: Num[np.ndarray, "n h w c"], wanted: Num[np.ndarray, "n h w d"]) -> dict[str, float]:
    """Returns the L1 distance (of intensities in [0, 1]), PSNR in dB and SSIM of the images, means over them; a grey
    image stands for its colours. Images smaller than SSIM's window have none."""
    made = np.broadcast_to(normalise(made), wanted.shape)
    figures = {"l1": float(np.abs(made - normalise(wanted)).mean() / 2), "psnr": float(psnr(made, wanted).mean())}
    return figures | ({"ssim": float(ssim(made, wanted).mean())} if min(wanted.shape[1:3]) >= 11 else {})


def right_counterpart(made: Num[np.ndarray, "n h w c"], counterparts: Num[np.ndarray, "n h w c"]) -> float:
    """Returns the share of images that are nearer (Euclidean, of pixels) to their own counterpart than to those of all
    other images."""
    _, index = nearest_neighbours(normalise(made), normalise(counterparts))
    return float((index[:, 0] == np.arange(len(made))).mean())


def paired_evaluator(
    translate: Callable[[State, Key[Array, ""], Array], Float[Array, "b h w c"]], train: DataSet, test: DataSet
) -> Evaluator:
    """Returns an evaluator of how near the translations of test images are to their targets.

    For comparison it says how near the sources are themselves, and the target of the training image whose source is
    the nearest.
    """
    batches = list(examples(test))
    source, target = (np.concatenate([batch[name] for batch in batches]) for name in ("source", "target"))
    baselines = {}
    if source.shape[-1] in (1, target.shape[-1]):
        baselines["source"] = similarity(source, target)
    if isinstance(train, Dataset):
        known = train.batch(np.arange(min(len(train), NEIGHBOURS)))
        _, nearest = nearest_neighbours(source, known["source"])
        baselines["nearest"] = similarity(known["target"][nearest[:, 0]], target)
    compared = {f"{name}_of_{of}": value for of, figures in baselines.items() for name, value in figures.items()}
    translate = jax.jit(translate)

    def evaluate(state: State) -> Evaluation:
        keys = jax.random.split(jax.random.key(0), len(batches))
        made = [translate(state, key, batch["source"]) for key, batch in zip(keys, batches, strict=True)]
        figures = similarity(np.concatenate(made), target) | compared
        return Evaluation(figures, counts={"test_examples": len(target)})

    return evaluate


def two_domains_evaluator(
    translate: Callable[[State, Array, str], Float[Array, "b h w c"]],
    cycle: Callable[[State, Array, str], Float[Array, "b h w c"]],
    test: DataSet,
    *,
    paired: bool,
) -> Evaluator:
    """Returns an evaluator of how near test images come back to themselves after a cycle.

    Where it is known what they should become it also says how near the translations are to that, the share that is
    nearer to it than to what others should become, and for comparison how near the untranslated images are.

    Args:
        translate: from a state, images and the domain to translate to, "a" or "b".
        cycle: from a state, images and the domain to go through.
        test: has the images `a` and `b`.
        paired: whether the images `a` and `b` of an example are counterparts.
    """
    batches = list(examples(test))
    real = {name: np.concatenate([batch[name] for batch in batches]) for name in OTHER}
    translate, cycle = (jax.jit(f, static_argnums=2) for f in (translate, cycle))

    def evaluate(state: State) -> Evaluation:
        figures = {}
        for to, of in OTHER.items():
            again = np.concatenate([cycle(state, batch[of], to) for batch in batches])
            figures[f"cycle_l1_{of}"] = similarity(again, real[of])["l1"]
            if paired:
                made = np.concatenate([translate(state, batch[of], to) for batch in batches])
                figures[f"right_{to}"] = right_counterpart(made, real[to])
                figures |= {f"{name}_{to}": value for name, value in similarity(made, real[to]).items()}
                figures[f"l1_of_{of}_to_{to}"] = similarity(real[of], real[to])["l1"]
        return Evaluation(figures, counts={"test_examples": len(real["a"])})

    return evaluate


class AttributeReader(NamedTuple):
    """A group of attributes, where it stands, and who reads it."""

    attribute: Attribute
    """The attribute."""
    columns: range
    """Its columns among those of all attributes."""
    read: Callable[[Num[np.ndarray, "n h w c"]], Num[np.ndarray, "n"]]
    """A function from images to the value of the attribute that a classifier reads."""


def attribute_readers(train: Dataset) -> list[AttributeReader]:
    """Returns a reader of each group of attributes, whose classifier is trained on the images that have the group."""
    readers, end = [], 0
    for attribute in train.attributes:
        start, end = end, end + len(attribute.columns)
        readers.append(AttributeReader(attribute, range(start, end), _reader(train, attribute, slice(start, end))))
    return readers


def _reader(train: Dataset, attribute: Attribute, columns: slice) -> Callable[[np.ndarray], np.ndarray]:
    values = train.arrays["attributes"][:, columns]
    known = train.arrays["set"] == attribute.set if "set" in train.arrays else np.ones(len(train), bool)
    label = values.argmax(1) if attribute.values else values[:, 0]
    names = attribute.values or ("no", "yes")
    arrays = {"image": train.arrays["image"][known], "label": label[known].astype(np.int32)}
    classify = train_classifier(Dataset(arrays, names, name=f"{train.name}, {attribute.name}"))
    return lambda image: np.asarray(classify(jnp.asarray(image))).argmax(1)


def attribute_evaluator(
    translate_to_all: Callable[[State, Array], Float[Array, "b k h w c"]],
    readers: list[AttributeReader],
    test: DataSet,
    *,
    several_sets: bool = False,
) -> Evaluator:
    """Returns an evaluator of what classifiers of real images read in test images that are translated to every
    attribute: how often the attribute that was asked for, where the image did not have it; and how often each other
    attribute as before.

    Args:
        translate_to_all: from a state and images to their translations to each column of the attributes.
        readers: from `attribute_readers`.
        test: the images.
        several_sets: the data come from several sets, each with attributes of its own; `transferred_accuracy` is then
            the first figure for the images of the other sets alone.
    """
    batch = test.batch(np.linspace(0, len(test) - 1, min(len(test), TO_ALL)).astype(int))
    image, which = batch["image"], batch.get("set", np.zeros(len(batch["image"]), int))
    before = np.stack([reader.read(image) for reader in readers], axis=1)
    translate_to_all = jax.jit(translate_to_all)

    def evaluate(state: State) -> Evaluation:
        made = np.concatenate([translate_to_all(state, part) for part in np.array_split(image, PARTS)])
        asked, kept, transferred = [], [], []
        for own, (attribute, columns, _) in enumerate(readers):
            for value, column in enumerate(columns):
                after = np.stack([reader.read(made[:, column]) for reader in readers], axis=1)
                wanted = value if attribute.values else 1 - before[:, own]
                other = before[:, own] != wanted
                right = after[:, own] == wanted
                asked.append(right[other])
                transferred.append(right[other & (which != attribute.set)])
                kept.append(np.delete(after == before, own, axis=1).ravel())
        found = {"asked": asked, "kept": kept, "transferred": transferred if several_sets else []}
        figures = {f"{name}_accuracy": float(np.concatenate(x).mean()) for name, x in found.items() if x}
        return Evaluation(figures, counts={"test_examples": len(image)})

    return evaluate
