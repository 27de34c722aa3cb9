"""CycleGAN: Zhu et al. 2017 (arXiv:1703.10593): translation between two domains, learned without pairs.

model = CycleGAN(CycleGANGenerator(), CycleGANGenerator(), PatchGANDiscriminator(norm="instance"),
                 PatchGANDiscriminator(norm="instance"), optax.adam(2e-4, 0.5), optax.adam(2e-4, 0.5))
state = model.init(jax.random.key(0), batch)                    # batch: "a" and "b", which are no pairs
state, metrics = jax.jit(model.step, donate_argnums=0)(state, batch)
zebras = model.translate(state, batch["a"], to="b")
horses = model.cycle(state, batch["a"], through="b")
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.models.player import Player, in_training
from jaxgen.models.two_domains import OTHER, Domain, TwoDomains
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["CycleGAN", "CycleGANState", "ImagePool"]


@struct.dataclass
class ImagePool:
    """Translations of earlier steps, for the discriminator to see again (Shrivastava et al. 2017)."""

    images: Any  # (size, h, w, c)
    count: Any  # int32 scalar: how many of them there are

    @classmethod
    def empty(cls, size: int, shape: tuple[int, ...]) -> "ImagePool":
        """A pool for `size` images of `shape`."""
        return cls(jnp.zeros((size, *shape)), jnp.int32(0))

    def query(
        self, key: Key[Array, ""], images: Float[Array, "b h w c"]
    ) -> tuple["ImagePool", Float[Array, "b h w c"]]:
        """What the discriminator gets in place of `images`, and the pool after them, one image after the other: until
        the pool is full it keeps the image and gives it back; then with probability ½ it gives the image back, or else
        exchanges it for one that it holds. A pool of size 0 gives back all."""
        size = len(self.images)
        if not size:
            return self, images

        def one(pool, inputs):
            image, key = inputs
            exchange_key, place_key = jax.random.split(key)
            full = pool.count == size
            exchange = full & jax.random.bernoulli(exchange_key)
            place = jnp.where(full, jax.random.randint(place_key, (), 0, size), pool.count)
            held = pool.images[place]
            kept = pool.images.at[place].set(jnp.where(~full | exchange, image, held))
            return ImagePool(kept, jnp.minimum(pool.count + 1, size)), jnp.where(exchange, held, image)

        return jax.lax.scan(one, self, (images, jax.random.split(key, len(images))))


@struct.dataclass
class CycleGANState:
    """Everything that going on needs. `generators` are by the domain that they translate to, `discriminators` by the
    domain that they judge, `pools` by the domain of their images."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    key: Any
    generators: dict[str, Player]
    discriminators: dict[str, Player]
    pools: dict[str, ImagePool]


@dataclass(frozen=True)
class CycleGAN(TwoDomains):
    """As `TwoDomains`, in the least-squares game, the discriminators' judgements being logits of any shape; and:

    cycle_weight:    λ of equation 3
    identity_weight: of the identity loss (section 5.2), in units of λ; 0: none
    pool_size:       so many images of earlier steps may be shown to a discriminator again
    """

    cycle_weight: float | Array = 10.0
    identity_weight: float = 0.5
    pool_size: int = 50

    def __post_init__(self):
        if self.pool_size < 0:
            raise ValueError(f"pool_size={self.pool_size}: 0 or more is allowed")

    def init(self, key: Key[Array, ""], batch: Batch) -> CycleGANState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read.

        ValueError where a generator's images are not of its domain's shape, and for an identity loss between domains of
        different numbers of channels.
        """
        key, players_key = jax.random.split(key)
        shapes = {name: batch[name].shape[1:] for name in OTHER}
        if self.identity_weight and shapes["a"][-1] != shapes["b"][-1]:
            raise ValueError(
                f"domains of {shapes['a'][-1]} and {shapes['b'][-1]} channels: identity_weight=0 is needed"
            )
        pools = {name: ImagePool.empty(self.pool_size, shape) for name, shape in shapes.items()}
        return CycleGANState(jnp.int32(0), key, *self._players(players_key, batch), pools)

    def step(self, state: CycleGANState, batch: Batch) -> tuple[CycleGANState, Metrics]:
        """One step of both generators, then one of each discriminator, on images from its pool (section 4)."""
        key, *keys = jax.random.split(state.key, 3)
        real = {name: normalise(batch[name]) for name in OTHER}

        def generators_loss(params):
            statistics, fake, losses = {}, {}, {}

            def translate(to, images):
                before = statistics.get(to, state.generators[to].statistics)
                image, statistics[to] = in_training(self._generator(to), {"params": params[to], **before}, images)
                return image

            for to, other in OTHER.items():
                # Both in one batch, side by side, so that a sharded one stays where it is.
                images = [real[other], real[to]] if self.identity_weight else [real[other]]
                made = translate(to, jnp.stack(images, axis=1).reshape(-1, *real[other].shape[1:]))
                made = made.reshape(-1, len(images), *made.shape[1:])
                fake[to] = made[:, 0]
                logits, _ = in_training(self._discriminator(to), state.discriminators[to].variables, fake[to])
                losses[f"generator_{to}_loss"] = jnp.square(logits - 1).mean()
                if self.identity_weight:
                    losses[f"identity_{to}"] = jnp.abs(made[:, 1] - real[to]).mean()
            for to, other in OTHER.items():
                losses[f"cycle_{to}"] = jnp.abs(translate(to, fake[other]) - real[to]).mean()
            weights = {
                "generator": 1.0,
                "cycle": self.cycle_weight,
                "identity": self.cycle_weight * self.identity_weight,
            }
            total = sum(weights[name.partition("_")[0]] * value for name, value in losses.items())
            return total, (statistics, fake, losses)

        params = {name: player.params for name, player in state.generators.items()}
        (_, (statistics, fake, metrics)), gradient = jax.value_and_grad(generators_loss, has_aux=True)(params)
        generators = {
            name: player.updated(self.generator_optimiser, gradient[name], statistics[name])
            for name, player in state.generators.items()
        }
        discriminators, pools = {}, {}
        for name, pool_key in zip(OTHER, keys, strict=True):
            pools[name], shown = state.pools[name].query(pool_key, fake[name])
            discriminators[name], value = self._discriminator_step(name, state.discriminators[name], real[name], shown)
            metrics[f"discriminator_{name}_loss"] = value
        return CycleGANState(state.step + 1, key, generators, discriminators, pools), metrics

    def _discriminator_step(self, name: Domain, player: Player, real: Array, fake: Array) -> tuple[Player, Array]:
        network = self._discriminator(name)

        def loss(params):
            on_real, statistics = in_training(network, {**player.variables, "params": params}, real)
            on_fake, statistics = in_training(network, {"params": params, **statistics}, fake)
            return 0.5 * (jnp.square(on_real - 1).mean() + jnp.square(on_fake).mean()), statistics

        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(player.params)
        return player.updated(self.discriminator_optimiser, gradient, statistics), value
