"""The arithmetic of image sizes."""

import jax.numpy as jnp
import pytest

from jaxgen.layers.bijectors import squeeze
from jaxgen.networks.sizes import exact_halvings, growth, halve, pyramid, rounded_pyramid, squeezed


def test_halvings_are_exact():
    assert halve(24, 40, 3) == (3, 5) and halve(7, 9, 0) == (7, 9)
    with pytest.raises(ValueError, match="image size 24×36: 3 halvings need sides that are multiples of 8"):
        halve(24, 36, 3)
    assert halve(8, 12, 2, least=8) == (2, 3)
    with pytest.raises(ValueError, match="image size 4×8: 2 halvings need sides that are multiples of 4, at least 8"):
        halve(4, 8, 2, least=8)


@pytest.mark.parametrize("size", [(32, 96), (28, 28), (7, 8), (256, 64), (1, 1)])
def test_exact_halvings_are_the_most_that_halve_accepts(size):
    most = exact_halvings(*size)
    halve(*size, times=most)
    with pytest.raises(ValueError, match="halvings need"):
        halve(*size, times=most + 1)


def test_pyramids():
    assert pyramid(28, 28) == [(28, 28), (14, 14), (7, 7)]
    assert pyramid(64, 16) == [(64, 16), (32, 8), (16, 4)]
    assert rounded_pyramid(28, 28) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert rounded_pyramid(9, 5) == [(9, 5), (5, 3)]


@pytest.mark.parametrize("size", [(7, 7), (6, 6), (28, 27), (4, 8)])
def test_sizes_that_cannot_be_halved_are_refused_by_name(size):
    with pytest.raises(ValueError, match=f"image size {size[0]}×{size[1]}: a convolutional network needs even sides"):
        pyramid(*size)


def test_sizes_that_need_no_halving_are_refused_by_name():
    with pytest.raises(ValueError, match="image size 4×9: this network needs sides of at least 5 pixels"):
        rounded_pyramid(4, 9)


def test_growth():
    assert growth(8, 8) == (4, 8) and growth(64, 64) == (4, 8, 16, 32, 64)


@pytest.mark.parametrize("size", [(4, 4), (12, 12), (16, 32), (28, 28)])
def test_sizes_that_cannot_be_grown_are_refused(size):
    with pytest.raises(ValueError, match=f"image size {size[0]}×{size[1]}: progressive growing needs a square of 8"):
        growth(*size)


def test_squeezed_is_the_shape_after_squeezing_and_splitting():
    x = squeeze(jnp.zeros((1, 16, 8, 3)))
    assert squeezed((16, 8, 3), 1, splits=0) == x.shape[1:]
    x = squeeze(x[..., : x.shape[-1] // 2])
    assert squeezed((16, 8, 3), 2, splits=1) == x.shape[1:]
