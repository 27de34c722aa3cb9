import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

from jaxgen.data import Curves, load, mirror, toy_world

WORLDS = ["ring", "grid", "moons", "swissroll"]


def test_the_ring_has_eight_distinct_equidistant_modes():
    """And not seven, as `linspace(0, 2π, 8)` gives."""
    ring = toy_world("ring")
    distance = np.linalg.norm(ring.modes[:, None] - ring.modes, axis=-1)
    assert ring.modes.shape == (8, 2)
    np.testing.assert_allclose(np.linalg.norm(ring.modes, axis=-1), 2, rtol=1e-6)
    np.testing.assert_allclose(np.sort(distance)[:, :3], [[0, *[4 * np.sin(np.pi / 8)] * 2]] * 8, atol=1e-6)
    assert ring.scale == 0.02
    assert ring.label_names[:4] == ("(2, 0)", "(1.41, 1.41)", "(0, 2)", "(-1.41, 1.41)")


def test_the_grid_has_25_modes():
    grid = toy_world("grid")
    assert sorted(map(tuple, grid.modes)) == [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    assert grid.scale == 0.05


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_points_of_a_mixture_have_its_moments_and_the_labels_are_the_nearest_modes(name):
    data, world = load(name), toy_world(name)
    points, label = data.arrays["image"], data.arrays["label"]
    assert (data.classes, data.label_names) == (len(world.modes), world.label_names)
    np.testing.assert_array_equal(label, np.linalg.norm(points[:, None] - world.modes, axis=-1).argmin(-1))
    each = len(points) / data.classes
    counts = np.bincount(label)
    assert ((counts - each) ** 2 / each).sum() < 2.5 * data.classes  # chi-squared
    for mode in range(data.classes):
        residual = (points[label == mode] - world.modes[mode]) / world.scale
        np.testing.assert_allclose(residual.mean(0), 0, atol=5 / each**0.5)
        np.testing.assert_allclose(np.cov(residual.T), np.eye(2), atol=8 / each**0.5)
    normal = (points - world.modes[label]) / world.scale
    np.testing.assert_allclose((normal**4).mean(0), 3, atol=0.2)  # the kurtosis of a Gaussian


def test_the_moons_are_two_half_circles():
    data, world = load("moons"), toy_world("moons")
    points, label = data.arrays["image"], data.arrays["label"]
    assert data.label_names == ("upper", "lower")
    upper, lower = points[label == 0], points[label == 1]
    np.testing.assert_allclose(upper.mean(0), [0, 2 / np.pi], atol=0.02)
    np.testing.assert_allclose(lower.mean(0), [1, 0.5 - 2 / np.pi], atol=0.02)
    for moon, centre in ((upper, [0, 0]), (lower, [1, 0.5])):
        radius = np.square(moon - np.float32(centre)).sum(-1)
        np.testing.assert_allclose(radius.mean(), 1 + 2 * world.scale**2, atol=0.01)


def test_the_roll_has_about_unit_scale_and_no_labels():
    data = load("swissroll")
    assert set(data.arrays) == {"image"} and data.classes == 0
    a, b = 1.5 * np.pi, 4.5 * np.pi  # the square of the radius is angle² / 100, the angle uniform
    expected = (b**3 - a**3) / (3 * (b - a)) / 100 + 2 * 0.05**2
    np.testing.assert_allclose(np.square(data.arrays["image"]).sum(-1).mean(), expected, rtol=0.01)


@pytest.mark.parametrize("name", WORLDS)
def test_the_density_integrates_to_one_and_is_that_of_the_points(name):
    """∫ p = 1, and the mean of -log p over the test points is the entropy -∫ p log p."""
    world, points = toy_world(name), load(name, "test").arrays["image"]
    margin, step = 7 * world.scale, 0.8 * world.scale  # the trapezoid rule is exact to 1e-9 on such a lattice
    axes = [
        np.arange(low - margin, high + margin, step) for low, high in zip(points.min(0), points.max(0), strict=True)
    ]
    lattice = np.stack(np.meshgrid(*axes), axis=-1).astype(np.float32)
    log_density = np.concatenate([world.log_prob(row) for row in np.array_split(lattice.reshape(-1, 2), 20)])
    density = np.exp(log_density.astype(float))
    np.testing.assert_allclose(density.sum() * step**2, 1, rtol=2e-4)
    found = -np.asarray(world.log_prob(points), float)
    entropy = -(density * log_density).sum() * step**2
    np.testing.assert_allclose(found.mean(), entropy, atol=4 * found.std() / len(found) ** 0.5)


def test_log_prob_of_a_mixture_by_hand():
    ring = toy_world("ring")
    at_a_mode = -np.log(8 * 2 * np.pi * 0.02**2)
    log_prob = jax.jit(ring.log_prob)(jnp.asarray(np.stack([ring.modes, ring.modes + np.float32([0.06, 0])])))
    np.testing.assert_allclose(log_prob, [[at_a_mode] * 8, [at_a_mode - 4.5] * 8], atol=2e-4)
    far = jnp.zeros((1, 2))  # in the middle, 100 standard deviations from all eight
    np.testing.assert_allclose(ring.log_prob(far), np.log(8) + at_a_mode - 5000, rtol=1e-5)


def test_log_prob_of_curves_is_rices_on_a_circle():
    """p(x) = exp(-(r² + 1) / 2σ²) I₀(r / σ²) / 2πσ², known exactly (Rice 1945)."""

    def circle(position):
        return np.stack([np.cos(2 * np.pi * position), np.sin(2 * np.pi * position)], axis=-1)

    r = np.array([0, 0.1, 0.6, 1, 1.4, 2.5])
    points = np.stack([r * np.cos(0.7), r * np.sin(0.7)], axis=-1).astype(np.float32)
    expected = np.log(ive(0, r / 0.01)) - (r - 1) ** 2 / 0.02 - np.log(2 * np.pi * 0.01)
    np.testing.assert_allclose(Curves({"circle": circle}, 0.1).log_prob(points), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WORLDS)
def test_the_same_points_always_and_others_in_the_test_split(name):
    train, test = load(name), load(name, "test")
    assert (len(train), len(test), train.name) == (100_000, 10_000, name)
    assert train.example["image"] == jax.ShapeDtypeStruct((2,), jnp.float32)
    np.testing.assert_array_equal(load(name).arrays["image"], train.arrays["image"])
    both = np.concatenate([train.arrays["image"], test.arrays["image"]])
    assert len(np.unique(both.view(np.uint64))) == 110_000  # no point twice
    few, _ = toy_world(name).sample(0, 3)
    np.testing.assert_array_equal(few, train.arrays["image"][:3])


def test_the_same_points_with_any_version_of_numpy():
    np.testing.assert_allclose(
        load("ring").arrays["image"][:2], [[-1.398876, -1.410175], [2.031271, -0.019094]], atol=2e-6
    )
    np.testing.assert_allclose(
        load("moons").arrays["image"][:2], [[0.424670, -0.238015], [1.150969, 0.008189]], atol=2e-6
    )


def test_points_in_batches():
    data = load("ring", "test")
    batch = jax.jit(data.gather)(dict(data.arrays), jnp.array([3, 5, 3]))
    np.testing.assert_array_equal(batch["image"], data.arrays["image"][[3, 5, 3]])
    assert data.spec(7)["image"] == jax.ShapeDtypeStruct((7, 2), jnp.float32)
    mirrored = mirror(jax.random.key(0), batch)  # of images only
    np.testing.assert_array_equal(mirrored["image"], batch["image"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 8}, "moons has points, not images: image_size=8 is not possible"),
        ({"channels": 3}, "moons has points, not images: channels=3 is not possible"),
        ({"flip": True}, "moons has points, not images: they cannot be flipped"),
        ({"split": "valid"}, "moons has no split 'valid'; allowed are 'train' and 'test'"),
    ],
)
def test_what_points_do_not_have(options, message):
    with pytest.raises(ValueError, match=message):
        load("moons", **options)


def test_unknown_world():
    with pytest.raises(ValueError, match="unknown toy world 'digits'; allowed are ring, grid, moons, swissroll"):
        toy_world("digits")
