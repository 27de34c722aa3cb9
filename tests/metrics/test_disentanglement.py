import itertools
import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from jaxgen.metrics import (
    RepresentationWarning,
    active_units,
    dci,
    disentanglement_scores,
    explicitness,
    irs,
    mig,
    modularity,
    mutual_information,
    sap,
    total_correlation,
    unsupervised_scores,
    wasserstein_correlation,
)
from jaxgen.metrics.disentanglement import concentration, modularity_of_information

HALVES = {"train": 1200, "test": 600}


def scores_of(codes, factors):
    disentanglement, completeness, informativeness, _ = dci(codes, factors, **HALVES)
    return {
        "disentanglement": disentanglement,
        "completeness": completeness,
        "informativeness": informativeness,
        "mig": mig(codes, factors),
        "modularity": modularity(codes, factors),
        "irs": irs(codes, factors),
        "sap": sap(codes, factors, **HALVES),
        "explicitness": explicitness(codes, factors, **HALVES),
    }


def grid(*sizes, times=1):
    """Every combination of classes, in random order, over and over."""
    whole = np.array(list(itertools.product(*map(range, sizes))))
    return np.concatenate([np.random.default_rng(i).permutation(whole) for i in range(times)])


def by_hand():
    """16 points of two binary factors: unit 0 is wrong about factor 0 in a quarter of them, unit 1 is factor 1."""
    a, b, wrong = grid(2, 2, 4).T
    return np.stack([a ^ (wrong == 0), b], axis=1).astype(float), np.stack([a, b], axis=1)


def hadamard():
    """Four factors of three values, each spread alike over four units: an orthogonal map of the factors."""
    factors = grid(3, 3, 3, 3, times=23)[:1800]
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    return (factors - 1) @ signs / 2, factors


def test_the_factors_themselves_score_1():
    factors = grid(2, 2, 2, times=225)
    codes = factors[:, [2, 0, 1]] * [0.7, -3, 20] + [5, 0, -1]  # permuted, scaled and moved
    scores = scores_of(codes, factors)
    assert scores.pop("sap") == 1 / 2  # guessing has 1/2 already
    assert scores == pytest.approx(dict.fromkeys(scores, 1))


def test_more_values_than_two():
    """Every metric that does not ask for a line still has its maximum."""
    factors = grid(3, 4, 20, times=8)
    codes = factors[:, ::-1] * [0.1, 1, 2]
    assert mig(codes, factors) == pytest.approx(1) and irs(codes, factors) == pytest.approx(1)
    assert modularity(codes, factors) == pytest.approx(1)
    scores = dci(codes, factors, **HALVES)
    assert scores.disentanglement > 0.99 and scores.completeness > 0.99 and scores.informativeness == 1


def test_20_bins_of_32_values():
    """Twelve bins hold two values."""
    factors = grid(32, 2)
    most = 1 - 24 / 32 * math.log(2) / math.log(32)
    assert mig(factors * 0.3, factors) == pytest.approx((most + 1) / 2)


def test_a_rotation_of_them_scores_low():
    codes, factors = hadamard()
    scores = scores_of(codes, factors)
    assert scores["mig"] < 0.02 and scores["sap"] < 0.03
    assert scores["disentanglement"] < 0.02 and scores["completeness"] < 0.02 and scores["informativeness"] > 0.9
    assert scores["modularity"] < 0.1
    assert scores["irs"] < 0.3
    assert scores["explicitness"] > 0.8  # lines through the units still read the extremes of every factor


def test_noise_scores_nothing():
    random = np.random.default_rng(1)
    factors = random.integers(3, size=(1800, 4))
    codes = random.uniform(size=(1800, 4))
    scores = scores_of(codes, factors)
    assert scores["mig"] < 0.01 and scores["sap"] < 0.03
    assert scores["disentanglement"] < 0.05 and scores["completeness"] < 0.05
    assert abs(scores["informativeness"] - 1 / 3) < 0.04 and abs(scores["explicitness"] - 1 / 2) < 0.03
    assert 0 < scores["irs"] < 0.05  # 1 - 0.99, and how far groups miss the ends
    assert scores["modularity"] < 0.6  # a ratio of what chance gives


def test_two_by_two_by_hand():
    codes, factors = by_hand()
    quarter = -(math.log(1 / 4) / 4 + math.log(3 / 4) * 3 / 4)  # the entropy of being wrong
    information = mutual_information(codes, factors, bins=2)
    np.testing.assert_allclose(information, [[math.log(2) - quarter, 0], [0, math.log(2)]], atol=1e-12)
    assert mig(codes, factors, bins=2) == pytest.approx((1 - quarter / math.log(2) + 1) / 2)
    twice = np.concatenate([codes, codes]), np.concatenate([factors, factors])
    # Unit 0 is right about factor 0 in 3/4, and unit 1 about factor 1 always; the other one guesses.
    assert sap(*twice, train=16, test=16) == pytest.approx(((3 / 4 - 1 / 2) + (1 - 1 / 2)) / 2)
    # Of a random pair of points of either class unit 0 orders 9/16 rightly, and cannot tell 6/16.
    assert explicitness(*twice, train=16, test=16) == pytest.approx((9 / 16 + 6 / 16 / 2 + 1) / 2)


def test_irs_by_hand():
    factors = grid(2, 2)
    codes = np.stack([factors[:, 0] + factors[:, 1] / 2, factors[:, 1]], axis=1)
    # Unit 0 is 0, 1/2, 1, 3/2: at most 3/4 from its mean, and 1/4 while factor 0 is held. Unit 1 depends on factor 1.
    assert irs(codes, factors, quantile=1.0) == pytest.approx((3 / 4 - 1 / 4 + 1 / 2) / (3 / 4 + 1 / 2))


def test_dci_of_given_importances():
    importance = np.array([[1 / 2, 0], [1 / 2, 1]])
    third = -(math.log2(1 / 3) / 3 + math.log2(2 / 3) * 2 / 3)
    assert concentration(importance) == pytest.approx((1 / 2 * 1 + 3 / 2 * (1 - third)) / 2)
    assert concentration(importance.T) == pytest.approx((0 + 1) / 2)
    assert concentration(np.eye(3)) == 1 and concentration(np.zeros((3, 2))) == 0
    assert concentration(np.full((3, 4), 1 / 3)) == pytest.approx(0, abs=1e-12)


def test_modularity_of_given_information():
    assert modularity_of_information(np.array([[2.0, 1], [0, 3]])) == pytest.approx((1 - 1 / 4 + 1) / 2)
    assert modularity_of_information(np.array([[2.0, 1, 1]])) == pytest.approx(1 - (1 + 1) / (4 * 2))
    assert modularity_of_information(np.array([[2.0, 2, 2], [0, 0, 0]])) == 0


def test_mutual_information_is_that_of_scikit_learn():
    random = np.random.default_rng(2)
    factors = random.integers([3, 5], size=(400, 2)) * [2, 7]  # with gaps
    codes = random.normal(size=(400, 3)) + factors[:, :1]
    bins = np.stack([np.digitize(unit, np.histogram(unit, 20)[1][1:-1]) for unit in codes.T], axis=1)
    expected = [[mutual_info_score(unit, factor) for factor in factors.T] for unit in bins.T]
    np.testing.assert_allclose(mutual_information(codes, factors), expected, atol=1e-11)


def test_total_correlation_in_closed_form():
    for r in (0.0, 0.3, -0.9):
        covariance = np.array([[4, 2 * 0.1 * r], [2 * 0.1 * r, 0.01]])
        assert total_correlation(covariance) == pytest.approx(-math.log(1 - r**2) / 2, abs=1e-12)
    equal = np.full((3, 3), 0.5) + np.eye(3) / 2
    assert total_correlation(equal) == pytest.approx(-math.log(0.5**2 * 2) / 2)
    assert total_correlation(np.ones((2, 2))) == math.inf
    assert total_correlation(np.diag([0.0, 2, 3])) == pytest.approx(0) and total_correlation(np.zeros((2, 2))) == 0


def test_wasserstein_correlation_in_closed_form():
    for r in (0.0, 0.6):
        expected = 4 - 2 * (math.sqrt(1 + r) + math.sqrt(1 - r))  # the marginals are standard normal
        assert wasserstein_correlation(np.array([[1, r], [r, 1]])) == pytest.approx(expected, abs=1e-12)


def test_unsupervised_scores():
    random = np.random.default_rng(3)
    mixing = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 2]])
    scores = unsupervised_scores(random.normal(size=(20_000, 3)) @ mixing.T)
    assert scores["total_correlation"] == pytest.approx(-math.log(0.36) / 2, rel=0.03)
    wasserstein = 4 - 2 * (math.sqrt(1.8) + math.sqrt(0.2))
    assert scores["wasserstein_correlation"] == pytest.approx(wasserstein, rel=0.05)
    assert scores["wasserstein_correlation_normalised"] == pytest.approx(wasserstein / 6, rel=0.05)
    first, second = grid(2, 2, times=10).T.astype(float)
    scores = unsupervised_scores(np.stack([first, -3 * first, second], axis=1))
    assert scores["total_correlation"] == math.inf
    assert scores["mutual_information_score"] == pytest.approx(math.log(2) / 3)  # one pair of three


def test_active_units():
    codes = np.random.default_rng(5).normal(size=(2000, 4)) * [1, 0.2, 0.05, 0]
    with pytest.warns(RepresentationWarning, match=r"units \[3\] are constant"):
        assert active_units(codes).tolist() == [True, True, False, False]


def test_names_what_it_cannot_use_and_still_answers():
    factors = grid(2, 2, 2, times=225)
    dead = np.random.default_rng(6).normal(size=(1800, 3))
    dead[:, 0], dead[5, 1], dead[7, 2] = 3, np.nan, np.inf
    codes, more = np.concatenate([factors, dead], axis=1), np.insert(factors, 1, 4, axis=1)
    with pytest.warns(RepresentationWarning) as caught:
        scores = scores_of(codes, more)
    assert {str(one.message) for one in caught} == {
        "units [4, 5] have values that are not finite: they count as constant",
        "units [3] are constant",
        "factors [1] take one value only: they are skipped",
    }
    known = scores_of(factors, factors)
    assert scores == pytest.approx(known | {"modularity": 3 / 6})
    with pytest.warns(RepresentationWarning):
        information = mutual_information(codes, more)
    np.testing.assert_allclose(information[:3, [0, 2, 3]], np.eye(3) * math.log(2), atol=1e-12)
    assert (information[3:] == 0).all() and (information[:, 1] == 0).all()


@pytest.mark.filterwarnings("ignore::jaxgen.metrics.RepresentationWarning")
def test_a_dead_representation():
    factors = grid(2, 2, 2, times=225)
    scores = scores_of(np.full((1800, 4), np.nan), factors)
    assert scores.pop("informativeness") == pytest.approx(1 / 2, abs=0.05)
    assert scores.pop("explicitness") == 1 / 2
    assert set(scores.values()) == {0}
    assert set(unsupervised_scores(np.ones((30, 4))).values()) == {0}


def test_a_value_that_training_has_not_seen():
    """Is never predicted rightly, and has no area under a curve."""
    factors = np.array([0, 1] * 20 + [0, 1, 2, 2])[:, None]
    codes = np.concatenate([factors, -factors], axis=1).astype(float)
    assert dci(codes, factors, train=40, test=4).informativeness == 1 / 2
    assert explicitness(codes, factors, train=40, test=4) == pytest.approx((1 + 1 / 3) / 2)


def test_bad_input():
    codes, factors = np.random.default_rng(7).normal(size=(50, 3)), grid(2, 5, times=5)
    with pytest.raises(ValueError, match=r"got \(50, 3\) and \(49, 2\)"):
        mig(codes, factors[:49])
    with pytest.raises(ValueError, match="19 points: at least 20 are needed"):
        modularity(codes[:19], factors[:19])
    with pytest.raises(ValueError, match="50 points: 10000 to train and 5000 to test are asked for"):
        sap(codes, factors)
    with pytest.raises(ValueError, match="at least 2 each"):
        dci(codes, factors, train=40, test=1)
    with pytest.raises(ValueError, match="classes from 0: got -2"):
        irs(codes, factors - 2)
    with pytest.raises(ValueError, match="one unit"):
        mig(codes[:, :1], factors)
    with pytest.raises(ValueError, match="0 of 2 factors take several values"):
        explicitness(codes, factors * 0, train=20, test=20)
    with pytest.raises(ValueError, match="0 of 0 factors"):
        mig(codes, factors[:, :0])


def test_all_scores_by_name():
    """Of a represented world: its third factor takes one value, its second unit is dead."""

    def represent(factors):
        assert factors.shape == (1024, 3) and factors.dtype == np.int32
        return np.stack([4.0 * factors[:, 1], 0 * factors[:, 0], -2.0 * factors[:, 0]], axis=1)

    few = {"train": 400, "test": 200, "batch": 8}
    with pytest.warns(RepresentationWarning) as caught:
        scores = disentanglement_scores(represent, (2, 2, 1), **few)
    said = sorted(str(one.message) for one in caught)
    assert said == ["factors [2] take one value only: they are skipped", "units [1] are constant"]
    exact = {"beta_vae", "factor_vae", "dci_disentanglement", "dci_completeness", "dci_informativeness", "explicitness"}
    assert {name: scores[name] for name in exact} == pytest.approx(dict.fromkeys(exact, 1))
    assert scores["irs"] == pytest.approx(1) and scores["modularity"] == pytest.approx(2 / 3, abs=0.01)
    assert scores["mig"] == pytest.approx(1, abs=0.02) and scores["sap"] == pytest.approx(1 / 2, abs=0.1)
    assert abs(scores["total_correlation"]) < 0.02 and scores["active_units"] == 2
    assert scores["train_points"] == 400 and scores["test_points"] == 200
    assert all(isinstance(score, float) for score in scores.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert disentanglement_scores(represent, (2, 2, 1), **few) == scores
        assert disentanglement_scores(represent, (2, 2, 1), seed=1, **few) != scores
