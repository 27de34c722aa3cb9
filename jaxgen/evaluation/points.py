"""Figures of samples of points in the plane, whose true distribution is known."""

import numpy as np

from jaxgen.data import Curves, Mixture
from jaxgen.evaluation.result import Evaluation, Evaluator
from jaxgen.evaluation.samples import Sample, mean_distance, sampled, shares
from jaxgen.metrics import mode_coverage
from jaxgen.types import State

__all__ = ["POINTS", "point_evaluator"]

POINTS = 2_500  # samples (Srivastava et al. 2017)


def point_evaluator(sample: Sample, world: Mixture | Curves, *, classes: int = 0, samples: int = POINTS) -> Evaluator:
    """Returns an evaluator of samples of points: how far they are apart, and for a mixture the modes that they cover,
    the share that is of high quality, and the reverse KL divergence over the modes.

    Args:
        sample: draws the points, (n, 2).
        world: the truth, from `jaxgen.data.toy_world`.
        classes: the number of classes of a conditional model.
        samples: the number of points.
    """
    spread = mean_distance(world.sample(2, samples)[0])

    def evaluate(state: State) -> Evaluation:
        points = np.concatenate(list(sampled(sample, state, samples, classes=classes)))
        figures = {"diversity": mean_distance(points) / spread}
        if isinstance(world, Mixture):
            found = mode_coverage(points, world.modes, world.scale)
            figures |= {name: float(getattr(found, name)) for name in ("modes_covered", "high_quality", "reverse_kl")}
            figures |= shares(np.asarray(found.counts) / samples)
        return Evaluation(figures, counts={"fake_samples": samples})

    return evaluate
