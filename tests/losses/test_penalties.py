import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.losses import PENALTIES, add_orthogonal_regularisation, clip_weights, orthogonality
from jaxgen.losses.penalties import _disturb

w = jax.random.normal(jax.random.key(1), (4, 3, 2))
real = jax.random.normal(jax.random.key(2), (5, 4, 3, 2))
fake = jax.random.normal(jax.random.key(3), (5, 4, 3, 2))
norm = float(jnp.linalg.norm(w))


def linear(x):
    """∇D = w for every example."""
    return (x * w).sum((1, 2, 3))


def quadratic(x):
    """∇D(x) = x."""
    return 0.5 * jnp.square(x).sum((1, 2, 3))


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_penalties_of_a_linear_critic_are_known(scale):
    """The slope is scale · ||w|| everywhere: over all axes of an example, and not over the batch."""

    def penalty(name):
        return float(PENALTIES[name](lambda x: scale * linear(x), jax.random.key(0), real, fake))

    slope = scale * norm
    assert penalty("gradient_penalty") == pytest.approx((slope - 1) ** 2, rel=1e-5)
    assert penalty("dragan") == pytest.approx((slope - 1) ** 2, rel=1e-5)
    assert penalty("one_sided_gradient_penalty") == pytest.approx(max(0, slope - 1) ** 2, rel=1e-5)
    assert penalty("r1") == pytest.approx(slope**2 / 2, rel=1e-5)
    assert penalty("r2") == pytest.approx(slope**2 / 2, rel=1e-5)


def test_where_the_slope_is_taken():
    key = jax.random.key(0)
    squares = [float(jnp.square(x).sum((1, 2, 3)).mean()) / 2 for x in (real, fake)]
    assert float(PENALTIES["r1"](quadratic, jax.random.clone(key), real, fake)) == pytest.approx(squares[0], rel=1e-5)
    assert float(PENALTIES["r2"](quadratic, jax.random.clone(key), real, fake)) == pytest.approx(squares[1], rel=1e-5)
    weight = jax.random.uniform(jax.random.clone(key), (5, 1, 1, 1))
    between = jnp.linalg.norm((weight * real + (1 - weight) * fake).reshape(5, -1), axis=1)
    found = PENALTIES["gradient_penalty"](quadratic, key, real, fake)
    assert float(found) == pytest.approx(float(jnp.square(between - 1).mean()), rel=1e-5)


def test_gradient_of_the_penalty_is_that_of_its_formula():
    """d/ds (s ||w|| - 1)² = 2 (s ||w|| - 1) ||w||, through the second derivative of the critic."""
    for name in ("gradient_penalty", "dragan"):
        gradient = jax.grad(
            lambda s, name=name: PENALTIES[name](lambda x: s * linear(x), jax.random.key(0), real, fake)
        )
        assert float(gradient(0.5)) == pytest.approx(2 * (0.5 * norm - 1) * norm, rel=1e-4)


@pytest.mark.parametrize("name", PENALTIES)
def test_flat_critic_costs_what_the_formula_says_and_gives_no_nan(name):
    def penalty(s):
        return PENALTIES[name](lambda x: s * linear(x), jax.random.key(0), real, fake)

    value, gradient = jax.value_and_grad(penalty)(0.0)
    assert float(value) == (1.0 if name in ("gradient_penalty", "dragan") else 0.0)
    assert bool(jnp.isfinite(gradient))


def test_penalties_take_points_too():
    points = jax.random.normal(jax.random.key(0), (6, 2))
    slope = jnp.array([3.0, 4.0])
    for name, expected in (("gradient_penalty", 16.0), ("r1", 12.5)):
        found = PENALTIES[name](lambda x: x @ slope, jax.random.key(0), points, points + 1)
        assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(PENALTIES["consistency"](lambda x: x @ slope, jax.random.key(0), points, points)) > 0


def test_consistency_is_blind_to_what_its_critic_does_not_see():
    image = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (4, 8, 8, 1))  # rows differ, columns do not
    key = jax.random.key(0)
    seen = PENALTIES["consistency"](lambda x: x[:, 4, 4, 0], jax.random.clone(key), image, image)
    blind = PENALTIES["consistency"](lambda x: jnp.zeros(len(x)), key, image, image)
    assert float(blind) == 0 and 0 < float(seen) <= 1  # moved by at most a pixel of eight


def test_disturbed_images_are_moved_and_mirrored_copies():
    image = jnp.arange(64.0).reshape(1, 8, 8, 1)
    found = np.asarray(_disturb(jax.random.key(0), jnp.tile(image, (64, 1, 1, 1))))[..., 0]
    plain = np.arange(64.0).reshape(8, 8)
    allowed = []
    for start in (plain, plain[:, ::-1]):
        padded = np.pad(start, 1, mode="edge")
        allowed += [padded[1 - dy : 9 - dy, 1 - dx : 9 - dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    kinds = {next(i for i, other in enumerate(allowed) if (one == other).all()) for one in found}
    assert len(kinds) > 12  # of 18


def test_clipped_weights_stay_within_the_limit():
    params = {"a": jnp.array([0.005, -0.02, 0.0]), "b": jnp.array(0.009)}
    gradient = {"a": jnp.array([1.0, -2.0, 0.001]), "b": jnp.array(-1.0)}
    optimiser = optax.chain(optax.sgd(1.0), clip_weights(0.01))
    state = optimiser.init(params)
    updates, _ = optimiser.update(gradient, state, params)
    after = optax.apply_updates(params, updates)
    np.testing.assert_allclose(after["a"], [-0.01, 0.01, -0.001], rtol=1e-6)
    np.testing.assert_allclose(after["b"], 0.01, rtol=1e-6)


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_clip_of_nothing_is_refused(limit):
    with pytest.raises(ValueError, match="positive limit"):
        clip_weights(limit)


def test_orthogonality_counts_what_is_off_the_diagonal():
    orthogonal = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (6, 4)))[0]
    kernel = jnp.array([[1.0, 2.0], [3.0, 4.0]])  # gram [[10, 14], [14, 20]]
    assert float(orthogonality({"x": {"kernel": 3 * orthogonal, "bias": jnp.ones(4)}})) < 1e-8
    assert float(orthogonality({"x": {"kernel": kernel}})) == pytest.approx(2 * 14**2)
    convolution = {"x": {"kernel": jnp.stack([kernel, kernel]).reshape(2, 1, 2, 2)}}
    assert float(orthogonality(convolution)) == pytest.approx(2 * 28**2)
    with pytest.raises(ValueError, match="'kernel'"):
        orthogonality({"bias": jnp.ones(2)})


def test_orthogonal_regularisation_makes_kernels_orthogonal():
    params = {"kernel": jax.random.normal(jax.random.key(0), (8, 4)) / 3}
    optimiser = optax.chain(add_orthogonal_regularisation(1.0), optax.sgd(0.05))
    state = optimiser.init(params)
    for _ in range(200):
        updates, state = optimiser.update({"kernel": jnp.zeros((8, 4))}, state, params)
        params = optax.apply_updates(params, updates)
    assert float(orthogonality(params)) < 1e-3
    assert float(jnp.linalg.norm(params["kernel"], axis=0).min()) > 0.1
