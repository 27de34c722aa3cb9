import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.losses import (
    Penalty,
    consistency,
    dragan,
    gradient_penalty,
    one_sided_gradient_penalty,
    penalise,
    r1,
    r2,
)

FUNCTIONS = (gradient_penalty, one_sided_gradient_penalty, r1, r2, dragan, consistency)

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

    def penalty(function):
        return float(function(lambda x: scale * linear(x), jax.random.key(0), real, fake))

    slope = scale * norm
    assert penalty(gradient_penalty) == pytest.approx((slope - 1) ** 2, rel=1e-5)
    assert penalty(dragan) == pytest.approx((slope - 1) ** 2, rel=1e-5)
    assert penalty(one_sided_gradient_penalty) == pytest.approx(max(0, slope - 1) ** 2, rel=1e-5)
    assert penalty(r1) == pytest.approx(slope**2 / 2, rel=1e-5)
    assert penalty(r2) == pytest.approx(slope**2 / 2, rel=1e-5)


def test_where_the_slope_is_taken():
    key = jax.random.key(0)
    squares = [float(jnp.square(x).sum((1, 2, 3)).mean()) / 2 for x in (real, fake)]
    assert float(r1(quadratic, jax.random.clone(key), real, fake)) == pytest.approx(squares[0], rel=1e-5)
    assert float(r2(quadratic, jax.random.clone(key), real, fake)) == pytest.approx(squares[1], rel=1e-5)
    weight = jax.random.uniform(jax.random.clone(key), (5, 1, 1, 1))
    between = jnp.linalg.norm((weight * real + (1 - weight) * fake).reshape(5, -1), axis=1)
    found = gradient_penalty(quadratic, key, real, fake)
    assert float(found) == pytest.approx(float(jnp.square(between - 1).mean()), rel=1e-5)


def test_gradient_of_the_penalty_is_that_of_its_formula():
    """d/ds (s ||w|| - 1)² = 2 (s ||w|| - 1) ||w||, through the second derivative of the critic."""
    for function in (gradient_penalty, dragan):
        gradient = jax.grad(
            lambda s, function=function: function(lambda x: s * linear(x), jax.random.key(0), real, fake)
        )
        assert float(gradient(0.5)) == pytest.approx(2 * (0.5 * norm - 1) * norm, rel=1e-4)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_flat_critic_costs_what_the_formula_says_and_gives_no_nan(function):
    def penalty(s):
        return function(lambda x: s * linear(x), jax.random.key(0), real, fake)

    value, gradient = jax.value_and_grad(penalty)(0.0)
    assert float(value) == (1.0 if function in (gradient_penalty, dragan) else 0.0)
    assert bool(jnp.isfinite(gradient))


def test_penalties_take_points_too():
    points = jax.random.normal(jax.random.key(0), (6, 2))
    slope = jnp.array([3.0, 4.0])
    for function, expected in ((gradient_penalty, 16.0), (r1, 12.5)):
        found = function(lambda x: x @ slope, jax.random.key(0), points, points + 1)
        assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(consistency(lambda x: x @ slope, jax.random.key(0), points, points)) > 0


def test_consistency_is_blind_to_what_its_critic_does_not_see():
    image = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (4, 8, 8, 1))  # rows differ, columns do not
    key = jax.random.key(0)
    seen = consistency(lambda x: x[:, 4, 4, 0], jax.random.clone(key), image, image)
    blind = consistency(lambda x: jnp.zeros(len(x)), key, image, image)
    assert float(blind) == 0 and 0 < float(seen) <= 1  # moved by at most a pixel of eight


def test_consistency_compares_images_with_moved_and_mirrored_copies():
    """The critic remembers what it is shown: the images first, then one of 18 copies of each."""
    image, shown = jnp.arange(64.0).reshape(1, 8, 8, 1), []

    def critic(x):
        shown.append(np.asarray(x)[..., 0])
        return jnp.zeros(len(x))

    many = jnp.tile(image, (64, 1, 1, 1))
    consistency(critic, jax.random.key(0), many, many)
    plain = np.arange(64.0).reshape(8, 8)
    assert (shown[0] == plain).all()
    allowed = []
    for start in (plain, plain[:, ::-1]):
        padded = np.pad(start, 1, mode="edge")
        allowed += [padded[1 - dy : 9 - dy, 1 - dx : 9 - dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    kinds = {next(i for i, other in enumerate(allowed) if (one == other).all()) for one in shown[1]}
    assert len(kinds) > 12  # of 18


def test_penalties_are_weighed_and_added():
    """Of a linear critic R1 and R2 are both ||w||² / 2."""
    one, metrics = penalise((Penalty(r1, 3.0),), jnp.int32(0), linear, jax.random.key(0), real, fake)
    assert float(one) == pytest.approx(3 * norm**2 / 2, rel=1e-5)
    assert list(metrics) == ["penalty"]
    both = (Penalty(r1, 3.0), Penalty(gradient_penalty, jnp.float32(0.5)))
    total, metrics = penalise(both, jnp.int32(0), linear, jax.random.key(0), real, fake)
    assert float(total) == pytest.approx(3 * norm**2 / 2 + 0.5 * (norm - 1) ** 2, rel=1e-5)
    assert float(metrics["penalty_r1"]) == pytest.approx(norm**2 / 2, rel=1e-5)
    assert float(metrics["penalty_gradient_penalty"]) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    assert penalise((), jnp.int32(0), linear, jax.random.key(0), real, fake) == (0.0, {})


def test_the_weight_follows_its_schedule():
    scheduled = (Penalty(r1, optax.linear_schedule(0.0, 8.0, 4)),)
    for step, weight in ((0, 0.0), (1, 2.0), (9, 8.0)):
        total, metrics = penalise(scheduled, jnp.int32(step), linear, jax.random.key(0), real, fake)
        assert float(total) == pytest.approx(weight * norm**2 / 2, rel=1e-5)
        assert float(metrics["penalty"]) == pytest.approx(norm**2 / 2, rel=1e-5)


def test_a_lazy_penalty_is_computed_at_every_kth_step_and_weighed_k_times():
    lazy = (Penalty(r1, 2.0, every=3),)
    found = [penalise(lazy, jnp.int32(step), linear, jax.random.key(0), real, fake) for step in range(6)]
    expected = 3 * norm**2 / 2 * np.array([1, 0, 0, 1, 0, 0])
    np.testing.assert_allclose([float(total) for total, _ in found], 2 * expected, rtol=1e-5)
    np.testing.assert_allclose([float(metrics["penalty"]) for _, metrics in found], expected, rtol=1e-5)


def test_the_critic_is_not_called_where_a_lazy_penalty_is_not_due():
    """Under jit too: the branch of a step that is not due has no part of the penalty."""
    called = []

    def counting(critic, key, real, fake):
        jax.debug.callback(lambda: called.append(1))
        return critic(real).mean()

    step = jax.jit(lambda i: penalise((Penalty(counting, every=4),), i, linear, jax.random.key(0), real, fake)[0])
    for i in range(8):
        step(i).block_until_ready()
    jax.effects_barrier()
    assert len(called) == 2


def test_what_cannot_be_told_apart_or_is_never_due_is_refused():
    with pytest.raises(ValueError, match="penalties r1, r1: each needs a name of its own"):
        penalise((Penalty(r1), Penalty(r1, 2.0)), jnp.int32(0), linear, jax.random.key(0), real, fake)
    with pytest.raises(ValueError, match="every=0: at least 1 is needed"):
        Penalty(r1, every=0)
