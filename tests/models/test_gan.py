import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_gans import SHAPE, Linear, again, batch, convolutional, dense, largest_difference

from jaxgen import losses


def test_each_discriminator_step_has_a_minibatch_of_its_own():
    """Algorithm 1 with k = 2: exchanging examples within a minibatch changes nothing, between minibatches it does."""
    gan, data = dense(discriminator_steps=2), batch(8)
    state = gan.init(jax.random.key(0), data)
    step = jax.jit(gan.step)

    def after(order):
        return step(again(state), jax.tree.map(lambda x: x[jnp.array(order)], data))[0].discriminator.params

    as_is = after([0, 1, 2, 3, 4, 5, 6, 7])
    within = after([2, 1, 0, 3, 4, 5, 6, 7])  # minibatches are the even and the odd examples
    between = after([1, 0, 2, 3, 4, 5, 6, 7])
    assert largest_difference(as_is, within) < 1e-6
    assert largest_difference(as_is, between) > 1e-5


def test_k_discriminator_steps_equal_k_optimiser_steps_and_one_of_the_generator():
    gan, data = dense(discriminator_steps=3), batch(12)
    state, _ = gan.step(gan.init(jax.random.key(0), data), data)
    assert int(state.discriminator.optimiser[0].count) == 3
    assert int(state.generator.optimiser[0].count) == 1


def test_batch_that_k_does_not_divide_is_refused():
    gan = dense(discriminator_steps=3)
    with pytest.raises(ValueError, match="the 3 minibatches of a step must divide it"):
        gan.step(gan.init(jax.random.key(0), batch(8)), batch(8))


@pytest.mark.parametrize("loss", [losses.minimax, losses.non_saturating])
def test_players_follow_the_gradients_of_the_paper(loss):
    """One step of SGD on a linear discriminator against the gradient of equation 1, computed by hand."""
    gan = dataclasses.replace(
        dense(loss=loss),
        discriminator=Linear(),
        generator_optimiser=optax.sgd(0.0),
        discriminator_optimiser=optax.sgd(1.0),
    )
    data = batch(4)
    state = gan.init(jax.random.key(0), data)
    after, metrics = gan.step(again(state), data)
    x = np.asarray(data["image"], np.float64).reshape(4, -1) / 127.5 - 1
    w = np.asarray(state.discriminator.params["Dense_0"]["kernel"], np.float64)[:, 0]
    change = w - np.asarray(after.discriminator.params["Dense_0"]["kernel"])[:, 0]
    _, discriminator_key, _ = jax.random.split(jax.random.clone(state.key), 3)
    latent_key, _ = jax.random.split(jax.random.split(discriminator_key, 1)[0])
    latent = gan.prior(latent_key, 4)
    fake = np.asarray(gan.generate(state, latent), np.float64).reshape(4, -1)
    d_real, d_fake = (1 / (1 + np.exp(-a @ w)) for a in (x, fake))
    expected = (-(1 - d_real)[:, None] * x).mean(0) + (d_fake[:, None] * fake).mean(0)
    np.testing.assert_allclose(change, expected, atol=1e-5)
    assert float(metrics["discriminator_real"]) == pytest.approx(d_real.mean(), abs=1e-5)
    assert float(metrics["discriminator_fake"]) == pytest.approx(d_fake.mean(), abs=1e-5)
    assert float(metrics["discriminator_gradient_norm"]) == pytest.approx(np.linalg.norm(expected), rel=1e-4)


def test_batch_statistics_move_by_the_players_own_steps():
    """The generator's first layer has normalised one batch in its own step: running mean 0.9 · 0 + 0.1 · batch mean."""
    gan, data = convolutional(), batch(8)
    state = gan.init(jax.random.key(0), data)
    after, _ = gan.step(again(state), data)
    *_, generator_key = jax.random.split(state.key, 3)
    latent = gan.prior(jax.random.split(generator_key)[0], 8)
    dense = latent @ state.generator.params["Dense_0"]["kernel"]
    mean = dense.reshape(8, 4, 4, -1).mean((0, 1, 2))
    found = after.generator.statistics["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(found, 0.1 * mean, atol=1e-6)


def test_sampling_is_in_evaluation_mode():
    gan, data = convolutional(), batch(8)
    state, _ = gan.step(gan.init(jax.random.key(0), data), data)
    latent = jax.random.normal(jax.random.key(1), (6, 4))
    together = gan.generate(state, latent)
    alone = jnp.concatenate([gan.generate(state, latent[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(together, alone, atol=1e-5)  # batch statistics would make images depend on each other


def test_average_of_the_generator_follows_its_formula_and_is_what_samples():
    gan, data = convolutional(ema=0.9), batch(8)
    state = gan.init(jax.random.key(0), data)
    for step, decay in ((0, 0.1), (5, 0.4), (1000, 0.9)):  # at most (1 + step) / (10 + step)
        after, _ = gan.step(again(state).replace(step=jnp.int32(step)), data)
        expected = jax.tree.map(lambda a, b, d=decay: d * a + (1 - d) * b, state.average, after.generator.variables)
        assert largest_difference(after.average, expected) < 1e-6
    plain = dataclasses.replace(gan, ema=0.0)
    key = jax.random.key(1)
    averaged = gan.sample(after, jax.random.clone(key), 3)
    assert bool((averaged != plain.sample(after.replace(average=None), key, 3)).any())


def test_labels_reach_both_players():
    gan, data = dense(classes=3), batch(6)
    state = gan.init(jax.random.key(0), data)
    other = {**data, "label": (data["label"] + 1) % 3}
    one, two = gan.step(again(state), data)[0], gan.step(again(state), other)[0]
    assert largest_difference(one.generator.params, two.generator.params) > 0
    assert largest_difference(one.discriminator.params, two.discriminator.params) > 0
    key, label = jax.random.key(1), jnp.array([2, 2, 0], jnp.int32)
    assert bool((gan.sample(one, jax.random.clone(key), 3, label) != gan.sample(one, key, 3)).any())


def test_the_same_state_and_batch_give_the_same_bits_and_seeds_train_in_one_vmap():
    gan, data = dense(), batch(8)
    keys = jax.random.split(jax.random.key(0), 3)
    states = jax.vmap(lambda key: gan.init(key, data))(keys)
    with jax.debug_key_reuse(False):  # which sees reuse in every vmap of a scan over keys
        together, _ = jax.jit(jax.vmap(gan.step, in_axes=(0, None)))(again(states), data)
    step = jax.jit(gan.step)
    for i in range(3):
        state = jax.tree.map(lambda x, i=i: x[i], states)
        one, two = step(again(state), data)[0], step(again(state), data)[0]
        assert largest_difference(one.generator.params, two.generator.params) == 0
        member = jax.tree.map(lambda x, i=i: x[i], together.generator.params)
        assert largest_difference(one.generator.params, member) < 1e-5


def test_the_game_learns_a_point():
    """Data at one image: the generator finds it (mean absolute error under 0.15; over seeds 0-5 it was at most 0.1)."""
    target = jnp.where(jnp.arange(64).reshape(1, *SHAPE) % 3 == 0, 255, 40).astype(jnp.uint8)
    gan, data = dense(), {"image": jnp.tile(target, (16, 1, 1, 1))}
    state = gan.init(jax.random.key(0), data)
    state = jax.jit(lambda s: jax.lax.fori_loop(0, 3000, lambda _, s: gan.step(s, data)[0], s))(state)
    samples = gan.sample(state, jax.random.key(1), 16)
    assert float(jnp.abs(samples - (target / 127.5 - 1)).mean()) < 0.15


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="discriminator_steps=0: at least 1"):
        dense(discriminator_steps=0)


def test_wrong_image_shape_is_refused():
    with pytest.raises(ValueError, match=r"generator makes \(8, 8, 1\)"):
        dense().init(jax.random.key(0), {"image": jnp.zeros((2, 9, 9, 1), jnp.uint8)})
