import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data import augmentation_key, mirror, random_crop
from jaxgen.data.augment import in_turn


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


def test_float_images_are_cropped_in_their_own_range():
    image = jax.random.uniform(jax.random.key(1), (8, 16, 16, 1), minval=-1)
    out = jax.jit(random_crop)(jax.random.key(0), {"image": image})["image"]
    assert out.dtype == jnp.float32
    assert -1 <= out.min() < -0.9 and 0.9 < out.max() <= 1
    assert len(jnp.unique(out)) > 1500  # not rounded to a few levels


def test_in_turn_gives_each_a_key_of_its_own():
    def draw(name):
        return lambda key, batch: {**batch, name: jax.random.normal(key, (2,))}

    both = in_turn([draw("a"), draw("b")])(jax.random.key(0), {})
    assert list(both) == ["a", "b"] and (both["a"] != both["b"]).all()
    first, second = jax.random.split(jax.random.key(0))
    np.testing.assert_array_equal(both["a"], jax.random.normal(first, (2,)))
    np.testing.assert_array_equal(both["b"], jax.random.normal(second, (2,)))
    assert in_turn([mirror]) is mirror


def test_the_key_of_augmentation_is_not_that_of_the_parameters():
    first, second = jax.random.split(jax.random.key(5))
    assert jax.random.key_data(augmentation_key(5)).tolist() == jax.random.key_data(second).tolist()
    assert jax.random.key_data(second).tolist() != jax.random.key_data(first).tolist()
