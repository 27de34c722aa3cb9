"""Probes: what frozen features are worth to a classifier with few labels.

    features = Extractor("VAE", posterior_features(vae, state))     # of jaxgen.evaluation
    train, test = (features_of(features, images_of(data)) for data in (train_data, test_data))
    found = probe(train, train_labels, test, test_labels)
    found["logistic"][100]                      # with 100 labels: mean 0.92, interval 0.01 (95% confidence), draws

The features are trained without labels, on all training data; the probe then sees the labels of a few examples only.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen.metrics.representation import Codes, finite_units

__all__ = ["PROBES", "ProbeAccuracy", "balanced_order", "check_counts", "probe"]

Labels = Int[Array | np.ndarray, "_"]

PROBES = ("logistic", "ridge", "knn")
FOLDS = 3
ENOUGH = 500  # labels, from which on the first of the folds alone tells the setting
CHOOSING = 10_000  # labels, at most, by which the setting is chosen
SMALL = 5_000  # labels, up to which more threads would only wait for each other


class ProbeAccuracy(NamedTuple):
    """The accuracy of a probe on the test set."""

    mean: float
    """The mean over the draws of the labelled examples."""
    interval: float | None
    """Half the width of the 95% confidence interval of the mean, by Student's t; None where there is one draw."""
    draws: tuple[float, ...]
    """The accuracy of each draw."""


def probe(
    train: Codes,
    labels: Labels,
    test: Codes,
    test_labels: Labels,
    counts: Sequence[int | None] = (10, 50, 100, 500, 1000, None),
    *,
    kinds: Sequence[str] = PROBES,
    draws: int = 10,
    per_unit: bool = False,
    seed: int = 0,
) -> dict[str, dict[int, ProbeAccuracy]]:
    """Returns the accuracy on the test set of classifiers that see `count` labels, by their kind and by count.

    Each draw of labels is the start of another `balanced_order`; all examples, None, are one draw. The interval is that
    over the draws: other trainings of the features, or other test sets, are not in it.

    kinds:     `logistic`, multinomial with an L2 penalty, at most 100 iterations of L-BFGS; `ridge`, regression on ±1
               for each class; `knn`, the vote of the Euclidean neighbours. Penalty and number of neighbours are chosen
               by the accuracy in cross-validation among the labelled examples, with 3 folds, or one for each
               example of the rarest class where that has fewer; from 500 labels on, by a third of (at most 10,000 of)
               them held out. With one label of a class there is no choice: scikit-learn's C is 1 and alpha 100, one
               neighbour votes.
    per_unit:  features are centred and scaled by the training set, its labels unseen: all by one number, so that they
               keep the representation's distances, or with `per_unit` each to variance 1. That gives units which a
               model leaves nearly unused, as VAEs do, as loud a voice as the others.

    A `RepresentationWarning` names units that are constant or not finite: they have no part in it.

    Raises:
        ValueError: arrays that do not fit together, fewer labels than classes or more than there are examples, fewer
            than two classes, an unknown kind, or no draw.
    """
    train, test, labels, test_labels = map(np.asarray, (train, test, labels, test_labels))
    if train.ndim != 2 or test.shape[1:] != train.shape[1:]:
        raise ValueError(f"train and test are (points, units) with the same units: got {train.shape} and {test.shape}")
    if (len(labels), len(test_labels)) != (len(train), len(test)):
        raise ValueError(
            f"{len(labels)} and {len(test_labels)} labels for {len(train)} points to train and {len(test)} to test"
        )
    sizes = check_counts(labels, counts)
    if unknown := set(kinds) - set(PROBES):
        raise ValueError(f"unknown probe {min(unknown)!r}: choose from {', '.join(PROBES)}")
    if draws < 1:
        raise ValueError(f"draws={draws}: at least 1 is needed")
    codes = _scaled(finite_units(np.concatenate([train, test])), len(train), per_unit)
    train, test = codes[: len(train)], codes[len(train) :]
    found: dict[str, dict[int, list[float]]] = {kind: {size: [] for size in sizes} for kind in kinds}
    for draw in range(draws):
        order = balanced_order(labels, seed + draw)
        for size in sizes:
            if size < len(labels) or draw == 0:
                chosen = order[:size]
                for kind, accuracy in _accuracies(kinds, train[chosen], labels[chosen], test, test_labels).items():
                    found[kind][size].append(accuracy)
    return {kind: {size: _summary(values) for size, values in of.items()} for kind, of in found.items()}


def check_counts(labels: Labels, counts: Sequence[int | None]) -> list[int]:
    """Returns each count as a number of examples, where None stands for all. ValueError as `probe` raises it."""
    classes = len(np.unique(labels))
    if classes < 2:
        raise ValueError(f"labels of {classes} class: a probe tells at least two apart")
    sizes = [len(labels) if count is None else count for count in counts]
    for size in sizes:
        if not classes <= size <= len(labels):
            raise ValueError(f"{size} labels: from {classes}, one of each class, to all {len(labels)} are allowed")
    return sizes


def balanced_order(labels: Labels, seed: int = 0) -> Int[np.ndarray, "n"]:
    """Returns the indices of all examples in a random order whose every start is balanced between the classes: an
    example of each, then another of each, until they run out. A longer start holds the shorter ones."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    shuffled = np.asarray(labels)[order]
    by_class = np.argsort(shuffled, kind="stable")
    _, starts, sizes = np.unique(shuffled[by_class], return_index=True, return_counts=True)
    rank = np.empty(len(order), int)  # the rank of each example among those of its class
    rank[by_class] = np.arange(len(order)) - np.repeat(starts, sizes)
    return order[np.argsort(rank, kind="stable")]


def _scaled(codes: Float[np.ndarray, "n d"], train: int, per_unit: bool) -> Float[np.ndarray, "n d"]:
    """Centred, and scaled to variance 1, by the first `train` points; as float32."""
    known = codes[:train]
    mean, variance = known.mean(0), np.where((known == known[0]).all(0), 0, known.var(0))
    if not per_unit:
        variance = variance.sum(keepdims=True) / max((variance > 0).sum(), 1)
    return ((codes - mean) / np.sqrt(np.where(variance > 0, variance, 1))).astype(np.float32)


def _accuracies(
    kinds: Sequence[str],
    x: Float[np.ndarray, "n d"],
    y: Int[np.ndarray, "n"],
    test: Float[np.ndarray, "m d"],
    test_labels: Int[np.ndarray, "m"],
) -> dict[str, float]:
    """The accuracy of each kind of probe on the test set, with all of x labelled, the classes in turn."""
    from scipy.linalg import LinAlgWarning
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from threadpoolctl import threadpool_limits

    neighbours = [k for k in (15, 7, 3, 1) if 2 * k <= len(x)]
    probes: dict[str, tuple[Any, dict[str, Sequence[Any]]]] = {  # and the settings to choose from, the smoothest first
        "logistic": (LogisticRegression(tol=1e-3, warm_start=True), {"C": [1e-3, 0.01, 0.1, 1.0, 10.0, 100.0]}),
        "ridge": (RidgeClassifier(100), {"alpha": [1e4, 1e3, 100.0, 10.0, 1.0]}),
        "knn": (KNeighborsClassifier(1, algorithm="brute"), {"n_neighbors": neighbours}),
    }
    with threadpool_limits(1 if len(x) <= SMALL else None), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the limit is on purpose
        warnings.simplefilter("ignore", LinAlgWarning)  # too weak a penalty is not what is chosen
        if len(x) < x.shape[1]:
            # What the examples do not span changes no penalised fit, and no order of a point's distances to them.
            basis = np.linalg.qr(x.T)[0]
            x, test = x @ basis, test @ basis
        chosen = [_with_best(*probes[kind], x[:CHOOSING], y[:CHOOSING]).fit(x, y) for kind in kinds]
        return {kind: float(fit.score(test, test_labels)) for kind, fit in zip(kinds, chosen, strict=True)}


def _with_best(
    classifier: Any, grid: dict[str, Sequence[Any]], x: Float[np.ndarray, "n d"], y: Int[np.ndarray, "n"]
) -> Any:
    """The classifier with the setting that is best in cross-validation; as it is for one example of a class."""
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold

    folds = min(FOLDS, np.unique(y, return_counts=True)[1].min())
    if folds < 2:
        return clone(classifier)
    parts = list(StratifiedKFold(int(folds), shuffle=True, random_state=0).split(x, y))
    [(name, settings)] = grid.items()

    def fresh() -> Any:
        return clone(classifier)

    scores = []
    for fit, held_out in parts[: 1 if len(x) >= ENOUGH else None]:
        candidate = fresh()  # which starts each fit where the smoother one ended
        candidates = (candidate.set_params(**{name: setting}).fit(x[fit], y[fit]) for setting in settings)
        scores.append([fitted.score(x[held_out], y[held_out]) for fitted in candidates])
    return fresh().set_params(**{name: settings[int(np.mean(scores, axis=0).argmax())]})


def _summary(accuracies: list[float]) -> ProbeAccuracy:
    from scipy.stats import sem, t

    n = len(accuracies)
    interval = float(t.ppf(0.975, n - 1) * sem(accuracies)) if n > 1 else None
    return ProbeAccuracy(float(np.mean(accuracies)), interval, tuple(accuracies))
