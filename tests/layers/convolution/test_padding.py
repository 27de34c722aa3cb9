"""The sizes of convolutions against counting, and the padding of NumPy's and XLA's making."""

import itertools

import pytest
from jax import lax

from jaxgen.layers.convolution.padding import as_pads, as_pair, exact, input_size, kernel_size, output_size

CASES = list(itertools.product([(1, 2), (3, 5)], [(1, 1), (2, 3)], [((0, 0), (1, 2)), ((2, 1), (-1, 0))]))


@pytest.mark.parametrize(("kernel", "strides", "pads"), CASES)
def test_output_size_is_the_number_of_windows_that_fit(kernel, strides, pads):
    counted = tuple(
        sum(start + k <= n + lo + hi for start in range(0, n + lo + hi, s))
        for n, k, s, (lo, hi) in zip((9, 11), kernel, strides, pads, strict=True)
    )
    assert output_size((9, 11), kernel, strides, pads) == counted


@pytest.mark.parametrize(("kernel", "strides", "pads"), CASES)
def test_exact_padding_leaves_nothing_over_and_changes_no_window(kernel, strides, pads):
    size = (9, 11)
    found, output = exact(pads, size, kernel, strides), output_size(size, kernel, strides, pads)
    assert [lo for lo, _ in found] == [lo for lo, _ in pads]
    assert output_size(size, kernel, strides, found) == output
    assert input_size(output, kernel, strides, found) == size
    assert kernel_size(size, output, strides, found) == kernel


@pytest.mark.parametrize("kernel", [(1, 2), (4, 3), (5, 5)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("size", [(8, 9), (5, 6)])
def test_same_and_valid_are_those_of_xla(kernel, strides, size):
    assert as_pads("VALID", size, kernel, strides) == ((0, 0), (0, 0))
    expected = lax.padtype_to_pads(size, kernel, strides, "SAME")
    if all(k >= s for k, s in zip(kernel, strides, strict=True)):  # else XLA pads by 0 and the rest is cropped here
        assert as_pads("SAME", size, kernel, strides) == tuple(expected)
    pads = as_pads("SAME", size, kernel, strides)
    assert output_size(size, kernel, strides, pads) == tuple(-(-n // s) for n, s in zip(size, strides, strict=True))


def test_other_forms_of_padding():
    assert as_pads(2, (8, 8), (3, 3), (1, 1)) == ((2, 2), (2, 2))
    assert as_pads([[1, 2], (0, -3)], (8, 8), (3, 3), (1, 1)) == ((1, 2), (0, -3))
    for padding in ("REFLECT", ((1, 1),), ((1, 1), (1, 2, 3))):
        with pytest.raises(ValueError, match="padding must be 'SAME', 'VALID', an integer or "):
            as_pads(padding, (8, 8), (3, 3), (1, 1))


def test_pairs():
    assert as_pair("strides", 2) == as_pair("strides", [2, 2]) == (2, 2)
    for value in (0, (1, 0), (1,), (1, 2, 3)):
        with pytest.raises(ValueError, match="strides must be a positive integer or a pair of them: got "):
            as_pair("strides", value)


def test_kernel_that_does_not_fit():
    with pytest.raises(ValueError, match=r"kernel size \(3, 3\) does not fit into size \(2, 5\)"):
        exact(((0, 0), (0, 0)), (2, 5), (3, 3), (1, 1))
