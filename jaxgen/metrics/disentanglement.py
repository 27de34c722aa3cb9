"""Disentanglement: whether the units of a representation are the factors of variation of the data.

    factors = np.random.default_rng(0).integers(sizes, size=(15_000, len(sizes)))
    codes   = represent(factors)                                    # render and encode
    mig(codes, factors), sap(codes, factors), dci(codes, factors)
    scores  = disentanglement_scores(represent, sizes)              # all of them, by name

The protocol is that of Locatello et al. (2019, arXiv:1811.12359, appendix C): points whose factors are drawn uniformly
and independently, 10,000 to fit and 5,000 to test what is fitted, and units cut into 20 bins of equal width for mutual
information. Figures at other numbers of points or bins do not compare.

Every metric still answers when units are constant or not finite, or factors take one value only: a
`RepresentationWarning` names them. It raises a ValueError for too few points, fewer than two units, factors that do not
fit the codes, or none that varies.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgen.metrics.boosting import boosted_trees
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.interventions import beta_vae_score, factor_vae_score
from jaxgen.metrics.representation import (
    Codes,
    Factors,
    Represent,
    RepresentationWarning,
    factor_sizes_of,
    finite_units,
    labelled,
    matched,
    represented,
)

__all__ = [
    "DCI",
    "active_units",
    "concentration",
    "dci",
    "disentanglement_scores",
    "explicitness",
    "irs",
    "mig",
    "modularity",
    "modularity_of_information",
    "mutual_information",
    "sap",
    "total_correlation",
    "unsupervised_scores",
    "wasserstein_correlation",
]

Covariance = Float[Array | np.ndarray, "d d"]


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness."""

    disentanglement: float
    """Whether each unit is important for one factor: 1 where it is, 0 where it is equally important for all."""
    completeness: float
    """Whether one unit is important for each factor."""
    informativeness: float
    """The accuracy of the prediction of the factors from all units, the mean over factors."""
    importance: Float[np.ndarray, "d k"]
    """The importance of each unit for each factor; columns sum to 1, or to 0 where nothing predicts the factor."""


def mutual_information(codes: Codes, factors: Factors, bins: int = 20) -> Float[np.ndarray, "d k"]:
    """Returns the mutual information in nats of each unit, cut into bins, and each factor, from their counts.

    For n independent points it is about (bins - 1)(values - 1) / 2n, not 0. A factor with one value only has 0.
    """
    codes, factors = matched(codes, factors, least=bins)
    return _information(_discrete(codes, bins), factors)


def mig(codes: Codes, factors: Factors, bins: int = 20) -> float:
    """Returns the mutual information gap (Chen et al. 2018, arXiv:1802.04942, eq. 6): how much more the best unit tells
    about a factor than the second best, as a share of the factor's entropy; the mean over factors, in [0, 1].

    Units that are the factors have 1 where no factor has more than `bins` values: about 32 values no unit cut into 20
    bins tells more than 0.85.
    """
    codes, factors = labelled(codes, factors, least=bins)
    entropy = [_entropy(factor) for factor in factors.T]
    return float(np.mean(_gap(_information(_discrete(codes, bins), factors)) / entropy))


def sap(codes: Codes, factors: Factors, train: int = 10_000, test: int = 5_000) -> float:
    """Returns the separated attribute predictability (Kumar et al. 2018, arXiv:1711.00848, section 3): how much better
    the best unit predicts a factor than the second best; the mean over factors, in [0, 1).

    The prediction is the accuracy on the test points of a linear support vector machine on the one unit, as it is
    (C = 0.01, classes weighted to balance, one against the rest). One unit that knows nothing still has the accuracy of
    guessing, and a line cannot tell a middle value from all others: units that are factors of 2 values have 1/2, of
    many values less.
    """
    from sklearn.svm import LinearSVC

    codes, factors = labelled(codes, factors, train=train, test=test)
    accuracy = np.empty((codes.shape[1], factors.shape[1]))
    for i, unit in enumerate(codes.T[..., None]):
        for j, factor in enumerate(factors.T):
            machine = LinearSVC(C=0.01, class_weight="balanced", dual=False)  # pyright: ignore[reportArgumentType]
            accuracy[i, j] = machine.fit(unit[:train], factor[:train]).score(unit[train:], factor[train:])
    return float(np.mean(_gap(accuracy)))


def dci(codes: Codes, factors: Factors, train: int = 10_000, test: int = 5_000) -> DCI:
    """Returns disentanglement, completeness and informativeness (Eastwood & Williams 2018, section 2), each in [0, 1].

    They come from the importance of the units for the prediction of each factor by gradient boosted trees (100 stages
    of depth 3, rate 0.1; `boosted_trees`), which is the literature's predictor: figures by others do not compare.
    """
    codes, factors = labelled(codes, factors, train=train, test=test)
    fits = [boosted_trees(codes, factor[:train]) for factor in factors.T]
    correct = [(fit.predicted == factor)[train:].mean() for fit, factor in zip(fits, factors.T, strict=True)]
    importance = np.stack([fit.importance for fit in fits], axis=1)
    return DCI(concentration(importance), concentration(importance.T), float(np.mean(correct)), importance)


def modularity(codes: Codes, factors: Factors, bins: int = 20) -> float:
    """Returns whether each unit tells about one factor (Ridgeway & Mozer 2018, arXiv:1802.05312, section 3), in [0, 1].

    It is the mean over units of 1 - Σ I² / (I*² (factors - 1)): I* is the mutual information with the best factor, and
    the sum is over the others. A unit without any information has 0.
    """
    codes, factors = labelled(codes, factors, least=bins)
    return modularity_of_information(_information(_discrete(codes, bins), factors))


def explicitness(codes: Codes, factors: Factors, train: int = 10_000, test: int = 5_000) -> float:
    """Returns whether a linear classifier reads the factors (Ridgeway & Mozer 2018, section 3): from 1/2 by chance to
    1.

    It is the area under the ROC curve on the test points of a logistic regression, on standardised units, for one value
    of a factor against the rest; the mean over values, then factors. Values in the middle of one unit are no
    half-space: a factor of many values in a single unit has about 3/4.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    codes, factors = labelled(codes, factors, train=train, test=test)
    scale = codes[:train].std(0)
    if not scale.any():
        return 1 / 2
    codes = ((codes - codes[:train].mean(0)) / np.where(scale > 0, scale, 1))[:, scale > 0]
    means = []
    for factor in factors.T:
        areas = []
        for value in np.intersect1d(factor[:train], factor[train:]):
            is_value = factor == value
            classifier = LogisticRegression(solver="newton-cholesky").fit(codes[:train], is_value[:train])
            areas.append(roc_auc_score(is_value[train:], classifier.decision_function(codes[train:])))
        means.append(np.mean(areas))
    return float(np.mean(means))


def irs(codes: Codes, factors: Factors, quantile: float | int = 0.99) -> float:
    """Returns the interventional robustness score (Suter et al. 2019, arXiv:1811.00007, section 4), at most 1: how
    little the other factors move a unit once its own is held.

    For each value of a factor, the deviation of a unit is the `quantile` of |unit - its mean there| over the points
    that share the value. Its mean over the values is divided by the largest |unit - its mean| of all points. A unit's
    score is one minus that ratio for its best factor, and the scores are weighed by the units' largest deviations.
    Factors must be drawn independently, because selecting a value is then an intervention.

    The score of noise with long tails is well above 0, because its largest deviation is far above the quantile: about
    1/3 for normal noise. The code of Locatello et al. cuts factors of more than 20 values into 20 bins; here each value
    counts.
    """
    codes, factors = labelled(codes, factors)
    largest = np.abs(codes - codes.mean(0)).max(0)

    def moved(factor):
        groups = (codes[factor == value] for value in np.unique(factor))
        return np.mean([np.quantile(np.abs(group - group.mean(0)), quantile, axis=0) for group in groups], axis=0)

    robust = largest - np.min([moved(factor) for factor in factors.T], axis=0)
    return float(robust.sum() / (largest.sum() or 1))


def active_units(codes: Codes, threshold: float | int = 0.01) -> Bool[np.ndarray, "d"]:
    """Returns which units of the posterior means vary over the data, by a variance above `threshold` (Burda et al.
    2016, arXiv:1509.00519, section 5)."""
    return finite_units(codes).var(0) > threshold


def total_correlation(covariance: Covariance) -> float:
    """Returns KL(N(0, C) ‖ Π N(0, C_ii)) = -½ log det of the correlation matrix, in nats. It is infinite where a unit
    is a linear function of others, which happens with no more points than units. Units of variance 0 do not count."""
    covariance = np.asarray(covariance, np.float64)
    scale = np.sqrt(np.diag(covariance))
    kept = scale > 0
    correlation = (covariance / np.outer(scale, scale).clip(min=np.finfo(float).tiny))[np.ix_(kept, kept)]
    values = np.linalg.eigvalsh(correlation)
    with np.errstate(divide="ignore"):
        return float(-np.log(np.where(values > 1e-12, values, 0)).sum() / 2)


def wasserstein_correlation(covariance: Covariance) -> float:
    """Returns the squared 2-Wasserstein distance between N(0, C) and the product of its marginals."""
    zero = np.zeros(len(covariance))
    return frechet_distance(zero, covariance, zero, np.diag(np.diag(covariance)))


def unsupervised_scores(codes: Codes, bins: int = 20) -> dict[str, float]:
    """Returns scores of how dependent the units are, without labels; lower is more disentangled (Locatello et al. 2019,
    appendix C).

    total_correlation and wasserstein_correlation of a Gaussian fit, the latter also as a share of the variance
    (wasserstein_correlation_normalised), and mutual_information_score, in nats: the mean of pairs of units in bins.
    """
    codes = finite_units(codes, least=bins)
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    wasserstein, units = wasserstein_correlation(covariance), _discrete(codes, bins)
    pairs = ~np.eye(codes.shape[1], dtype=bool)
    return {
        "total_correlation": total_correlation(covariance),
        "wasserstein_correlation": wasserstein,
        "wasserstein_correlation_normalised": float(wasserstein / (np.trace(covariance) or 1)),
        "mutual_information_score": float(np.mean(_information(units, units)[pairs])) if pairs.any() else 0.0,
    }


def disentanglement_scores(
    represent: Represent,
    factor_sizes: Sequence[int],
    *,
    train: int = 10_000,
    test: int = 5_000,
    batch: int = 64,
    bins: int = 20,
    seed: int = 0,
) -> dict[str, float]:
    """Returns all figures of a representation by name: beta_vae, factor_vae, mig, sap, dci_disentanglement,
    dci_completeness, dci_informativeness, modularity, explicitness, irs, those of `unsupervised_scores`, active_units
    (their number), and the numbers train_points and test_points.

    represent:    (n, k) classes of factors -> (n, d) codes, of 2.9 million points at the default numbers
    factor_sizes: k numbers of values; the classes of a factor are 0 to its size - 1
    batch:        points in each intervention of beta_vae and factor_vae

    Points are drawn with `seed`: the same arguments give the same figures.
    """
    sizes, varying = factor_sizes_of(factor_sizes)
    random = np.random.default_rng(seed)
    factors = random.integers(sizes, size=(train + test, len(sizes)))
    codes, factors = finite_units(represented(represent, factors)), factors[:, varying]
    first, known = codes[:train], factors[:train]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepresentationWarning)  # all has been said
        counts = {"train": train, "test": test}
        importance = dci(codes, factors, **counts)
        return {
            "beta_vae": beta_vae_score(represent, factor_sizes, batch=batch, seed=seed, **counts),
            "factor_vae": factor_vae_score(represent, factor_sizes, batch=batch, seed=seed, **counts),
            "mig": mig(first, known, bins),
            "sap": sap(codes, factors, **counts),
            "dci_disentanglement": importance.disentanglement,
            "dci_completeness": importance.completeness,
            "dci_informativeness": importance.informativeness,
            "modularity": modularity(first, known, bins),
            "explicitness": explicitness(codes, factors, **counts),
            "irs": irs(first, known),
            **unsupervised_scores(first, bins),
            "active_units": float(active_units(first).sum()),
            "train_points": float(train),
            "test_points": float(test),
        }


def _discrete(codes: Float[np.ndarray, "n d"], bins: int) -> Int[np.ndarray, "n d"]:
    """The bin of each value: bins of equal width from the least to the largest value of a unit."""
    low, width = codes.min(0), np.ptp(codes, axis=0)
    return np.minimum((codes - low) / np.where(width > 0, width, 1) * bins, bins - 1).astype(int)


def _information(a: Int[np.ndarray, "n d"], b: Int[np.ndarray, "n k"]) -> Float[np.ndarray, "d k"]:
    """I(a; b) = H(a) + H(b) - H(a, b) of each two columns, in nats, from their counts."""
    information = [[_entropy(x) + _entropy(y) - _entropy(x * (y.max() + 1) + y) for y in b.T] for x in a.T]
    return np.round(information, 12)  # so that independent columns have 0, not the error of rounding


def _entropy(variable: Int[np.ndarray, "n"]) -> float:
    return _nats(np.bincount(variable) / len(variable))


def _nats(p: Float[np.ndarray, "n"]) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _gap(scores: Float[np.ndarray, "d k"]) -> Float[np.ndarray, "k"]:
    """The best unit's score less the second best's, for each factor."""
    second, best = np.sort(scores, axis=0)[-2:]
    return best - second


def modularity_of_information(information: Float[np.ndarray, "d k"]) -> float:
    """Returns the modularity of units whose mutual information with the factors is given."""
    square = np.square(information)
    best = square.max(1)
    others = (square.sum(1) - best) / max(square.shape[1] - 1, 1)
    return float(np.mean(1 - np.divide(others, best, out=np.ones_like(best), where=best > 0)))


def concentration(importance: Float[np.ndarray, "r c"]) -> float:
    """Returns one minus the entropy of each row in units of log c, weighted by the rows' sums; 0 where all are 0."""
    weight = importance.sum(1)
    share = importance / np.where(weight > 0, weight, 1)[:, None]
    entropy = np.array([_nats(row) for row in share])
    return float((1 - entropy / np.log(max(importance.shape[1], 2))) @ weight / (weight.sum() or 1))
