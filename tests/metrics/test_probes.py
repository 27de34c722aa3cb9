import warnings

import numpy as np
import pytest
from scipy.stats import t
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from jaxgen.metrics import RepresentationWarning, probe
from jaxgen.metrics.probes import PROBES, balanced_order


def blobs(n, classes=4, units=6, distance=2.0, seed=0):
    """Points around a centre for each class, in random directions from the origin."""
    random = np.random.default_rng(seed)
    centres = distance * np.random.default_rng(99).normal(size=(classes, units))
    labels = random.integers(classes, size=n)
    return centres[labels] + random.normal(size=(n, units)), labels


TRAIN, TEST = blobs(400), blobs(300, seed=1)


def means(found):
    return {kind: {count: accuracy.mean for count, accuracy in of.items()} for kind, of in found.items()}


def test_every_start_is_balanced_and_holds_the_shorter_ones():
    labels = np.repeat([3, 0, 7], [50, 5, 20])
    order = balanced_order(labels, 1)
    assert sorted(order) == list(range(75))
    for size in (3, 6, 14, 15):  # while all three last
        counts = np.unique(labels[order[:size]], return_counts=True)[1]
        assert len(counts) == 3 and np.ptp(counts) <= 1
    assert [np.sum(labels[order[:45]] == c) for c in (0, 7, 3)] == [5, 20, 20]
    assert set(labels[order[45:]]) == {3}
    assert (balanced_order(labels, 1) == order).all() and (balanced_order(labels, 2) != order).any()
    firsts = [balanced_order(labels, seed)[:3] for seed in range(200)]
    assert {labels[first[0]] for first in firsts} == {0, 3, 7} and len(np.unique(firsts)) > 60  # any can be drawn


def test_what_is_there_is_found_and_noise_is_guessed():
    far, near = blobs(400, distance=20.0), blobs(300, distance=20.0, seed=1)
    for of in probe(*far, *near, (4, 20, None), draws=3).values():
        assert {a.mean for a in of.values()} == {1.0}
    noise = np.random.default_rng(0).normal(size=(700, 6))
    for of in probe(noise[:400], far[1], noise[400:], near[1], (40, None), draws=3).values():
        assert all(abs(a.mean - 1 / 4) < 0.1 for a in of.values())


def test_more_labels_help_and_the_interval_is_students():
    found = probe(*TRAIN, *TEST, (4, 40, None), draws=8)
    for of in found.values():
        assert of[4].mean < of[40].mean < of[400].mean + 0.02
        assert len(of[4].draws) == 8 and of[4].mean == pytest.approx(np.mean(of[4].draws))
        half = t.ppf(0.975, 7) * np.std(of[4].draws, ddof=1) / np.sqrt(8)
        assert of[4].interval == pytest.approx(half) and half > 0.01
        assert of[400].interval is None and len(of[400].draws) == 1
    alone = probe(*TRAIN, *TEST, (40, None), kinds=("knn",), draws=8)
    assert alone["knn"] == {count: found["knn"][count] for count in (40, 400)}


def test_are_the_classifiers_of_scikit_learn():
    """With one label of a class nothing is chosen; the fit in the span of 4 points is that in all 50 units."""
    (x, y), (test, test_labels) = blobs(200, units=50, distance=0.5), blobs(300, units=50, distance=0.5, seed=1)
    found = probe(x, y, test, test_labels, (4,), draws=4)
    centre, scale = x.mean(0), np.sqrt(x.var(0).mean())
    x, test = (x - centre) / scale, (test - centre) / scale
    plain = {"logistic": LogisticRegression(C=1), "ridge": RidgeClassifier(100), "knn": KNeighborsClassifier(1)}
    for draw in range(4):
        chosen = balanced_order(y, draw)[:4]
        for kind, classifier in plain.items():
            accuracy = classifier.fit(x[chosen], y[chosen]).score(test, test_labels)
            assert found[kind][4].draws[draw] == pytest.approx(accuracy, abs=0.011)
            assert accuracy > 0.4


def test_the_setting_suits_the_labels():
    """Labels of which a third is wrong ask for more neighbours than one, and many noisy units for a strong penalty."""
    random = np.random.default_rng(0)
    (x, y), test = blobs(600, distance=20.0), blobs(300, distance=20.0, seed=1)
    wrong = np.where(random.random(600) < 1 / 3, random.integers(4, size=600), y)
    assert probe(x, wrong, *test, (None,), kinds=("knn",))["knn"][600].mean > 0.95
    x, held_out = (np.concatenate([z, random.normal(size=(len(z), 300)) * 2], axis=1) for z in (TRAIN[0], TEST[0]))
    found = probe(x, TRAIN[1], held_out, TEST[1], (None,), kinds=("logistic",))["logistic"][400].mean
    scale = np.sqrt(x.var(0).mean())
    weak = LogisticRegression(C=100, max_iter=1000).fit(x / scale, TRAIN[1]).score(held_out / scale, TEST[1])
    assert found > weak + 0.02


def test_one_number_or_one_for_each_unit():
    """The common scale keeps distances: it undoes a rotation, a shift and a common factor. `per_unit` undoes a factor
    for each unit, and lets units that are hardly used drown the others."""
    (x, y), (test, test_labels) = TRAIN, TEST
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
    options = {"counts": (8, 40), "draws": 1}
    moved = probe(7 * x @ rotation + 3, y, 7 * test @ rotation + 3, test_labels, **options)
    for kind, of in probe(x, y, test, test_labels, **options).items():
        assert [a.mean for a in of.values()] == pytest.approx([a.mean for a in moved[kind].values()], abs=0.01)
    factors = np.array([1e-3, 1, 10, 1e3, 5, 2])
    stretched = probe(x * factors, y, test * factors, test_labels, per_unit=True, **options)
    for kind, of in probe(x, y, test, test_labels, per_unit=True, **options).items():
        assert [a.mean for a in of.values()] == pytest.approx([a.mean for a in stretched[kind].values()], abs=0.01)
    faint = 1e-2 * np.random.default_rng(4).normal(size=(700, 40))
    x, test = np.hstack([x, faint[:400]]), np.hstack([test, faint[400:]])
    common, each = (probe(x, y, test, test_labels, (4,), per_unit=per_unit) for per_unit in (False, True))
    for kind in PROBES:
        assert common[kind][4].mean > each[kind][4].mean + 0.05


def test_bad_units_have_no_part():
    (x, y), (test, test_labels) = TRAIN, TEST
    bad = np.insert(x, [0, 3], [[0.1, 7.0]], axis=1), np.insert(test, [0, 3], [[0.1, 7.0]], axis=1)
    bad[1][5, 0] = np.nan  # in the test set only
    for per_unit in (False, True):
        with pytest.warns(RepresentationWarning) as said:
            found = probe(bad[0], y, bad[1], test_labels, (40,), draws=1, per_unit=per_unit)
        assert ["units [0] have values that are not finite" in str(said[0].message), len(said)] == [True, 2]
        assert "units [4] are constant" in str(said[1].message)
        clean = probe(x, y, test, test_labels, (40,), draws=1, per_unit=per_unit)
        for kind in PROBES:
            assert found[kind][40].mean == pytest.approx(clean[kind][40].mean, abs=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepresentationWarning)
        nothing = probe(np.zeros((400, 3)), y, np.zeros((300, 3)), test_labels, (4, 40), draws=2)
    share = np.bincount(test_labels) / 300
    for of in nothing.values():
        assert all(draw in share for a in of.values() for draw in a.draws)  # guesses one class


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": (3,)}, "3 labels: from 4, one of each class, to all 400 are allowed"),
        ({"counts": (40, 401)}, "401 labels: from 4"),
        ({"labels": np.zeros(400, int)}, "labels of 1 class"),
        ({"labels": np.zeros(0, int)}, "0 and 300 labels for 400 points to train and 300 to test"),
        ({"test": np.zeros((300, 5))}, r"the same units: got \(400, 6\) and \(300, 5\)"),
        ({"kinds": ("knn", "svm")}, "unknown probe 'svm': choose from logistic, ridge, knn"),
        ({"draws": 0}, "draws=0: at least 1"),
    ],
)
def test_mistakes(change, message):
    given = dict(zip(("train", "labels", "test", "test_labels"), (*TRAIN, *TEST), strict=True), counts=(4,))
    with pytest.raises(ValueError, match=message) as error:
        probe(**given | change)
    assert "\n" not in str(error.value)
