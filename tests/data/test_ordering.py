import numpy as np
import pytest

from jaxgen.data import order, orders


@pytest.mark.parametrize(("batch_size", "size"), [(4, 12), (5, 12), (12, 12), (1, 7), (7, 9)])
def test_each_epoch_visits_every_example_once(batch_size, size):
    stream = orders(3, range(5 * size), batch_size, size).ravel()
    epochs = stream[: len(stream) // size * size].reshape(-1, size)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.broadcast_to(np.arange(size), epochs.shape))
    assert len(np.unique(epochs, axis=0)) > 1  # no epoch repeats the one before


def test_order_is_a_pure_function_of_seed_and_step():
    together = orders(1, range(40), 5, 12)
    assert together.shape == (40, 5)
    for step in (39, 0, 17, 18):  # in any order, by themselves
        np.testing.assert_array_equal(order(1, step, 5, 12), together[step])
    np.testing.assert_array_equal(orders(1, range(17, 23), 5, 12), together[17:23])
    assert orders(1, range(3, 3), 5, 12).shape == (0, 5)
    assert (orders(2, range(40), 5, 12) != together).any()


def test_order_stays_the_same_for_ever():
    """A run of today resumes with another version of NumPy."""
    assert order(0, 0, 10, 10).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
    assert order(7, 10**6, 4, 60_000).tolist() == [45753, 35953, 11520, 56292]


def test_order_is_uniform():
    """Every example comes at every place of an epoch equally often: chi-squared with 49 degrees of freedom."""
    size, epochs = 7, 6_000
    stream = orders(0, range(epochs), size, size)
    counts = np.stack([np.bincount(stream[:, place], minlength=size) for place in range(size)])
    chi2 = ((counts - epochs / size) ** 2 / (epochs / size)).sum()
    assert chi2 < 75


@pytest.mark.parametrize("batch_size", [0, -1, 13])
def test_batch_size_must_fit(batch_size):
    with pytest.raises(
        ValueError, match=f"the batch size is {batch_size}, but the data has 12 examples; allowed is 1 to 12"
    ):
        order(0, 0, batch_size, 12)


def test_seed_must_not_be_negative():
    with pytest.raises(ValueError, match="the seed is -1"):
        order(-1, 0, 4, 12)
