"""A world of factors made here; the real ones are tested with their sources."""

import numpy as np
import pytest

from jaxgen.data import FactorWorld

VALUES = {"colour": np.array(["red", "blue"]), "size": np.linspace(0, 1, 3), "place": np.arange(5)}
world = FactorWorld("boxes", VALUES, lambda factors: (factors @ [100, 10, 1])[:, None, None, None].astype(np.uint8))


def test_index_and_factors_are_inverse_and_the_last_factor_changes_fastest():
    assert (len(world), world.names, world.sizes) == (30, ("colour", "size", "place"), (2, 3, 5))
    index = np.arange(30)
    factors = world.factors(index)
    np.testing.assert_array_equal(factors[:6], [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 0, 4], [0, 1, 0]])
    np.testing.assert_array_equal(world.index(factors), index)
    np.testing.assert_array_equal(world.factors(7), factors[7])
    np.testing.assert_array_equal(world.images(factors).ravel(), factors @ [100, 10, 1])


def test_classes_by_value():
    assert world.classes(colour="blue", size=0.5, place=4) == {"colour": 1, "size": 1, "place": 4}
    with pytest.raises(ValueError, match=r"boxes: size has no value 0.6; allowed are 0.0, 0.5, 1.0"):
        world.classes(size=0.6)
    with pytest.raises(ValueError, match="boxes has no factor 'hue'; it has colour, size, place"):
        world.classes(hue=1)


def test_samples_are_a_pure_function_of_the_seed_and_hold_what_is_fixed():
    factors = world.sample(3, 3000, size=2)
    np.testing.assert_array_equal(factors, world.sample(3, 3000, size=2))
    assert (factors != world.sample(4, 3000, size=2)).any()
    assert (factors[:, 1] == 2).all()
    for column, size in ((0, 2), (2, 5)):
        np.testing.assert_allclose(np.bincount(factors[:, column]) / 3000, 1 / size, atol=0.03)
    places = np.arange(10) % 5
    np.testing.assert_array_equal(world.sample(0, 10, place=places)[:, 2], places)


def test_what_is_out_of_range_is_named():
    for call, message in (
        (lambda: world.factors(30), "boxes: index is 30; allowed is 0 to 29"),
        (lambda: world.index(np.array([0, 3, 0])), "boxes: the factor size is 3; allowed is 0 to 2"),
        (lambda: world.images(np.array([[0, 0, -1]])), "boxes: the factor place is -1; allowed is 0 to 4"),
        (lambda: world.index(np.zeros((4, 2), int)), r"the 3 classes of colour, size, place; .* shape \(4, 2\)"),
        (lambda: world.sample(0, 4, colour=2), "boxes: the factor colour is 2; allowed is 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
