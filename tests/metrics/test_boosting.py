import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from jaxgen.metrics import boosting


def data(points, classes, step=0.0):
    """Of two units and two that say nothing; rounded to a step, of few values."""
    random = np.random.default_rng(0)
    codes = random.normal(size=(points, 4))
    codes = np.round(codes / step) * step if step else codes
    score = codes[:, 0] + 0.5 * np.abs(codes[:, 1]) + 0.5 * random.normal(size=points)
    return codes, np.searchsorted(np.quantile(score, np.arange(1, classes) / classes), score)


@pytest.mark.parametrize("classes", [2, 4])
def test_are_the_trees_of_scikit_learn(classes, monkeypatch):
    """Of no more values than bins. Later stages have ties, which scikit-learn breaks at random."""
    codes, labels = data(2000, classes, step=0.25)
    for stages, tolerance in ((5, 1e-9), (60, 2e-3)):
        monkeypatch.setattr(boosting, "STAGES", stages)
        trees = boosting.boosted_trees(codes, labels)
        theirs = GradientBoostingClassifier(n_estimators=stages, random_state=0).fit(codes, labels)
        np.testing.assert_allclose(trees.importance, theirs.feature_importances_, atol=tolerance)
        np.testing.assert_array_equal(trees.predicted, theirs.predict(codes))


def test_quantiles_change_little():
    codes, labels = data(3000, 3)
    trees = boosting.boosted_trees(codes, labels[:2000])
    theirs = GradientBoostingClassifier(random_state=0).fit(codes[:2000], labels[:2000])
    np.testing.assert_allclose(trees.importance, theirs.feature_importances_, atol=0.01)
    accuracy = (trees.predicted == labels)[2000:].mean()
    assert abs(accuracy - theirs.score(codes[2000:], labels[2000:])) < 0.02 and accuracy > 0.7


def test_nothing_to_split_by():
    trees = boosting.boosted_trees(np.ones((9, 2)), np.array([0, 1, 1, 2, 1]))
    assert (trees.importance == 0).all() and (trees.predicted == 1).all()
