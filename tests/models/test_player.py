import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.losses import Penalty, hinge, r1
from jaxgen.models.augmentation import adaptive
from jaxgen.models.player import Player, check_game, descend, dropout_keys
from jaxgen.networks.calls import apply_network


class Line(nn.Module):
    """A slope and an offset, with dropout and a running mean of what it sees."""

    rate: float = 0.0

    @nn.compact
    def __call__(self, x, *, train=False):
        mean = self.variable("batch_stats", "mean", jnp.zeros, ())
        if train and not self.is_initializing():
            mean.value = 0.5 * mean.value + 0.5 * x.mean()
        return nn.Dense(1)(nn.Dropout(self.rate, deterministic=not train)(x))


x = jax.random.normal(jax.random.key(1), (12, 3))


def squares(network):
    def loss(params, statistics, key, x):
        output, statistics = apply_network(network, {"params": params, **statistics}, x, key=key)
        value = jnp.square(output - 1).mean()
        return value, (statistics, {"loss": value})

    return loss


def test_a_step_is_one_of_the_optimiser_along_the_gradient():
    network, optimiser = Line(), optax.sgd(0.1)
    player = Player.start(network, optimiser, jax.random.key(0), x)
    after, metrics, gradient = player.step(optimiser, squares(network), jax.random.key(2), x)
    kernel, bias = (np.asarray(player.params["Dense_0"][name], np.float64) for name in ("kernel", "bias"))
    error = np.asarray(x) @ kernel + bias - 1
    np.testing.assert_allclose(gradient["Dense_0"]["kernel"], 2 * np.asarray(x).T @ error / 12, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.params["Dense_0"]["bias"], bias - 0.1 * 2 * error.mean(), rtol=1e-5)
    assert float(metrics["loss"]) == pytest.approx((error**2).mean(), rel=1e-5)
    assert float(after.statistics["batch_stats"]["mean"]) == pytest.approx(float(x.mean()) / 2, rel=1e-5)


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_accumulation_equals_one_batch_for_a_mean_loss(parts):
    network, optimiser = Line(), optax.adam(0.1)
    player = Player.start(network, optimiser, jax.random.key(0), x)
    whole, metrics, gradient = player.step(optimiser, squares(network), jax.random.key(2), x)
    cut, of_parts, mean = player.step(optimiser, squares(network), jax.random.key(2), x, parts=parts)
    for a, b in ((gradient, mean), (whole.params, cut.params), (metrics, of_parts)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), a, b)
    means, running = x.reshape(12 // parts, parts, 3).mean((0, 2)), 0.0  # the statistics go from part to part
    for mean in means:
        running = 0.5 * running + 0.5 * float(mean)
    assert float(cut.statistics["batch_stats"]["mean"]) == pytest.approx(running, rel=1e-4)
    with pytest.raises(ValueError, match="batch of 12: the 5"):
        player.step(optimiser, squares(network), jax.random.key(2), x, parts=5)


def test_dropout_follows_the_key():
    network, optimiser = Line(0.5), optax.sgd(0.1)
    player = Player.start(network, optimiser, jax.random.key(0), x)
    loss = squares(network)
    one, again, other = (player.step(optimiser, loss, jax.random.key(seed), x)[2] for seed in (2, 2, 3))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, one, again))
    assert not jnp.array_equal(one["Dense_0"]["kernel"], other["Dense_0"]["kernel"])


def test_players_that_descend_together_move_along_their_parts_of_one_gradient():
    """(a b - 1)² with a = 2 and b = 3 has the gradient 2 (a b - 1) (b, a) = (30, 20)."""
    optimiser = optax.sgd(0.01)
    players = {name: Player({"x": jnp.float32(v)}, {}, optimiser.init({})) for name, v in (("a", 2), ("b", 3))}

    def loss(params, statistics, key):
        value = jnp.square(params["a"]["x"] * params["b"]["x"] - 1)
        return value, (statistics, {"loss": value})

    moved, metrics, gradient = descend(players, optimiser, loss, jax.random.key(0))
    assert float(metrics["loss"]) == 25
    assert (float(gradient["a"]["x"]), float(gradient["b"]["x"])) == (30, 20)
    assert float(moved["a"].params["x"]) == pytest.approx(2 - 0.3)
    assert float(moved["b"].params["x"]) == pytest.approx(3 - 0.2)


def test_keys_of_dropout_are_none_that_a_split_gives_and_may_come_after_it():
    key = jax.random.key(7)
    split = jax.random.key_data(jax.random.split(key, 100)).tolist()
    found = jax.random.key_data(dropout_keys(key, 3)).tolist()
    assert len({tuple(one) for one in [*split, *found]}) == 103


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("hinge", ()), "loss='hinge': an AdversarialLoss is needed"),
        ((hinge, ("r1",)), "a tuple of Penalty is needed"),
        ((hinge, Penalty(r1)), "a tuple of Penalty is needed"),
        ((hinge, (), "adaptive"), "augmentation='adaptive': an Augmentation or None is needed"),
    ],
)
def test_names_in_place_of_parts_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        check_game(*parts)
    check_game(hinge, (Penalty(r1),), adaptive)
