import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen import losses
from jaxgen.layers import enlarge, shrink
from jaxgen.models import GAN, ProgressiveGAN
from jaxgen.models.progressive_gan import Stage
from jaxgen.networks import ProgressiveDiscriminator, ProgressiveGenerator

adam = optax.adam(1e-2, 0.0, 0.99)
plain = GAN(
    ProgressiveGenerator((16, 16, 1), 2),
    ProgressiveDiscriminator(16, 2),
    adam,
    adam,
    losses.wasserstein_drift,
    latent=3,
    ema=0.9,
)
gan = ProgressiveGAN(plain, (Stage(2), Stage(4, fade=2), Stage(5, fade=4, minibatches=2)))
batch = {"image": jax.random.randint(jax.random.key(5), (4, 16, 16, 1), 0, 256).astype(jnp.uint8)}


@pytest.fixture(scope="module")
def states():
    """The state before each step, with its metrics, and how many programs were compiled."""
    compiled, state, states = [], gan.init(jax.random.key(0), batch), []
    for phase in gan.phases:

        def step(state, phase=phase):
            compiled.append(phase.stage)
            return phase.step(state, batch)

        step = jax.jit(step)
        for _ in range(phase.steps):
            after, metrics = step(state)
            states.append((state, metrics))
            state = after
    assert compiled == [0, 1, 2]  # one a stage
    return [*states, (state, None)]


def test_stages_and_fades_follow_the_steps(states):
    sides, alphas = zip(*((float(m["side"]), float(m["alpha"])) for _, m in states[:-1]), strict=True)
    assert sides == (4, 4, 8, 8, 8, 8, 16, 16, 16, 16, 16)
    assert alphas == (1, 1, 0, 0.5, 1, 1, 0, 0.25, 0.5, 0.75, 1)
    assert [phase.minibatches for phase in gan.phases] == [1, 1, 2]


def test_a_stage_moves_only_its_own_blocks_and_starts_the_optimisers_anew(states):
    def moved(player, before, after):
        a, b = (getattr(state, player).params for state in (before, after))
        return {name for name in a if not jax.tree.all(jax.tree.map(jnp.array_equal, a[name], b[name]))}

    first, second, third = (states[i][0] for i in (0, 2, 6))
    assert moved("generator", first, second) == {"dense", "bias", "conv_4", "to_image_4"}
    assert moved("discriminator", first, second) == {"from_image_4", "conv_4", "dense", "logit"}
    grown = {"enlarge_8", "conv_8", "to_image_8"}
    assert moved("generator", second, third) == {"dense", "bias", "conv_4", "to_image_4"} | grown
    counts = [int(state.generator.optimiser[0].count) for state, _ in states]
    assert counts == [0, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("at", [1, 2, 3, 6, 8, 11])
def test_samples_are_of_the_stage_and_the_fade_that_the_state_has_reached(states, at):
    """At a stage's beginning they are those of the stage before, enlarged; while it fades in, a mixture."""
    state = states[at][0]
    latent = gan.prior(jax.random.key(1), 2)
    stage = sum(at >= begin for begin in (2, 6))

    def alone(side, alpha=1.0):
        network = plain.generator.clone(side=side, alpha=alpha)
        return enlarge(network.apply(state.average, latent), 16 // side)

    alpha = {1: 1, 2: 0, 3: 0.5, 6: 0, 8: 0.5, 11: 1}[at]
    before = alone(2 * 2**stage) if stage else 0
    # The new path alone, from the mixture that the network makes: it is linear in alpha.
    expected = alpha * alone(4 * 2**stage) + (1 - alpha) * before
    np.testing.assert_allclose(gan.generate(state, latent), expected, atol=1e-5)


def test_samples_are_what_the_prior_generates(states):
    state, key = states[8][0], jax.random.key(1)
    for options in {}, {"truncation": 0.5}:
        latent = gan.prior(jax.random.clone(key), 2, **options)
        found = gan.sample(state, jax.random.clone(key), 2, **options)
        np.testing.assert_allclose(found, gan.generate(state, latent), atol=1e-6)


def test_discriminator_fades_between_the_halved_image_and_its_new_block(states):
    state, image = states[-1][0], jax.random.normal(jax.random.key(2), (2, 16, 16, 1))
    judge = plain.discriminator
    at_start = judge.clone(alpha=0.0).apply(state.discriminator.variables, image)
    np.testing.assert_allclose(at_start, judge.apply(state.discriminator.variables, shrink(image)), atol=1e-5)
    at_end = judge.apply(state.discriminator.variables, image)
    assert not np.allclose(at_start, at_end)
    np.testing.assert_allclose(gan.discriminate(state, image), at_end, atol=1e-5)
    early = gan.discriminate(states[0][0], image)
    np.testing.assert_allclose(early, judge.apply(states[0][0].discriminator.variables, shrink(image, 4)), atol=1e-5)


def test_images_are_as_smooth_as_what_fades_in(monkeypatch):
    seen = {}

    def look(self, state, batch):
        seen["image"] = batch["image"]
        return state, {}

    monkeypatch.setattr("jaxgen.models.progressive_gan.GAN.step", look)
    state = gan.init(jax.random.key(0), batch).replace(step=jnp.int32(3))
    gan.phases[1].step(state, batch)
    image = (np.asarray(batch["image"], np.float64) / 127.5 - 1).reshape(4, 8, 2, 8, 2, 1).mean((2, 4))
    coarse = image.reshape(4, 4, 2, 4, 2, 1).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(seen["image"], (image + coarse) / 2, atol=1e-6)


def test_schedules_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 stages: one for each of 4, 8, 16 pixels is needed"):
        dataclasses.replace(gan, stages=gan.stages[:2])
    for wrong in [Stage(2, fade=1)], [Stage(0)], [Stage(2, minibatches=0)]:
        with pytest.raises(ValueError, match="stage 0"):
            dataclasses.replace(gan, stages=(*wrong, *gan.stages[1:]))
    with pytest.raises(ValueError, match="stage 1"):
        dataclasses.replace(gan, stages=(Stage(2), Stage(2, fade=3), Stage(2)))
    with pytest.raises(ValueError, match="28×28: progressive growing needs a square of 8, 16, 32"):
        dataclasses.replace(gan, gan=dataclasses.replace(plain, generator=ProgressiveGenerator((28, 28, 1), 2)))
