"""Glow: exact inverses and determinants, the authors' parameter counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import Glow


@pytest.mark.parametrize(
    "flow",
    [
        Glow((4, 4, 2), 2, 2, 4),
        Glow((4, 4, 1), 1, 2, 4, "additive", "lu", classes=3),
        Glow((4, 2, 2), 1, 2, 4, mixing="reverse"),
    ],
    ids=["affine", "additive, LU", "reversal"],
)
def test_inverse_and_log_determinant(flow, check_flow):
    check_flow(flow)


@pytest.mark.parametrize(("coupling", "parameters"), [("affine", 44_603_604), ("additive", 38_395_668)])
def test_glow_of_cifar10_has_the_authors_parameters(coupling, parameters, count):
    assert count(Glow((32, 32, 3), coupling=coupling), jnp.zeros((1, 32, 32, 3))) == parameters


def test_recomputed_activations_change_neither_parameters_nor_gradients():
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 1))

    def gradient(flow):
        params = flow.init({"params": jax.random.key(0)}, x, mutable=["params"])
        return jax.jit(jax.grad(lambda params: sum(map(jnp.sum, flow.apply(params, x)))))(params)

    flow = Glow((4, 4, 1), 1, 2, 4)
    plain, again = gradient(flow), gradient(flow.clone(remat=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, again)


def test_every_channel_is_normalised_by_the_first_batch(normalised):
    """After the first normalisation, that batch has mean 0 and variance 1."""
    variables, x, _ = normalised(Glow((4, 4, 2), 2, 2, 4))
    norm = variables["params"]["level_0"]["steps"]["step"]["actnorm"]
    assert norm["bias"].shape == (2, 8)
    y = x.reshape(8, 2, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 8)
    y = (y + norm["bias"][0]) * jnp.exp(3 * norm["log_scale"][0])
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-3)


def test_sizes_that_do_not_fit(check_refused):
    message = "3 halvings need sides that are multiples of 8"
    check_refused(Glow((12, 12, 1), 3), (12, 12), message, jnp.zeros((1, 12, 12, 1)))
