"""What the VAE experiments share: settings of the evaluation, figures and pictures."""

from dataclasses import dataclass

from jaxgen.cli import EvaluationOptions, at_least


@dataclass(frozen=True)
class LikelihoodOptions(EvaluationOptions):
    """How a VAE is measured."""

    importance_samples: int = 100
    """The samples of the importance-weighted log-likelihood in evaluations; 0: it is not computed."""
    factor_points: int = 0
    """The points by which evaluations measure the disentanglement of sources with known factors, 10,000 in the
    literature; 0: it is not measured."""

    def __post_init__(self):
        at_least(0, self, "importance_samples")
        if self.factor_points:
            at_least(100, self, "factor_points")
        super().__post_init__()
