"""Figures of samples of stacked digits: three digits, one in each channel, that make 1,000 modes."""

import numpy as np

from jaxgen.data import Dataset, StreamedDataset
from jaxgen.evaluation.classifier import train_classifier
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.evaluation.samples import Sample, sampled
from jaxgen.metrics import class_coverage, read_stacked
from jaxgen.types import State

__all__ = ["stacked_evaluator"]

SAMPLES = 26_000  # Metz et al. 2017
MODES = 1000


def stacked_evaluator(
    sample: Sample, digits: Dataset | StreamedDataset, *, classes: int = 0, samples: int = SAMPLES
) -> Evaluator:
    """Returns an evaluator of the modes that samples of stacked digits cover, and of the reverse KL divergence over
    them (Metz et al. 2017), by a classifier of single digits.

    Args:
        sample: draws the images, (n, h, w, 3).
        digits: labelled images of single digits, of the same size, on which the classifier is trained.
        classes: the number of classes of a conditional model.
        samples: the number of samples.
    """
    classify = train_classifier(digits)

    def evaluate(state: State) -> Evaluation:
        images = sampled(sample, state, samples, classes=classes)
        labels = [np.asarray(read_stacked(classify, image)) for image in images]
        found = class_coverage(np.concatenate(labels), MODES)
        figures = {"modes_covered": float(found.modes_covered), "reverse_kl": float(found.reverse_kl)}
        return Evaluation(figures, counts={"fake_samples": samples})

    return evaluate
