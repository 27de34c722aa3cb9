import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.losses import Penalty, hinge, r1, r2
from jaxgen.models import SinGAN
from jaxgen.models.singan import resized, scale_sizes
from jaxgen.networks import SinGANDiscriminator, SinGANGenerator

adam, rest = optax.adam(2e-3, 0.5), optax.adam(0.0, 0.5)
singan = SinGAN(
    SinGANGenerator(4),
    SinGANDiscriminator(4),
    adam,
    adam,
    shape=(24, 32, 1),
    smallest=13,
    largest=20,
    factor=0.8,
    steps=30,
    discriminator_steps=1,
    generator_steps=2,
)
key = jax.random.key(1)


@pytest.fixture(scope="module")
def picture():
    """A bright disc on a ramp."""
    rows, columns = np.mgrid[:24, :32]
    image = 4.0 * columns + 120 * (np.hypot(rows - 12, columns - 12) < 6)
    return {"image": jnp.asarray(image[None, ..., None], jnp.uint8)}


@pytest.fixture(scope="module")
def trained(picture):
    """The state before training, after the first scale, at the end; and the metrics of each step."""
    state, metrics = singan.init(jax.random.key(0), picture), []
    states = [state]
    for phase in singan.phases:
        step = jax.jit(phase.step)
        for _ in range(phase.steps):
            state, one = step(state, picture)
            metrics.append(one)
        states.append(state)
    return states, metrics


def real(picture, scale=-1):
    return jnp.clip(resized(picture["image"].astype(jnp.float32) / 127.5 - 1, singan.sizes[scale]), -1, 1)


def test_scales_lead_from_the_smallest_to_the_largest():
    sizes = scale_sizes((427, 640))
    assert sizes[0][0] == 25 and max(sizes[-1]) == 250
    assert all(0.74 < a[0] / b[0] < 0.9 for a, b in pairwise(sizes))
    assert scale_sizes((100, 60), 25, 250)[-1] == (100, 60)  # never enlarged
    assert scale_sizes((25, 40)) == ((25, 40),)
    with pytest.raises(ValueError, match="image of 20×250: at least 25 pixels a side are needed"):
        scale_sizes((20, 250))
    assert singan.sizes == ((13, 17), (15, 20))


def test_only_the_scale_in_training_moves_and_begins_with_the_one_before(trained, picture):
    (start, first, end), _ = trained

    def same(a, b):
        return jax.tree.all(jax.tree.map(jnp.array_equal, a, b))

    assert same(start.generators[1], first.generators[1]) and not same(start.generators[0], first.generators[0])
    assert same(first.generators[0], end.generators[0]) and same(first.discriminators[0], end.discriminators[0])
    still = dataclasses.replace(singan.phases[1], generator_optimiser=rest, discriminator_optimiser=rest)
    begun, _ = jax.jit(still.step)(
        fresh(first), picture
    )  # at rates of 0, so that its weights are those of the beginning
    assert same(begun.generators[1].params, first.generators[0].params)
    assert same(begun.discriminators[1].params, first.discriminators[0].params)
    assert int(begun.generators[1].optimiser[0].count) == singan.generator_steps  # which has its own optimiser


def test_reconstruction_is_learned_and_sets_the_amplitude_of_the_noise(trained, picture):
    (_, first, end), metrics = trained
    errors = [float(m["reconstruction_mse"]) for m in metrics]
    assert max(errors[29], errors[-1]) < 0.25 * errors[0]
    below = singan.reconstruct(first)  # which the second scale, not yet trained, only enlarges
    rmse = float(jnp.sqrt(jnp.square(below - real(picture)).mean()))
    np.testing.assert_allclose(end.amplitudes, [1, 0.1 * rmse], rtol=1e-4)
    found = jnp.square(singan.reconstruct(end) - real(picture)).mean()
    assert float(found) < 2 * errors[-1] + 0.02  # the same, by the running statistics of batch norm


def test_samples_vary_and_have_any_size(trained):
    states, _ = trained
    samples = singan.sample(states[-1], key, 3)
    assert samples.shape == (3, 15, 20, 1) and float(samples.std(0).mean()) > 0.01
    assert singan.sample(states[-1], key, 1, size=(30, 17)).shape == (1, 30, 17, 1)
    with pytest.raises(ValueError, match="size 0×20: the coarsest scale would have no pixel"):
        singan.sample(states[-1], key, 1, size=(0, 20))


def test_scales_that_are_not_trained_only_enlarge(trained):
    (start, first, _), _ = trained
    assert (singan.sample(start, key, 2) == 0).all()
    noise = jax.random.normal(jax.random.fold_in(key, 0), (2, 13, 17, 1))
    alone = singan.generator.apply(first.generators[0].variables, noise, jnp.zeros((2, 13, 17, 1)))
    np.testing.assert_allclose(singan.sample(first, key, 2), resized(alone, (15, 20)), atol=1e-6)


def test_refined_images_keep_what_is_coarse(trained):
    state = trained[0][-1]
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 30, 30, 1)), jnp.float32)
    made = singan.refine(state, key, image, 1)
    assert made.shape == (1, 15, 15, 1)
    coarse = resized(resized(image, (13, 13)), (15, 15))
    expected = singan.generator.apply(
        state.generators[1].variables,
        state.amplitudes[1] * jax.random.normal(jax.random.fold_in(key, 1), (1, 15, 15, 1)),
        coarse,
    )
    np.testing.assert_allclose(made, expected, atol=1e-5)
    for scale in (0, 2):
        with pytest.raises(ValueError, match=f"scale {scale}: 1 to 1 are the scales that refine an image"):
            singan.refine(state, key, image, scale)


def test_super_resolution_has_the_factor(trained):
    state, image = trained[0][-1], jnp.zeros((1, 11, 13, 1))
    assert singan.super_resolve(state, key, image, 3.0).shape == (1, 33, 39, 1)
    with pytest.raises(ValueError, match=r"factor 1\.0, 2 scales: more than 1 of both is needed"):
        singan.super_resolve(state, key, image, 1.0)


def test_animation_walks_from_the_reconstruction(trained):
    state = trained[0][-1]
    frames = singan.animate(state, jax.random.key(1), 6, beta=0.95)
    assert frames.shape == (6, 15, 20, 1)
    away = jnp.abs(frames - singan.reconstruct(state)).mean((1, 2, 3))
    moves = jnp.abs(jnp.diff(frames, axis=0)).mean((1, 2, 3))
    other = jnp.abs(singan.sample(state, key, 6) - singan.reconstruct(state)).mean()
    assert 0 < away[0] < 0.5 * other and (moves < other).all() and (moves > 0).all()
    held = singan.animate(state, jax.random.key(1), 3, alpha=1.0, start=1)  # all noise drawn back at once
    np.testing.assert_allclose(held[1], singan.reconstruct(state)[0], atol=1e-5)
    with pytest.raises(ValueError, match="start 2: 0 to 1 are the scales"):
        singan.animate(state, jax.random.key(1), 3, start=2)


def fresh(state):
    """The state for one more use of its key."""
    return state.replace(key=jax.random.clone(state.key))


class Drops(nn.Module):
    """A network of one convolution that forgets a share of its input."""

    rate: float
    width: int = 4

    @nn.compact
    def __call__(self, *inputs, train=False):
        x = nn.Dropout(self.rate, deterministic=not train)(sum(inputs))
        return nn.Conv(1, (3, 3))(x)


def test_dropout_in_both_players_and_a_game_and_penalties_of_ones_own(picture):
    sgd = optax.sgd(1e-3)  # the first step of Adam would show only the signs of the gradient
    own = {"loss": hinge, "penalties": (Penalty(r1, 1.0), Penalty(r2, 1.0))}
    own |= {"generator_optimiser": sgd, "discriminator_optimiser": sgd}
    still, dropping = (
        dataclasses.replace(singan, generator=Drops(rate), discriminator=Drops(rate), **own) for rate in (0.0, 0.5)
    )
    state = dropping.init(jax.random.key(0), picture)
    step = jax.jit(dropping.step)
    (one, metrics), (again, _), (none, _) = (f(fresh(state), picture) for f in (step, step, jax.jit(still.step)))
    for players in ("generators", "discriminators"):
        a, b, c = (getattr(s, players)[0].params["Conv_0"]["kernel"] for s in (one, again, none))
        assert jnp.array_equal(a, b)
        assert float(jnp.abs(a - c).max()) > 1e-6
    assert float(metrics["penalty_r1"]) > 0 and float(metrics["penalty_r2"]) > 0


def test_what_does_not_fit_is_refused(picture):
    with pytest.raises(ValueError, match=r"images are \(24, 24, 1\), but the model is for \(24, 32, 1\)"):
        singan.init(key, {"image": picture["image"][:, :, :24]})
    with pytest.raises(ValueError, match="scale 2: 0 to 1 are the scales of this image"):
        dataclasses.replace(singan, scale=2)
