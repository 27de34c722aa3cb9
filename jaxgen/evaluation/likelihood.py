"""Means over a test set: likelihoods, bounds on them, and the accuracy of a model as a classifier."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key, Num

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.types import Batch, State

__all__ = ["bits_evaluator", "likelihood_evaluator", "means_over"]

BATCH = 500
TEST = 1000  # the largest number of test images whose bound is estimated
PARTS_OF = 100  # the number of images whose bound is estimated at once

Sums = Callable[[State, Key[Array, ""], Any], Mapping[str, Num[Array, "..."]]]
"""(state, key, batch) -> sums over the batch, by name."""


def means_over(test: Dataset | StreamedDataset, sums: Sums) -> Callable[[State], dict[str, Any]]:
    """Returns a function from a state to the means over the test set of what `sums` adds up in each batch. The keys of
    the batches are the same each time."""
    sums = jax.jit(sums)

    def means(state: State) -> dict[str, Any]:
        keys = jax.random.split(jax.random.key(0), -(-len(test) // BATCH))
        batches = zip(keys, test.batches(BATCH), strict=True)
        totals = [jax.device_get(sums(state, key, batch)) for key, batch in batches]
        return {name: sum(np.float64(total[name]) for total in totals) / len(test) for name in totals[0]}

    return means


def likelihood_evaluator(
    bits_per_dim: Callable[[State, Key[Array, ""], Batch], Float[Array, "b"]],
    test: Dataset | StreamedDataset,
    classify: Callable[[State, Any], Float[Array, "b k"]] | None = None,
) -> Evaluator:
    """Returns an evaluator of the mean bits per dimension of the test set; and with `classify`, from a state and images
    to the scores of classes, of the accuracy of the model as a classifier."""

    def sums(state: State, key: Key[Array, ""], batch: Mapping[str, Any]) -> dict[str, Array]:
        found = {"test_bits_per_dim": bits_per_dim(state, key, batch).sum()}
        if classify is not None:
            found["test_accuracy"] = (classify(state, batch["image"]).argmax(-1) == batch["label"]).sum()
        return found

    means = means_over(test, sums)

    def evaluate(state: State) -> Evaluation:
        figures = {name: float(value) for name, value in means(state).items()}
        return Evaluation(figures, counts={"test_examples": len(test)})

    return evaluate


def bits_evaluator(
    bits_per_dim: Callable[[State, Key[Array, ""], Batch], Float[Array, "b"]],
    test: Dataset | StreamedDataset,
    count: int = TEST,
) -> Evaluator:
    """Returns an evaluator of the mean bits per dimension of the first `count` examples of the test set, for a bound
    that takes long to compute."""
    bits_per_dim, count = jax.jit(bits_per_dim), min(count, len(test))

    def evaluate(state: State) -> Evaluation:
        parts = np.array_split(np.arange(count), max(1, count // PARTS_OF))
        found = [bits_per_dim(state, jax.random.key(i), test.batch(index)) for i, index in enumerate(parts)]
        return Evaluation({"bits_per_dim": float(np.concatenate(found).mean())}, counts={"test_examples": count})

    return evaluate
