import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen import losses
from jaxgen.models import Pix2Pix
from jaxgen.networks import PatchGANDiscriminator, UNetGenerator
from jaxgen.networks.calls import apply_network
from jaxgen.pixels import normalise

SIZE = 16


def model(norm="batch", **options):
    generator = UNetGenerator(1, width=4, levels=3, norm=norm)
    judge = PatchGANDiscriminator(width=4, field=16, norm=norm)
    return Pix2Pix(generator, judge, optax.sgd(0.1), optax.sgd(0.1), **options)


def batch(n=4, seed=0):
    """Blocks of random colours; targets are the negatives of the first channel."""
    source = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 2)).astype(np.uint8)
    source = source.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)
    return {"source": jnp.array(source), "target": jnp.array(255 - source[..., :1])}


@pytest.mark.parametrize("loss", [losses.non_saturating, losses.least_squares])
def test_a_step_descends_the_losses_of_the_paper(loss):
    """D along ½ of its loss on the translations of the old G; then G along the loss by the new D plus λ L1."""
    pix2pix, data, game = model(loss=loss, l1_weight=3.0), batch(), loss
    state = jax.jit(pix2pix.init)(jax.random.key(0), data)
    old = state.replace(key=jax.random.clone(state.key))
    source, target = normalise(data["source"]), normalise(data["target"])
    _, noise = jax.random.split(old.key)

    def translated(params):
        variables = {**old.generator.variables, "params": params}
        return apply_network(pix2pix.generator, variables, source, key=jax.random.clone(noise))[0]

    def judged(params, image):
        variables = {**old.discriminator.variables, "params": params}
        pair, key = jnp.concatenate([source, image], -1), jax.random.key(0)  # there is no dropout in it
        return apply_network(pix2pix.discriminator, variables, pair, key=key)[0]

    def discriminator_loss(params):
        fake = translated(old.generator.params)
        return 0.5 * game.discriminator(judged(params, target), judged(params, fake))

    def generator_loss(params, discriminator):
        fake = translated(params)
        return (
            game.generator(judged(discriminator, target), judged(discriminator, fake))
            + 3 * jnp.abs(fake - target).mean()
        )

    def moved(params, gradient):
        return jax.tree.map(lambda x, g: x - 0.1 * g, params, gradient)

    new, metrics = jax.jit(pix2pix.step)(state, data)
    wanted = moved(old.discriminator.params, jax.jit(jax.grad(discriminator_loss))(old.discriminator.params))
    assert largest_difference(new.discriminator.params, wanted) < 1e-5
    gradient = jax.jit(jax.grad(generator_loss))(old.generator.params, wanted)
    assert largest_difference(new.generator.params, moved(old.generator.params, gradient)) < 1e-5
    assert float(metrics["l1_loss"]) == pytest.approx(float(jnp.abs(translated(old.generator.params) - target).mean()))


def largest_difference(a, b):
    return max(float(jnp.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_translation_is_as_apply_network():
    """Dropout is drawn by the key, and batch normalisation takes the batch's own statistics; instance normalisation
    makes an image's translation its own."""
    data = batch()
    for norm in ("batch", "instance"):
        pix2pix = model(norm)
        state = jax.jit(pix2pix.init)(jax.random.key(0), data)
        translate = jax.jit(pix2pix.translate)
        first, again, other = (translate(state, jax.random.key(seed), data["source"]) for seed in (1, 1, 2))
        assert first.shape == (4, SIZE, SIZE, 1)
        assert bool((jnp.abs(first) <= 1).all())
        assert jnp.array_equal(first, again)
        assert float(jnp.abs(first - other).max()) > 1e-6

        still = dataclasses.replace(pix2pix, generator=pix2pix.generator.copy(dropout=0.0))
        translate = jax.jit(still.translate)
        alone = translate(state, jax.random.key(1), data["source"][:1])
        among = translate(state, jax.random.key(1), data["source"])[:1]
        assert (float(jnp.abs(alone - among).max()) < 1e-5) == (norm == "instance")


def fresh(state):
    """The state for one more use of its key."""
    return state.replace(key=jax.random.clone(state.key))


class Drops(nn.Module):
    """A judge of patches that forgets a share of the pair."""

    rate: float

    @nn.compact
    def __call__(self, pair, *, train=False):
        return nn.Conv(1, (4, 4), 4)(nn.Dropout(self.rate, deterministic=not train)(pair))


def test_dropout_in_the_discriminator_and_penalties():
    """The slope of a linear judge is its kernel: R1 and R2 are known, and the same whatever is forgotten but zeros."""
    data = batch()
    own = {"loss": losses.hinge, "penalties": (losses.Penalty(losses.r1), losses.Penalty(losses.r2))}
    still, dropping = (dataclasses.replace(model(**own), discriminator=Drops(rate)) for rate in (0.0, 0.5))
    state = dropping.init(jax.random.key(0), data)
    step = jax.jit(dropping.step)
    (one, _), (again, _), (none, metrics) = (f(fresh(state), data) for f in (step, step, jax.jit(still.step)))
    assert largest_difference(one.discriminator.params, again.discriminator.params) == 0
    assert largest_difference(one.discriminator.params, none.discriminator.params) > 1e-5
    kernel = np.asarray(state.discriminator.params["Conv_0"]["kernel"], np.float64)  # of each of the 16 patches
    for name in ("penalty_r1", "penalty_r2"):
        assert float(metrics[name]) == pytest.approx(0.5 * 16 * (kernel**2).sum(), rel=1e-4)


def test_it_learns_a_negative():
    adam = optax.adam(2e-3, 0.5)
    pix2pix = dataclasses.replace(model("instance"), generator_optimiser=adam, discriminator_optimiser=adam)
    state = jax.jit(pix2pix.init)(jax.random.key(0), batch())
    step = jax.jit(pix2pix.step, donate_argnums=0)
    errors = []
    for i in range(150):
        state, metrics = step(state, batch(8, i))
        errors.append(float(metrics["l1_loss"]))
    assert np.mean(errors[-10:]) < 0.5 * np.mean(errors[:10])


def test_what_does_not_fit_is_refused():
    data = batch()
    with pytest.raises(ValueError, match=r"generator makes \(16, 16, 1\), but the data's targets are \(16, 16, 2\)"):
        model().init(jax.random.key(0), {**data, "target": data["source"]})
