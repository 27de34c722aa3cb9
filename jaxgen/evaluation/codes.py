"""Figures of codes that a model finds without labels, such as InfoGAN's."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Int

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.types import State

__all__ = ["code_evaluator"]

BATCH = 500

DataSet = Dataset | StreamedDataset


def code_evaluator(
    infer: Callable[[State, Array], Int[Array, "b"]], categories: int, train: DataSet, test: DataSet
) -> Evaluator:
    """Returns an evaluator of the error of a categorical code as a classifier of the test set, where each category
    stands for the class that it most often meets in the training set (Chen et al. 2016, section 7.2).

    Args:
        infer: from a state and images to their categories.
        categories: the number of categories.
        train: labelled images, by which the categories get their classes.
        test: labelled images, of which the figure is.
    """
    infer = jax.jit(infer)

    def read(state: State, data: DataSet) -> tuple[np.ndarray, np.ndarray]:
        batches = [(np.asarray(infer(state, b["image"])), b["label"]) for b in data.batches(BATCH)]
        code, label = zip(*batches, strict=True)
        return np.concatenate(code), np.concatenate(label)

    def evaluate(state: State) -> Evaluation:
        met = np.zeros((categories, train.classes), int)
        np.add.at(met, read(state, train), 1)
        code, label = read(state, test)
        figures = {"code_error": float((met.argmax(1)[code] != label).mean())}
        return Evaluation(figures, counts={"test_examples": len(test)})

    return evaluate
