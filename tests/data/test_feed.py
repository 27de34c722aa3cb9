"""What the loop is fed with is what the data set gives batch by batch, in the order of the seed."""

import jax
import numpy as np
import pytest

from jaxgen.data import Dataset, StreamedDataset, load, order
from jaxgen.data import feed as feeds
from jaxgen.data.feed import feed
from jaxgen.sharding import data_mesh

digits = load("digits")
SEED, BATCH = 3, 8


class Rows:
    def __len__(self):
        return len(digits)

    def __getitem__(self, index):
        return {name: array[index] for name, array in digits.arrays.items()}


streamed = StreamedDataset(Rows(), digits.example, digits.label_names, name="a stream")


def batches(dataset, chunk):
    """The batches of a chunk."""
    count, (arrays, inputs) = chunk
    for i in range(count):
        batch = jax.tree.map(lambda x, i=i: x[i], inputs)
        yield dataset.gather(arrays, batch) if isinstance(dataset, Dataset) else batch


def assert_batches(found, seed, steps):
    for step, batch in zip(steps, found, strict=True):
        expected = digits.batch(order(seed, step, BATCH, len(digits)))
        assert batch.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(batch[name], array)


@pytest.mark.parametrize("dataset", [digits, streamed], ids=["memory", "stream"])
def test_chunks_hold_the_batches_of_their_steps_in_one_shape(dataset):
    chunks = feed(dataset, data_mesh(2), SEED, BATCH, range(5, 12), longest=4)
    made = [chunk for start, stop in ((5, 9), (9, 10), (10, 12)) for chunk in chunks(start, stop)]
    assert [count for count, _ in made] == [4, 1, 2]
    assert_batches((batch for chunk in made for batch in batches(dataset, chunk)), SEED, range(5, 12))
    shapes = [jax.tree.map(np.shape, chunk[1]) for chunk in made]
    assert shapes[0] == shapes[1] == shapes[2]
    inputs = jax.tree.leaves(made[0][1][1])
    assert all(x.shape[:2] == (4, BATCH) and x.sharding.spec[1] == "data" for x in inputs)


def test_a_stream_is_cut_into_chunks_that_fit(monkeypatch):
    size = sum(x.nbytes for x in digits.batch(np.arange(BATCH)).values())
    monkeypatch.setattr(feeds, "STREAM_BYTES", 3 * size)
    made = list(feed(streamed, data_mesh(1), SEED, BATCH, range(7), longest=100)(0, 7))
    assert [count for count, _ in made] == [3, 3, 1]
    assert_batches((batch for chunk in made for batch in batches(streamed, chunk)), SEED, range(7))


def test_the_members_of_a_population_have_the_batches_of_their_seeds():
    [(count, (arrays, inputs))] = feed(digits, data_mesh(2), [3, 4], BATCH, range(3), longest=3)(0, 3)
    assert inputs.shape[0] == 2 and inputs.sharding.spec[0] == "data"
    for own, seed in zip(inputs, (3, 4), strict=True):
        assert_batches(batches(digits, (count, (arrays, own))), seed, range(3))


def test_a_population_cannot_be_streamed():
    with pytest.raises(ValueError, match="a population of 2 seeds needs data in memory; a stream is streamed"):
        feed(streamed, data_mesh(1), [3, 4], BATCH, range(3), longest=3)
