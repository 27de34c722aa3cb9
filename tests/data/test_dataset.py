from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxgen.data import BatchSource, Dataset, Source, StreamedDataset, Unreadable, load, mirror, order, orders
from jaxgen.pixels import normalise
from jaxgen.training import fit


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


def test_arrays_need_one_length():
    with pytest.raises(ValueError, match=r"these have \{'image': 3, 'label': 2\}"):
        Dataset({"image": np.zeros((3, 4, 4, 1), np.uint8), "label": np.zeros(2, np.int32)})


def test_unpaired_domains_have_orders_of_their_own():
    """Each domain comes once an epoch of its own; the pairs differ from epoch to epoch."""
    a, b = (np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1) for n in (12, 8))
    data = Dataset({"b": b, "a": a}, unpaired=True)
    indices = data.orders(3, range(6), 4)
    assert indices.shape == (6, 4, 2)
    np.testing.assert_array_equal(indices[..., 0], orders(3, range(6), 4, 12))
    batches = [jax.jit(data.gather)(dict(data.arrays), jnp.array(one)) for one in indices]
    seen = {name: np.concatenate([x[name] for x in batches]).ravel() for name in "ab"}
    assert sorted(seen["a"][:12]) == sorted(seen["a"][12:]) == list(range(12))
    assert sorted(seen["b"][:8]) == sorted(seen["b"][8:16]) == list(range(8))
    pairs = [dict(zip(seen["a"][part], seen["b"][part], strict=True)) for part in (slice(0, 12), slice(12, 24))]
    assert sum(pairs[0][i] != pairs[1][i] for i in range(12)) > 6
    assert data.batch(np.array([9, 1]))["b"].ravel().tolist() == [1, 1]  # the smaller domain begins again
    with pytest.raises(ValueError, match="need one length"):
        Dataset({"b": b, "a": a})


def test_shuffled_batches_are_those_of_the_order(dataset):
    """One pass by default, then as many epochs or steps as asked for; all of the full size."""
    for settings, steps in (({}, 4), ({"epochs": 3}, 13), ({"steps": 7}, 7), ({"steps": 0}, 0)):
        batches = list(dataset.batches(5, shuffle=2, **settings))
        assert len(batches) == steps
        for step, batch in enumerate(batches):
            expected = order(2, step, 5, 23)
            np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], expected)
            np.testing.assert_array_equal(batch["label"], expected % 3)


def test_mistakes_in_batches_are_told_before_the_first(dataset):
    for settings, message in (
        ({"batch_size": 24, "shuffle": 0}, "the batch size is 24, but numbers has 23 examples"),
        ({"batch_size": 0}, "the batch size is 0"),
        ({"batch_size": 5, "epochs": 2}, "epochs=2 and steps=None need a seed: shuffle=0"),
        ({"batch_size": 5, "steps": 2}, "epochs=None and steps=2 need a seed: shuffle=0"),
        ({"batch_size": 5, "shuffle": 0, "epochs": 2, "steps": 2}, "epochs=2 and steps=2 are given; only one"),
    ):
        with pytest.raises(ValueError, match=message):
            dataset.batches(**settings)


@dataclass(frozen=True)
class Recorder:
    """A model that learns its batches by heart."""

    @struct.dataclass
    class State:
        step: jax.Array
        seen: dict[str, jax.Array]

    def init(self, key, batch):
        return self.State(jnp.int32(0), {name: jnp.zeros((9, *x.shape), x.dtype) for name, x in batch.items()})

    def step(self, state, batch):
        seen = {name: all_.at[state.step].set(batch[name]) for name, all_ in state.seen.items()}
        return self.State(state.step + 1, seen), {"loss": jnp.float32(0)}


@pytest.mark.parametrize("kind", ["memory", "stream", "unpaired"])
def test_shuffled_batches_are_those_of_fit(kind):
    """Augmentation included, so that a loop of one's own trains as `fit` does."""
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 256, (20, 4, 6, 1), np.uint8), np.arange(20, dtype=np.int32)
    if kind == "unpaired":
        data = Dataset({"a": image, "b": image[:13] // 2}, augment=mirror, unpaired=True)
    else:
        data = Dataset({"image": image, "label": label}, tuple(map(str, range(20))), augment=mirror)
    if kind == "stream":
        examples = [{"image": one, "label": i} for one, i in zip(image, label, strict=True)]
        data = StreamedDataset(examples, data.example, data.label_names, augment=mirror)
    state = fit(Recorder(), data, steps=9, batch_size=6, seed=4, log_every=4, progress=False)
    batches = list(data.batches(6, shuffle=4, steps=9))
    plain = list(data.stream(4, 0, 9, 6))
    for name, seen in state.seen.items():
        np.testing.assert_array_equal(seen, [batch[name] for batch in batches])
        if name != "label":
            assert (np.asarray(seen) != [batch[name] for batch in plain]).any()


def test_evaluation_is_not_augmented():
    data = load("digits", "test", flip=True)
    images = np.concatenate([batch["image"] for batch in data.batches(128)])
    np.testing.assert_array_equal(images, data.arrays["image"])


def test_plain_arrays():
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 256, (12, 4, 6), np.uint8), np.arange(12) % 3
    data = Dataset.from_arrays(image, label, label_names=("a", "b", "c"), augment=mirror, name="mine")
    assert data.example == {
        "image": jax.ShapeDtypeStruct((4, 6, 1), jnp.uint8),
        "label": jax.ShapeDtypeStruct((), jnp.int32),
    }
    assert (data.label_names, data.augment, data.name) == (("a", "b", "c"), mirror, "mine")
    np.testing.assert_array_equal(data.arrays["image"][..., 0], image)
    floats = Dataset.from_arrays(jnp.array(image / 255), values="unit")
    assert (floats.example["image"].dtype, floats.classes) == (jnp.float32, 0)
    np.testing.assert_allclose(normalise(floats.arrays["image"]), normalise(data.arrays["image"]), atol=1e-6)
    quantised = Dataset.from_arrays(image / 255, values="unit", quantise=True)
    np.testing.assert_array_equal(quantised.arrays["image"], data.arrays["image"])


@pytest.mark.parametrize(
    ("image", "label", "names", "message"),
    [
        (np.zeros((4, 3, 8, 8), np.uint8), None, (), r"^mine have shape \(4, 3, 8, 8\), which looks like .*NCHW"),
        (np.zeros((4, 8, 8)), None, (), "^mine are float64: say values='unit'"),
        (np.zeros((4, 8, 8), np.uint8), np.zeros(3, int), (), "^mine labels are 3, but the images are 4"),
        (np.zeros((4, 8, 8), np.uint8), None, ("a",), "1 label_names are given, but no labels"),
    ],
)
def test_plain_arrays_that_are_refused(image, label, names, message):
    with pytest.raises(ValueError, match=message) as error:
        Dataset.from_arrays(image, label, label_names=names, name="mine")
    assert "\n" not in str(error.value)


class Together(Numbers):
    """Also reads several at once."""

    calls = 0

    def __getitems__(self, indices):
        self.calls += 1
        return [self[index] for index in indices]


def test_sources_that_read_several_at_once():
    example = streamed().example
    source = Together(broken=(4,))
    assert isinstance(source, BatchSource) and isinstance(Numbers(), Source) and not isinstance(Numbers(), BatchSource)
    data = StreamedDataset(source, example, skip_unreadable=True, name="numbers")
    assert data.batch(np.array([3, 7]))["image"][:, 0, 0, 0].tolist() == [3, 7]
    assert source.calls == 1
    with pytest.warns(UserWarning, match="number 4 cannot be read"):
        assert data.batch(np.array([3, 4, 6]))["image"][:, 0, 0, 0].tolist() == [3, 5, 6]
    with pytest.warns(UserWarning, match="number 4 cannot be read"):
        assert len(data.in_memory()) == 22
