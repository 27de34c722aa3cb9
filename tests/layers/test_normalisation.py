"""Normalisation of weights and activations against NumPy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads

from jaxgen.layers import (
    ConditionalBatchNorm,
    Conv,
    ConvTranspose,
    EqualisedLearningRate,
    SpectralNorm,
    around_one,
    instance_norm,
    minibatch_deviation,
    pixel_norm,
)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def converged(layer, x, steps=200):
    """The wrapped layer and its variables after training steps in a jitted scan."""
    module = SpectralNorm(layer)
    variables = module.init(jax.random.key(0), x, train=False)

    def step(spectral, _):
        _, updated = module.apply({**variables, "spectral": spectral}, x, train=True, mutable=["spectral"])
        return updated["spectral"], None

    return module, {
        **variables,
        "spectral": jax.jit(lambda s: jax.lax.scan(step, s, length=steps)[0])(variables["spectral"]),
    }


LAYERS = [
    (nn.Dense(5), (4, 7), lambda w: w),
    (Conv(5, (3, 3)), (2, 6, 6, 4), lambda w: w.reshape(-1, 5)),
    (Conv(6, (3, 3), dtype=jnp.bfloat16), (2, 6, 6, 2), lambda w: w.reshape(-1, 6)),
    (ConvTranspose(5, (4, 4), strides=2, padding=1), (2, 3, 3, 4), lambda w: np.moveaxis(w, 2, 3).reshape(-1, 5)),
]


@pytest.mark.parametrize(("layer", "shape", "matrix"), LAYERS)
def test_spectral_norm_divides_by_the_largest_singular_value(layer, shape, matrix):
    x = normal(1, *shape)
    module, variables = converged(layer, x)
    params = variables["params"]["layer"]
    sigma = np.linalg.svd(matrix(np.asarray(params["kernel"])), compute_uv=False)[0]
    np.testing.assert_allclose(variables["spectral"]["sigma"], sigma, rtol=1e-3)
    divided = layer.apply({"params": {**params, "kernel": params["kernel"] / variables["spectral"]["sigma"]}}, x)
    np.testing.assert_allclose(module.apply(variables, x, train=False), divided, rtol=1e-5, atol=1e-5)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_initialisation_leaves_the_kernel_as_the_layer_draws_it():
    class Network(nn.Module):
        spectral: bool

        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(3)
            return SpectralNorm(layer)(x, train=False) if self.spectral else layer(x)

    with_norm, without = (Network(spectral).init(jax.random.key(0), normal(1, 2, 4)) for spectral in (True, False))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, with_norm["params"], without["params"]))
    np.testing.assert_allclose(jnp.linalg.norm(with_norm["spectral"]["SpectralNorm_0"]["u"]), 1, rtol=1e-6)


def test_u_moves_only_in_training_and_where_it_is_mutable():
    module, x = SpectralNorm(nn.Dense(5)), normal(1, 4, 7)
    variables = module.init(jax.random.key(0), x, train=False)
    evaluated, same = module.apply(variables, x, train=False, mutable=["spectral"])
    trained, moved = module.apply(variables, x, train=True, mutable=["spectral"])
    assert jnp.array_equal(same["spectral"]["u"], variables["spectral"]["u"])
    assert not jnp.allclose(moved["spectral"]["u"], variables["spectral"]["u"])
    assert not jnp.allclose(trained, evaluated)
    assert jnp.array_equal(module.apply(variables, x, train=True), evaluated)
    twice, moved_twice = SpectralNorm(nn.Dense(5), 2).apply(variables, x, train=True, mutable=["spectral"])
    again, moved_again = module.apply({**variables, **moved}, x, train=True, mutable=["spectral"])
    np.testing.assert_allclose(twice, again, rtol=1e-6)
    np.testing.assert_allclose(moved_twice["spectral"]["u"], moved_again["spectral"]["u"], rtol=1e-6)


@pytest.mark.parametrize("train", [False, True])
def test_spectral_norm_gradient(train):
    """L = ⟨G, W/σ⟩ with σ = vᵀWu has the gradient G/σ - ⟨G, W⟩/σ² v uᵀ."""
    module, x, c = SpectralNorm(nn.Dense(5, use_bias=False)), normal(1, 4, 7), normal(2, 4, 5)
    variables = module.init(jax.random.key(0), x, train=False)

    def loss(params):
        y, updated = module.apply({**variables, "params": params}, x, train=train, mutable=["spectral"])
        return (c * y).sum(), updated["spectral"]["u"]

    gradient, u = jax.grad(loss, has_aux=True)(variables["params"])
    w = np.asarray(variables["params"]["layer"]["kernel"], np.float64)
    u, g = np.asarray(u, np.float64), np.asarray(x.T @ c, np.float64)
    v = w @ u / np.linalg.norm(w @ u)
    sigma = v @ w @ u
    expected = g / sigma - (g * w).sum() / sigma**2 * np.outer(v, u)
    np.testing.assert_allclose(gradient["layer"]["kernel"], expected, rtol=1e-4, atol=1e-5)


def test_a_gradient_penalty_differentiates_through_spectral_norm():
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = jnp.tanh(SpectralNorm(Conv(3, (3, 3), strides=2))(x, train=False))
            return SpectralNorm(nn.Dense(1))(x.reshape(x.shape[0], -1), train=False)[:, 0]

    x = normal(1, 2, 4, 4, 2)
    variables = Network().init(jax.random.key(0), x)

    def penalty(params):
        slope = jax.grad(lambda x: Network().apply({**variables, "params": params}, x).sum())(x)
        return ((jnp.sqrt((slope**2).sum((1, 2, 3))) - 1) ** 2).mean()

    # With u fixed σ = |Wu|, whose derivative is vᵀ dW u even though v moves: finite differences apply.
    check_grads(jax.jit(penalty), (variables["params"],), order=1, modes=["rev"], eps=1e-3)


def test_a_population_by_vmap_is_its_members():
    module, x = SpectralNorm(Conv(3, (3, 3))), normal(1, 2, 4, 4, 2)

    def member(key):
        variables = module.init(key, x, train=False)
        return module.apply(variables, x, train=True, mutable=["spectral"])

    population = jax.vmap(member)(jax.random.split(jax.random.key(3), 2))
    for i, key in enumerate(jax.random.split(jax.random.key(3), 2)):
        jax.tree.map(
            lambda all, one, i=i: np.testing.assert_allclose(all[i], one, rtol=1e-5, atol=1e-5), population, member(key)
        )


def test_spectral_norm_refuses_what_it_cannot_do():
    x = normal(1, 2, 3)
    with pytest.raises(ValueError, match="iterations=0"):
        SpectralNorm(nn.Dense(2), 0).init(jax.random.key(0), x, train=False)
    with pytest.raises(ValueError, match="LayerNorm has no kernel"):
        SpectralNorm(nn.LayerNorm()).init(jax.random.key(0), x, train=False)


@pytest.mark.parametrize("space", [(), (3, 2)])
def test_conditional_batch_norm_by_hand(space):
    x, label = 2 + 3 * normal(1, 6, *space, 4), jnp.array([0, 2, 1, 1, 2, 2])
    module = ConditionalBatchNorm(3)
    variables = module.init(jax.random.key(0), x, label, train=False)
    assert jax.tree.map(jnp.shape, variables["params"]) == {"scale": (3, 4), "bias": (3, 4)}
    np.testing.assert_allclose(module.apply(variables, x, label, train=False), x, rtol=1e-4)  # mean 0, variance 1

    scale, bias = normal(2, 3, 4), normal(3, 3, 4)
    variables = {**variables, "params": {"scale": scale, "bias": bias}}
    axes = tuple(range(x.ndim - 1))
    mean, variance = np.mean(x, axes), np.var(x, axes)

    def expected(mean, variance):
        normalised = (np.asarray(x) - mean) / np.sqrt(variance + 1e-5)
        return np.stack([s * n + b for n, s, b in zip(normalised, scale[label], bias[label], strict=True)])

    y, updated = module.apply(variables, x, label, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, expected(mean, variance), rtol=1e-4, atol=1e-5)
    y = module.apply({**variables, **updated}, x, label, train=False)
    np.testing.assert_allclose(y, expected(0.1 * mean, 0.9 + 0.1 * variance), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"), [(nn.Dense(5), (4, 7), 7), (Conv(5, (3, 3)), (2, 6, 6, 4), 9 * 4)]
)
def test_equalised_learning_rate_scales_the_kernel_when_it_is_used(layer, shape, fan_in):
    layer = layer.clone(kernel_init=nn.initializers.normal(1.0), bias_init=nn.initializers.normal(1.0))
    module, x = EqualisedLearningRate(layer, gain=3.0), normal(1, *shape)
    params = module.init(jax.random.key(0), x)["params"]["layer"]
    assert 0.7 < float(params["kernel"].std()) < 1.3
    scaled = layer.apply({"params": {**params, "kernel": params["kernel"] * 3 / fan_in**0.5}}, x)
    np.testing.assert_allclose(module.apply({"params": {"layer": params}}, x), scaled, rtol=1e-5, atol=1e-5)


def test_pixel_norm_gives_each_pixel_unit_variance():
    x = 5 * normal(0, 3, 4, 4, 7)
    y = pixel_norm(x)
    np.testing.assert_allclose(np.square(y).mean(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(y * np.sqrt(np.square(x).mean(-1, keepdims=True)), x, rtol=1e-4)
    assert (pixel_norm(jnp.zeros((1, 2))) == 0).all()


@pytest.mark.parametrize(("n", "group", "used"), [(8, 4, 4), (6, 4, 2), (5, 4, 1), (3, 3, 3)])
def test_minibatch_deviation_against_numpy(n, group, used):
    x = normal(0, n, 3, 2, 5)
    expected = [np.asarray(x)[i : i + used].std(0).mean() for i in range(0, n, used)]
    y = minibatch_deviation(x, group)
    assert y.shape == (n, 3, 2, 6) and (y[..., :5] == x).all()
    flat = np.asarray(y[..., 5]).reshape(n, -1)
    np.testing.assert_allclose(flat, np.repeat(expected, used)[:, None] * np.ones(6), rtol=1e-5, atol=2e-4)
    assert jnp.isfinite(jax.grad(lambda x: minibatch_deviation(x, group).sum())(jnp.ones_like(x))).all()


def test_instance_norm_of_a_flat_image_is_zero_with_a_finite_gradient():
    layer = instance_norm(use_bias=False, use_scale=False)

    def value(image):
        return layer.apply({}, image)

    for shape in [(1, 4, 4, 2), (1, 1, 1, 2)]:
        image = jnp.full(shape, 1e3)
        assert float(jnp.abs(value(image)).max()) == 0
        gradient = jax.grad(lambda x: (value(x) * jnp.arange(x.size).reshape(x.shape)).sum())(image)
        assert bool(jnp.isfinite(gradient).all())


def test_instance_norm_by_hand():
    image = np.asarray(jax.random.normal(jax.random.key(0), (2, 5, 3, 2))) * 3 + 7
    made = instance_norm(use_bias=False, use_scale=False).apply({}, image)
    wanted = (image - image.mean((1, 2), keepdims=True)) / np.sqrt(image.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_gains_start_around_one():
    gains = around_one(jax.random.key(0), (10_000,))
    np.testing.assert_allclose((gains.mean(), gains.std()), (1, 0.02), rtol=0.02)


def test_a_conditional_norm_needs_a_label():
    with pytest.raises(ValueError, match="label=None: a network of 3 classes needs a label"):
        ConditionalBatchNorm(3).init(jax.random.key(0), jnp.ones((2, 4)), None, train=False)
