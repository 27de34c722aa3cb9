import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import Dataset, StreamedDataset, load, mirror, order, orders
from jaxgen.data.dataset import Unreadable


class Numbers:
    """Example i is an image filled with i; those in `broken` cannot be read."""

    def __init__(self, size=23, broken=()):
        self.size, self.broken = size, broken

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index in self.broken:
            raise Unreadable(f"number {index} cannot be read")
        return {"image": np.full((4, 4, 1), index, np.uint8), "label": np.int32(index % 3)}


def streamed(size=23, broken=(), **options):
    example = {"image": jax.ShapeDtypeStruct((4, 4, 1), np.uint8), "label": jax.ShapeDtypeStruct((), np.int32)}
    return StreamedDataset(Numbers(size, broken), example, ("a", "b", "c"), name="numbers", **options)


@pytest.fixture(params=["memory", "stream"])
def dataset(request):
    return streamed() if request.param == "stream" else streamed().in_memory()


def test_what_a_data_set_says_of_itself(dataset):
    assert len(dataset) == 23
    assert (dataset.name, dataset.label_names, dataset.classes) == ("numbers", ("a", "b", "c"), 3)
    assert dataset.example["image"] == jax.ShapeDtypeStruct((4, 4, 1), jnp.uint8)
    assert dataset.spec(5)["image"] == jax.ShapeDtypeStruct((5, 4, 4, 1), jnp.uint8)
    assert dataset.spec(5)["label"] == jax.ShapeDtypeStruct((5,), jnp.int32)
    with pytest.raises(ValueError, match="the batch size is 24, but numbers has 23 examples"):
        dataset.spec(24)


def test_batch_and_batches(dataset):
    batch = dataset.batch(np.array([7, 2, 7]))
    assert batch["image"][:, 0, 0, 0].tolist() == [7, 2, 7]
    assert batch["label"].tolist() == [1, 2, 1]
    batches = list(dataset.batches(10))
    assert [len(batch["label"]) for batch in batches] == [10, 10, 3]
    assert np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches]).tolist() == list(range(23))


def test_gather_inside_a_compiled_loop():
    dataset = streamed().in_memory()
    indices = orders(0, range(6), 5, len(dataset))

    @jax.jit
    def loop(arrays, indices):
        return jax.lax.map(lambda i: dataset.gather(arrays, i), indices)

    batches = loop(jax.device_put(dict(dataset.arrays)), indices)
    assert batches["image"].dtype == jnp.uint8
    np.testing.assert_array_equal(batches["image"][:, :, 0, 0, 0], indices)
    np.testing.assert_array_equal(batches["label"], indices % 3)


def test_streamed_and_in_memory_give_the_same_batches():
    """From any step on: a run resumes in the middle of an epoch."""
    from_disk, in_memory = streamed(), streamed().in_memory()
    for start in (0, 3):
        batches = list(from_disk.stream(5, start, 12, 6))
        assert len(batches) == 12 - start
        for step, batch in enumerate(batches, start):
            expected = in_memory.batch(order(5, step, 6, 23))
            assert batch.keys() == expected.keys()
            for name in expected:
                assert batch[name].dtype == expected[name].dtype
                np.testing.assert_array_equal(batch[name], expected[name])


def test_a_stream_may_be_left_early():
    batches = streamed(prefetch=2, threads=2).stream(0, 0, 10**9, 6)
    assert next(batches)["image"].shape == (6, 4, 4, 1)


def test_unreadable_examples_are_skipped_with_a_warning():
    data = streamed(broken=(3, 4, 22), skip_unreadable=True)
    with pytest.warns(UserWarning, match="number 22 cannot be read"):
        in_memory = data.in_memory()
    assert len(in_memory) == 20
    assert in_memory.arrays["image"][:5, 0, 0, 0].tolist() == [0, 1, 2, 5, 6]
    assert in_memory.arrays["label"][:5].tolist() == [0, 1, 2, 2, 0]
    # In a stream the next readable example takes the place, around the end.
    assert data.batch(np.array([3, 22, 8]))["image"][:, 0, 0, 0].tolist() == [5, 0, 8]
    assert data.batch(np.array([3, 22, 8]))["label"].tolist() == [2, 0, 2]


def test_unreadable_examples_are_fatal_where_they_may_not_be_skipped():
    data = streamed(broken=(3,))
    with pytest.raises(ValueError, match="number 3 cannot be read"):
        data.in_memory()
    with pytest.raises(ValueError, match="number 3 cannot be read"):
        list(data.stream(0, 0, 4, 6))


def test_nothing_readable():
    data = streamed(size=3, broken=(0, 1, 2), skip_unreadable=True)
    for read in (data.in_memory, lambda: data.batch(np.array([1]))):
        with pytest.raises(ValueError, match="numbers: none of 3 examples can be read"):
            read()


def test_mirror_turns_each_example_or_not():
    image = jnp.arange(2 * 400 * 3 * 5, dtype=jnp.int32).reshape(400, 3, 5, 2)
    batch = {"source": image, "target": -image, "label": jnp.arange(400)}
    mirrored = jax.jit(mirror)(jax.random.key(0), batch)
    turned = (mirrored["source"] == image[:, :, ::-1]).all((1, 2, 3))
    kept = (mirrored["source"] == image).all((1, 2, 3))
    assert (turned ^ kept).all()
    assert 150 < turned.sum() < 250  # binomial(400, 1/2): five standard deviations
    np.testing.assert_array_equal(mirrored["target"], -mirrored["source"])  # a pair alike
    np.testing.assert_array_equal(mirrored["label"], batch["label"])
    assert load("digits", flip=True).augment is mirror
    assert load("digits").augment is None


def test_arrays_need_one_length():
    with pytest.raises(ValueError, match=r"these have \{'image': 3, 'label': 2\}"):
        Dataset({"image": np.zeros((3, 4, 4, 1), np.uint8), "label": np.zeros(2, np.int32)})
