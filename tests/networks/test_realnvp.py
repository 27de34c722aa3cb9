"""RealNVP: exact inverses and determinants."""

import jax.numpy as jnp
import pytest

from jaxgen.networks import RealNVP


@pytest.mark.parametrize(
    ("flow", "scale"),
    [
        (RealNVP((4, 4, 1), 2, 2, 1, classes=3), 0.1),
        # Further from their start, many couplings and bent splines let float32's rounding grow on the way back.
        (RealNVP((8, 8, 1), 3, 2, 1), 0.02),
        (RealNVP((4, 4, 1), 1, 2, 1, "spline"), 0.05),
    ],
    ids=["affine", "three levels", "splines"],
)
def test_inverse_and_log_determinant(flow, scale, check_flow):
    check_flow(flow, scale)


def test_sizes_that_do_not_fit(check_refused):
    message = "1 halvings need sides that are multiples of 2"
    check_refused(RealNVP((7, 7, 1), 2), (7, 7), message, jnp.zeros((1, 7, 7, 1)))
