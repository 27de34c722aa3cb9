import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.augmentation import (
    Augmentation,
    adaptive,
    cutout,
    diff_augment,
    mirror,
    rotation,
    saturation,
    translation,
)

image = jax.random.uniform(jax.random.key(0), (8, 12, 3), minval=0.1)


def many(augmentation, x=image):
    keys = jax.random.split(jax.random.key(1), 64)
    return np.asarray(jax.vmap(augmentation, in_axes=(0, None))(keys, x))


@pytest.mark.parametrize("augmentation", [diff_augment, adaptive])
def test_without_probability_nothing_changes_and_with_it_all_does(augmentation):
    batch = jnp.stack([image, 1 - image])
    still = augmentation(jax.random.key(0), batch, 0.0)
    np.testing.assert_array_equal(still, batch)
    moved = augmentation(jax.random.key(0), batch)
    assert bool((jnp.abs(moved - batch).max((1, 2, 3)) > 1e-3).all())


def test_a_probability_is_the_share_of_changed_images():
    batch = jnp.broadcast_to(image, (2000, *image.shape))
    found = Augmentation((saturation,))(jax.random.key(0), batch, 0.3)
    changed = (jnp.abs(found - batch).max((1, 2, 3)) > 1e-6).mean()
    assert float(changed) == pytest.approx(0.3, abs=0.04)  # four standard deviations


def test_translation_moves_by_up_to_an_eighth_and_fills_with_zeros():
    seen = set()
    for moved in many(translation):
        for down, across in np.ndindex(3, 5):
            down, across = down - 1, across - 2
            expected = np.zeros_like(image)
            rows, columns = slice(max(down, 0), 8 + min(down, 0)), slice(max(across, 0), 12 + min(across, 0))
            back = slice(max(-down, 0), 8 + min(-down, 0)), slice(max(-across, 0), 12 + min(-across, 0))
            expected[rows, columns] = image[back]
            if np.array_equal(moved, expected):
                seen.add((down, across))
                break
        else:
            pytest.fail("moved by more")
    assert len(seen) > 10  # of the 3 × 5 places


def test_cutout_is_half_the_sides():
    holes = (many(cutout) == 0).all(-1)
    assert holes.sum((1, 2)).max() == 4 * 6
    assert holes.any((0,)).all() and 0 < holes.sum((1, 2)).min() < 4 * 6  # anywhere, also over the edge


def test_saturation_keeps_the_grey_part():
    found = many(saturation)
    np.testing.assert_allclose(found.mean(-1), np.broadcast_to(image.mean(-1), found.shape[:-1]), atol=1e-6)
    grey = image[..., :1]
    np.testing.assert_array_equal(many(saturation, grey), np.broadcast_to(grey, (64, *grey.shape)))


def test_mirror_and_rotation_only_move_pixels():
    square = image[:, :8]
    assert {x.tobytes() for x in many(mirror)} == {np.asarray(x).tobytes() for x in (image, image[:, ::-1])}
    turned = [np.rot90(np.asarray(square), i).tobytes() for i in range(4)]
    assert {x.tobytes() for x in many(rotation, square)} == set(turned)
    assert {x.tobytes() for x in many(rotation)} == {np.asarray(x).tobytes() for x in (image, image[::-1, ::-1])}


@pytest.mark.parametrize("augmentation", [diff_augment, adaptive])
def test_gradient_flows_through(augmentation):
    gradient = jax.grad(lambda x: augmentation(jax.random.key(3), x[None]).sum())(image)
    assert bool(jnp.isfinite(gradient).all()) and float(jnp.abs(gradient).max()) > 0.1


def test_probability_rises_where_the_discriminator_overfits():
    p = jnp.float32(0.5)
    assert float(adaptive.adapted(p, jnp.float32(0.7), 5000)) == pytest.approx(0.51)
    assert float(adaptive.adapted(p, jnp.float32(0.5), 5000)) == pytest.approx(0.49)
    assert float(adaptive.adapted(jnp.float32(0), jnp.float32(0.5), 5000)) == 0
    assert float(adaptive.adapted(jnp.float32(1), jnp.float32(0.9), 5000)) == 1
    slow = Augmentation((mirror,), adaptive=True, target=0.8, images=10**6)
    assert float(slow.adapted(p, jnp.float32(0.7), 5000)) == pytest.approx(0.495)
