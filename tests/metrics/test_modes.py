import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import load, toy_world
from jaxgen.metrics import class_coverage, mode_coverage, read_stacked

MODES = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], np.float32)


def at(counts, offset=(0.0, 0.0), modes=MODES):
    """counts[i] points at mode i, moved by `offset`."""
    return jnp.asarray(np.repeat(modes, counts, axis=0) + np.float32(offset))


def test_all_in_one_mode():
    coverage = mode_coverage(at([0, 0, 7, 0]), MODES, 0.1)
    assert coverage.counts.tolist() == [0, 0, 7, 0]
    assert (coverage.modes_covered, coverage.high_quality) == (1, 1)
    np.testing.assert_allclose(coverage.reverse_kl, np.log(4), rtol=1e-6)


def test_all_covered():
    coverage = mode_coverage(at([5, 5, 5, 5]), MODES, 0.1)
    assert (coverage.modes_covered, coverage.high_quality) == (4, 1)
    np.testing.assert_allclose(coverage.reverse_kl, 0, atol=1e-6)


def test_reverse_kl_by_hand():
    """Of the histogram of the good points alone, against a uniform truth and against another."""
    points = jnp.concatenate([at([4, 2, 2, 0]), at([0, 3, 0, 9], offset=(1.0, 1.0))])
    coverage = mode_coverage(points, MODES, 0.1)
    assert coverage.counts.tolist() == [4, 2, 2, 0]
    np.testing.assert_allclose(coverage.high_quality, 8 / 20, rtol=1e-6)
    np.testing.assert_allclose(coverage.reverse_kl, 0.5 * np.log(2) + 0.25 * np.log(1) * 2, rtol=1e-6)
    skewed = mode_coverage(points, MODES, 0.1, truth=np.array([10, 20, 20, 50]))
    expected = 0.5 * np.log(0.5 / 0.1) + 2 * 0.25 * np.log(0.25 / 0.2)
    np.testing.assert_allclose(skewed.reverse_kl, expected, rtol=1e-6)
    assert skewed.counts.tolist() == coverage.counts.tolist()
    impossible = mode_coverage(points, MODES, 0.1, truth=np.array([0, 1, 1, 1]))
    assert impossible.reverse_kl == np.inf


def test_junk_covers_nothing():
    for junk in (at([1, 1, 1, 1], offset=(2.0, 2.0)), jnp.full((4, 2), jnp.nan), jnp.full((4, 2), jnp.inf)):
        coverage = mode_coverage(junk, MODES, 0.1)
        assert coverage.counts.tolist() == [0, 0, 0, 0]
        assert (coverage.modes_covered, coverage.high_quality, coverage.reverse_kl) == (0, 0, np.inf)


@pytest.mark.parametrize(("distance", "good"), [(0.29, 1), (0.31, 0)])
def test_the_three_sigma_rule_is_of_the_euclidean_distance(distance, good):
    along, across = distance * 0.8, distance * 0.6
    assert mode_coverage(at([0, 1, 0, 0], (along, across)), MODES, 0.1).modes_covered == good
    assert mode_coverage(at([0, 1, 0, 0], (along, across)), MODES, 0.1, sigmas=4.0).modes_covered == 1
    assert mode_coverage(at([0, 1, 0, 0], (along, across)), MODES, 0.05).modes_covered == 0


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_the_true_points_cover_all_modes(name):
    """1 - exp(-9/2) of them are of high quality, and 2 n KL is chi-squared with k - 1 degrees of freedom."""
    world, data = toy_world(name), load(name, "test")
    coverage = jax.jit(mode_coverage)(data.arrays["image"], world.modes, world.scale)
    k = len(world.modes)
    assert coverage.modes_covered == k
    np.testing.assert_allclose(coverage.high_quality, 1 - np.exp(-4.5), atol=0.004)
    np.testing.assert_allclose(2 * coverage.counts.sum() * coverage.reverse_kl, k - 1, atol=4 * (2 * k) ** 0.5)
    in_label = np.bincount(data.arrays["label"], minlength=k)
    assert (coverage.counts <= in_label).all()


def test_a_population_at_once():
    points = jnp.stack([at([4, 0, 0, 0]), at([1, 1, 1, 1]), at([2, 2, 0, 0])])
    together = jax.jit(jax.vmap(lambda x: mode_coverage(x, MODES, 0.1)))(points)
    assert together.modes_covered.tolist() == [1, 4, 2]
    np.testing.assert_allclose(together.reverse_kl, [np.log(4), 0, np.log(2)], atol=1e-6)
    alone = [mode_coverage(member, MODES, 0.1) for member in points]
    jax.tree.map(np.testing.assert_array_equal, together, jax.tree.map(lambda *x: jnp.stack(x), *alone))


def test_classes_by_hand():
    coverage = class_coverage(jnp.array([0, 2, 2, 5, 2, 0, 7, -1]), 6)
    assert coverage.counts.tolist() == [2, 0, 3, 0, 0, 1]  # 7 and -1 are none of the classes
    assert (coverage.modes_covered, coverage.high_quality) == (3, 0.75)
    p = np.array([2, 3, 1]) / 6
    np.testing.assert_allclose(coverage.reverse_kl, (p * np.log(6 * p)).sum(), rtol=1e-6)
    same = class_coverage(jnp.array([0, 2, 2, 5, 2, 0]), 6, truth=coverage.counts)
    np.testing.assert_allclose(same.reverse_kl, 0, atol=1e-6)


def test_stacked_digits_are_read_channel_by_channel():
    """By a classifier that knows the digits by heart: the nearest of all, whose labels are its logits."""
    digits, stacked = load("digits", "test"), load("stacked-digits", "test")
    known = jnp.asarray(digits.arrays["image"].reshape(len(digits), -1), jnp.float32)

    @jax.jit
    def classify(image):
        x = jnp.asarray(image, jnp.float32).reshape(len(image), -1)
        return jax.nn.one_hot(
            jnp.asarray(digits.arrays["label"])[jnp.argmax(x @ known.T - (known**2).sum(1) / 2, axis=1)], 10
        )

    labels = read_stacked(classify, stacked.arrays["image"][:500])
    np.testing.assert_array_equal(labels, stacked.arrays["label"][:500])
    coverage = class_coverage(labels, 1000)
    assert coverage.modes_covered == len(np.unique(stacked.arrays["label"][:500]))
    assert coverage.high_quality == 1
