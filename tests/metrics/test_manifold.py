import numpy as np
import pytest

from jaxgen.metrics import density_coverage, manifold, nearest_neighbours, precision_recall


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of a few rows, the last one shorter."""
    monkeypatch.setattr(manifold, "CHUNK", 200)


def distances(a, b):
    return np.array([[np.linalg.norm(x - y) for y in b] for x in a])


def balls(centres, k):
    return np.array([np.sort(row)[k] for row in distances(centres, centres)])  # the centre itself is at 0


def test_are_the_counts_by_brute_force():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(61, 3)), random.normal(size=(47, 3)) * 0.7 + 0.5
    for k in (1, 3, 5):
        inside = distances(fake, real) <= balls(real, k)  # fake j in the ball of real i
        precision = np.mean([row.any() for row in inside])
        recall = np.mean([row.any() for row in distances(real, fake) <= balls(fake, k)])
        assert precision_recall(real, fake, k) == (precision, recall)
        np.testing.assert_allclose(density_coverage(real, fake, k), (inside.sum() / k / 47, inside.any(0).mean()))
        assert 0 < recall < precision < 1


def test_known_cases():
    random = np.random.default_rng(1)
    real = random.normal(size=(300, 4)) + 1e4  # far from the origin, where the expanded square cancels
    assert precision_recall(real, real) == (1, 1)
    np.testing.assert_allclose(density_coverage(real, real), ((5 + 1) / 5, 1))  # k neighbours, and itself
    assert precision_recall(real, real + 100) == (0, 0) and density_coverage(real, real + 100) == (0, 0)
    collapsed = np.repeat(real[:1], 50, axis=0)  # one good sample, over and over
    precision, recall = precision_recall(real, collapsed)
    assert precision == 1 and recall <= 1 / 300
    density, coverage = density_coverage(real, random.normal(size=(300, 4)) + 1e4)
    assert abs(density - 1) < 0.15 and abs(coverage - (1 - 0.5**5)) < 0.05


def test_neighbours_are_those_of_the_whole_matrix():
    random = np.random.default_rng(2)
    queries, references = random.normal(size=(33, 2, 3)), random.normal(size=(58, 2, 3))
    whole = distances(queries.reshape(33, 6), references.reshape(58, 6))
    for k in (1, 4, 58):
        found, index = nearest_neighbours(queries, references, k)
        np.testing.assert_array_equal(index, np.argsort(whole, axis=1)[:, :k])
        np.testing.assert_allclose(found, np.sort(whole, axis=1)[:, :k], rtol=1e-12)


def test_what_was_learned_by_heart_is_at_distance_0():
    images = np.random.default_rng(3).integers(0, 256, (40, 5, 5, 1)).astype(np.uint8)
    found, index = nearest_neighbours(images[[7, 3]], images)
    assert (found == 0).all() and index[:, 0].tolist() == [7, 3]


def test_bad_input():
    x = np.zeros((4, 2))
    for metric in (precision_recall, density_coverage):
        with pytest.raises(ValueError, match="4 real samples: at least 5"):
            metric(x, x, k=4)
        with pytest.raises(ValueError, match="k = 0"):
            metric(x, x, k=0)
    with pytest.raises(ValueError, match="there are 4 references"):
        nearest_neighbours(x, x, 5)
    with pytest.raises(ValueError, match=r"shape \(2,\), but references of shape \(3,\)"):
        nearest_neighbours(x, np.zeros((4, 3)))
