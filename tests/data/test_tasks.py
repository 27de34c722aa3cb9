import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset, load, orders, random_crop
from jaxgen.data.tasks import edges, outline


def test_outline_is_the_border_of_the_filled_shape():
    image = np.zeros((1, 7, 7, 1), np.uint8)
    image[0, 1:6, 2:7] = 200  # touches the right side
    line, filled = outline(image)
    wanted = np.zeros((7, 7), int)
    wanted[1:6, 2:7] = 255
    np.testing.assert_array_equal(filled[0, ..., 0], wanted)
    wanted[2:5, 3:6] = 0
    np.testing.assert_array_equal(line[0, ..., 0], wanted)


def test_edges_are_where_the_image_is_steep():
    image = np.zeros((2, 8, 8, 3), np.uint8)
    image[0, :, 4:] = 255
    image[1] = np.random.default_rng(0).integers(100, 104, (8, 8, 3))  # noise of a clear sky
    found, same = edges(image)
    assert same is image
    assert (found[0, :, 3:5] == 255).all() and found[0].sum() == 2 * 8 * 255
    assert not found[1].any()


def test_pairs_of_any_source(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((4, 4, 3), (10 * i, 0, 200), np.uint8)).save(tmp_path / f"{i}.png")
    for task, channels in (("grey", 1), ("edges", 1)):
        data = load(f"{task}:folder:{tmp_path}")
        assert data.example["source"].shape == (4, 4, channels) and data.example["target"].shape == (4, 4, 3)
    data = load("outline:digits", image_size=16)
    assert set(data.arrays) == {"source", "target", "label"} and data.classes == 10
    with pytest.raises(ValueError, match="edges:ring: a source of images that fit in memory is needed"):
        load("edges:ring")


def test_tinted_digits_are_ink_on_paper():
    train, test = load("tint:digits", image_size=8), load("tint:digits", "test", image_size=8)
    assert train.unpaired and [len(train.arrays[name]) for name in "ab"] == [749, 748]
    assert not test.unpaired
    a, b = (test.arrays[name].astype(float) for name in "ab")
    bright = a[..., :1] / 255
    np.testing.assert_allclose(b, [255, 220, 90] + bright * ([-215, -190, 50] * np.ones(3)), atol=0.5)
    digits = load("digits", "test", image_size=8).arrays["image"]
    np.testing.assert_array_equal(test.arrays["a"], digits.repeat(3, axis=-1))


def test_photographs_and_their_patches():
    photo = load("photo:china")
    assert photo.arrays["image"].shape == (1, 427, 640, 3)
    train, test = (load("patches:photo:china", split, image_size=64).arrays["image"] for split in ("train", "test"))
    assert (train.shape, test.shape) == ((180, 64, 64, 3), (36, 64, 64, 3))
    np.testing.assert_array_equal(train[1], photo.arrays["image"][0, :64, 32:96])
    np.testing.assert_array_equal(test[0], photo.arrays["image"][0, :64, 512:576])
    with pytest.raises(ValueError, match="there is no photo 'rome'; allowed are china, flower"):
        load("photo:rome")
    with pytest.raises(ValueError, match="patches of 500 pixels, but the images have 427×512"):
        load("patches:photo:china", image_size=500)


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


def test_a_random_crop_is_the_same_for_both_images_of_a_pair():
    rng = np.random.default_rng(0)
    image = jnp.array(rng.integers(0, 256, (64, 32, 24, 3)).astype(np.uint8))
    batch = {"source": image[..., :1], "target": image, "label": jnp.arange(64)}
    out = jax.jit(random_crop)(jax.random.key(0), batch)
    assert {name: x.shape for name, x in out.items()} == {name: x.shape for name, x in batch.items()}
    np.testing.assert_array_equal(out["source"], out["target"][..., :1])
    np.testing.assert_array_equal(out["label"], batch["label"])
    # 32×24 enlarged is 36×27: five times four places.
    enlarged = jax.image.resize(image.astype(jnp.float32), (64, 36, 27, 3), "bicubic")
    enlarged = np.clip(np.round(enlarged), 0, 255)
    places = set()
    for made, large in zip(out["target"], enlarged, strict=True):
        fits = [
            (i, j)
            for i in range(5)
            for j in range(4)
            if np.abs(large[i : i + 32, j : j + 24] - np.asarray(made, float)).max() <= 1
        ]
        assert len(fits) == 1
        places |= set(fits)
    assert len(places) > 12


def test_jitter_and_flip_of_a_source():
    data = load("outline:digits", image_size=16, jitter=True, flip=True)
    batch = data.batch(np.arange(16))
    out = data.augment(jax.random.key(1), {name: jnp.array(x) for name, x in batch.items()})
    assert (np.asarray(out["target"]) != batch["target"]).any()
    assert load("outline:digits", image_size=16, jitter=True).augment is random_crop
    with pytest.raises(ValueError, match="has points, not images"):
        load("ring", jitter=True)
