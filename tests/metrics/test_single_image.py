import numpy as np
import pytest

from jaxgen.metrics import diversity, fid, patches, sifid

rng = np.random.default_rng(0)
image = rng.integers(0, 256, (1, 12, 9, 3)).astype(np.uint8)


def test_patches_are_all_of_them():
    found = patches(image, side=4)
    assert found.shape == (1, 9 * 6, 48)
    wanted = image[0, 2:6, 3:7].astype(np.float64) / 255
    assert np.allclose(np.sort(found[0, 2 * 6 + 3]), np.sort(wanted.ravel()))
    with pytest.raises(ValueError, match="images of 12×9: patches have 10 pixels a side"):
        patches(image, side=10)


def test_sifid_is_the_distance_of_features_within_images():
    def pixels(images):  # three values at each place
        return np.asarray(images, np.float64).reshape(len(images), -1, 3)

    assert sifid(image, np.concatenate([image, image]), pixels) == pytest.approx(0, abs=1e-6)
    shifted = (image // 2 + 10).astype(np.uint8)
    turned = np.ascontiguousarray(image.transpose(0, 2, 1, 3))  # another size, the same pixels
    assert sifid(image, turned, pixels) == pytest.approx(0, abs=1e-6)
    both = [fid(pixels(image)[0], pixels(x)[0]) for x in (image, shifted)]
    assert sifid(image, np.concatenate([image, shifted]), pixels) == pytest.approx(np.mean(both), rel=1e-6)
    noise = rng.integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    other = rng.integers(0, 256, (1, 40, 40, 3)).astype(np.uint8)
    flat = np.full((1, 40, 40, 3), 128, np.uint8)
    assert sifid(other, noise) < 0.2 * sifid(other, flat)


def test_diversity_is_relative_to_the_image():
    assert diversity(image, np.concatenate([image] * 3)) == 0
    samples = np.stack([np.full((4, 4, 1), value, np.uint8) for value in (0, 100)])
    ramp = np.arange(0, 160, 10, dtype=np.uint8).reshape(1, 4, 4, 1)
    assert diversity(ramp, samples) == pytest.approx(50 / ramp.std())
    as_floats = samples.astype(np.float32) / 127.5 - 1
    assert diversity(ramp, as_floats) == pytest.approx(50 / ramp.std(), rel=1e-2)
    with pytest.raises(ValueError, match="1 sample: at least two"):
        diversity(image, image)
