"""The assembled flows: exact inverses, exact determinants, the papers' parameter counts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.networks import Dequantiser, Glow, PointFlow, RealNVP

FLOWS = {
    "glow": Glow((4, 4, 2), 2, 2, 4),
    "glow, additive, LU": Glow((4, 4, 1), 1, 2, 4, "additive", "lu", classes=3),
    "realnvp": RealNVP((4, 4, 1), 2, 2, 1, classes=3),
    "realnvp, splines": RealNVP((4, 4, 1), 1, 2, 1, "spline"),
    "splines": PointFlow((2,), "spline", 2, (8,), 4),
    "affine points": PointFlow((3,), "affine", 2, (8,), classes=3),
}


def case(name, dtype=jnp.float32):
    """A flow, parameters moved away from their start and then normalised by data, the data, labels."""
    flow = FLOWS[name]
    x = jax.random.normal(jax.random.key(1), (8, *flow.shape), dtype)
    label = jnp.arange(8, dtype=jnp.int32) % 3 if flow.classes else None
    params = jax.jit(partial(flow.init, mutable=["params"]))({"params": jax.random.key(0)}, x, label)["params"]
    # Further away splines bend so much that float32's rounding grows a hundredfold on the way back.
    random, scale = np.random.default_rng(0), 0.05 if name == "realnvp, splines" else 0.1
    params = jax.tree.map(lambda x: jnp.float32(x + scale * random.normal(size=x.shape)), params)
    return flow, jax.jit(lambda x: flow.apply({"params": params}, x, label, mutable=["params"])[1])(x), x, label


@pytest.mark.parametrize("name", FLOWS)
def test_inverse_and_log_determinant(name, enable_x64):
    """To and fro to 1e-10 in double and 1e-5 in single precision; in double against the Jacobian."""
    with enable_x64(True):
        flow, variables, x, label = case(name, float)

        @jax.jit
        def to_and_fro(x):
            z, log_det = flow.apply(variables, x, label)
            return z, log_det, *flow.apply(variables, z, label, True)

        def latent(x):
            return flow.apply(variables, x.reshape(1, *flow.shape), None if label is None else label[:1])[0][0]

        z, log_det, back, inverse_log_det = to_and_fro(x)
        assert z.shape == (8, int(np.prod(flow.shape))) and z.dtype == jnp.float64
        np.testing.assert_allclose(back, x, atol=1e-10)
        np.testing.assert_allclose(inverse_log_det, -log_det, atol=1e-10)
        jacobian = np.asarray(jax.jit(jax.jacfwd(latent))(x[0].reshape(-1)))
        np.testing.assert_allclose(log_det[0], np.linalg.slogdet(jacobian)[1], atol=1e-6)
    single, _, back, _ = to_and_fro(x.astype(jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, z, atol=1e-3)
    np.testing.assert_allclose(back, x, atol=1e-5)


@pytest.mark.parametrize(("coupling", "parameters"), [("affine", 44_603_604), ("additive", 38_395_668)])
def test_glow_of_cifar10_has_the_authors_parameters(coupling, parameters):
    glow = Glow((32, 32, 3), coupling=coupling)
    params = jax.eval_shape(glow.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    assert sum(x.size for x in jax.tree.leaves(params)) == parameters


def test_recomputed_activations_change_neither_parameters_nor_gradients():
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 1))

    def gradient(flow):
        params = flow.init({"params": jax.random.key(0)}, x, mutable=["params"])
        return jax.jit(jax.grad(lambda params: sum(map(jnp.sum, flow.apply(params, x)))))(params)

    flow = Glow((4, 4, 1), 1, 2, 4)
    plain, again = gradient(flow), gradient(flow.clone(remat=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, again)


def test_every_channel_is_normalised_by_the_first_batch():
    """What its first normalisation makes of it has mean 0 and variance 1."""
    _, variables, x, _ = case("glow")
    norm = variables["params"]["level_0"]["steps"]["step"]["actnorm"]
    assert norm["bias"].shape == (2, 8)
    y = x.reshape(8, 2, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 8)
    y = (y + norm["bias"][0]) * jnp.exp(3 * norm["log_scale"][0])
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-3)


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (Glow((12, 12, 1), 3), "image size 12×12: 3 halvings need sides that are multiples of 8"),
        (RealNVP((7, 7, 1), 2), "image size 7×7: 1 halvings need sides that are multiples of 2"),
        (PointFlow((1,)), "points of shape .1,.: a coupling needs at least 2 features"),
    ],
)
def test_what_does_not_fit(flow, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(flow.init, jax.random.key(0), jnp.zeros((1, *flow.shape)))


def test_the_noise_of_the_dequantiser_has_its_density():
    noise, image = jax.random.normal(jax.random.key(1), (2, 2, 2, 2, 1))
    network = Dequantiser(2, 4)
    variables = jax.jit(partial(network.init, mutable=["params"]))({"params": jax.random.key(0)}, noise, image)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: x + jnp.asarray(0.2 * random.normal(size=x.shape), x.dtype), variables)
    apply = jax.jit(network.apply)
    u, log_det = apply(variables, noise, image)
    assert 0 < float(u.min()) < float(u.max()) < 1

    def made(noise):
        return network.apply(variables, noise.reshape(1, 2, 2, 1), image[:1])[0].reshape(-1)

    jacobian = jax.jit(jax.jacfwd(made))(noise[0].reshape(-1))
    np.testing.assert_allclose(log_det[0], np.linalg.slogdet(np.asarray(jacobian))[1], atol=1e-5)
    assert float(jnp.abs(u - apply(variables, noise, image + 1)[0]).max()) > 1e-3
