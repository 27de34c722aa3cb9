"""What an evaluation finds: figures by name, and what they depend on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jaxgen.types import State

__all__ = ["Evaluation", "Evaluator", "joined"]


@dataclass(frozen=True)
class Evaluation:
    """Figures of a trained state, with the extractor and the counts by which they are.

    Figures by different extractors, or of different numbers of samples, do not compare.
    """

    figures: Mapping[str, float]
    """The figures by name, such as `fid` or `test_elbo`."""
    extractor: str | None = None
    """The name of the feature extractor that the figures depend on; None where they depend on none."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """The numbers of examples behind the figures, by name, such as `real_samples` and `fake_samples`."""


Evaluator = Callable[[State], Evaluation]
"""A function from a state to its evaluation; it is made once from data, counts and functions of the state."""


def joined(*evaluators: Evaluator) -> Evaluator:
    """Returns an evaluator that gives the figures of all `evaluators`, in their order.

    Where two have a figure or count of the same name, or an extractor, the first counts.
    """

    def evaluate(state: State) -> Evaluation:
        figures: dict[str, float] = {}
        counts: dict[str, int] = {}
        extractor = None
        for one in evaluators:
            found = one(state)
            figures = {**figures, **found.figures, **figures}
            counts = {**counts, **found.counts, **counts}
            extractor = extractor or found.extractor
        return Evaluation(figures, extractor, counts)

    return evaluate
