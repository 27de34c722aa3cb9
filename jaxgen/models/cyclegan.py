"""CycleGAN: Zhu et al. 2017 (arXiv:1703.10593): translation between two domains, learned without pairs.

model = CycleGAN(CycleGANGenerator(), CycleGANGenerator(), PatchGANDiscriminator(norm="instance"),
                 PatchGANDiscriminator(norm="instance"), optax.adam(2e-4, 0.5), optax.adam(2e-4, 0.5))
state = model.init(jax.random.key(0), batch)                    # batch: "a" and "b", which are no pairs
state, metrics = jax.jit(model.step, donate_argnums=0)(state, batch)
zebras = model.translate(state, batch["a"], to="b")
horses = model.cycle(state, batch["a"], through="b")
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.losses.adversarial import AdversarialLoss
from jaxgen.models.player import Loss, descend, dropout_keys
from jaxgen.models.two_domains import OTHER, Domain, Players, TwoDomains
from jaxgen.networks.calls import apply_network
from jaxgen.pixels import normalise
from jaxgen.types import Batch, Metrics

__all__ = ["CycleGAN", "CycleGANState", "ImagePool", "full_squares"]

full_squares: AdversarialLoss = AdversarialLoss(
    discriminator=lambda real, fake: jnp.square(real - 1).mean() + jnp.square(fake).mean(),
    generator=lambda real, fake: jnp.square(fake - 1).mean(),
)
"""The least-squares game of CycleGAN (section 4), which has no factors ½ as that of Mao et al. 2017 has."""


class ImagePool(struct.PyTreeNode):
    """Translations of earlier steps, for the discriminator to see again (Shrivastava et al. 2017)."""

    images: Any  # (size, h, w, c)
    """The places of the images."""
    count: Any  # int32 scalar
    """The number of images that there are."""

    @classmethod
    def empty(cls, size: int, shape: tuple[int, ...]) -> "ImagePool":
        """Returns a pool for `size` images of `shape`."""
        return cls(jnp.zeros((size, *shape)), jnp.int32(0))

    def query(
        self, key: Key[Array, ""], images: Float[Array, "b h w c"]
    ) -> tuple["ImagePool", Float[Array, "b h w c"]]:
        """Returns the pool after `images`, and what the discriminator gets in place of them.

        It goes one image after the other. Until the pool is full it keeps the image and gives it back; then with
        probability ½ it gives the image back, or else exchanges it for one that it holds. A pool of size 0 gives back
        all.
        """
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


class CycleGANState(struct.PyTreeNode):
    """Everything that going on needs."""

    step: Any  # int32 scalar; Any because tree transformations put other leaves here
    """The number of steps that were taken."""
    key: Any
    """The key of the steps to come."""
    generators: Players
    """The generators, by the domain that they translate to."""
    discriminators: Players
    """The discriminators, by the domain that they judge."""
    pools: dict[Domain, ImagePool]
    """The pools, by the domain of their images."""


@dataclass(frozen=True)
class CycleGAN(TwoDomains):
    """Translation between two domains whose generators undo each other; a discriminator gives logits of any shape."""

    cycle_weight: float | Array = 10.0
    """λ of equation 3."""
    identity_weight: float = 0.5
    """The weight of the identity loss (section 5.2), in units of λ; 0: there is none."""
    pool_size: int = 50
    """The number of images of earlier steps that may be shown to a discriminator again."""
    loss: AdversarialLoss = field(default=full_squares, kw_only=True)
    """The game of each generator with its discriminator, whose loss is halved (section 4)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool_size < 0:
            raise ValueError(f"pool_size={self.pool_size}: 0 or more is allowed")

    def init(self, key: Key[Array, ""], batch: Batch) -> CycleGANState:
        """Returns the state before the first step; only the shapes of `batch` are read.

        ValueError where a generator's images are not of its domain's shape, and for an identity loss between domains
        whose numbers of channels differ.
        """
        key, players_key = jax.random.split(key)
        shapes = {name: batch[name].shape[1:] for name in OTHER}
        if self.identity_weight and shapes["a"][-1] != shapes["b"][-1]:
            raise ValueError(
                f"domains of {shapes['a'][-1]} and {shapes['b'][-1]} channels: identity_weight=0 is needed"
            )
        pools: dict[Domain, ImagePool] = {
            name: ImagePool.empty(self.pool_size, shape) for name, shape in shapes.items()
        }
        return CycleGANState(jnp.int32(0), key, *self.players(players_key, batch), pools)

    def step(self, state: CycleGANState, batch: Batch) -> tuple[CycleGANState, Metrics]:
        """Takes one step of both generators, then one of each discriminator, on images from its pool (section 4)."""
        key, *pool_keys = jax.random.split(state.key, 3)
        generators_key, *own_keys = dropout_keys(state.key, 3)
        real = {name: normalise(batch[name]) for name in OTHER}
        loss = self._generators_loss(state.discriminators)
        generators, (metrics, fake), _ = descend(state.generators, self.generator_optimiser, loss, generators_key, real)
        discriminators, pools = {}, {}
        for name, pool_key, own_key in zip(OTHER, pool_keys, own_keys, strict=True):
            pools[name], shown = state.pools[name].query(pool_key, fake[name])
            discriminators[name], own_metrics = self.discriminator_step(
                name, state.discriminators[name], state.step, own_key, real[name], shown
            )
            metrics |= own_metrics
        return CycleGANState(state.step + 1, key, generators, discriminators, pools), metrics

    def _generators_loss(self, discriminators: Players) -> Loss:
        """The joint loss of the generators (equation 3), which also gives their translations."""

        def loss(params, statistics, key, real):
            keys, fake, losses = iter(jax.random.split(key, 8)), {}, {}
            statistics = dict(statistics)

            def translate(to, images):
                variables = {"params": params[to], **statistics[to]}
                image, statistics[to] = apply_network(self.generator(to), variables, images, key=next(keys))
                return image

            def judge(of, images):
                variables = discriminators[of].variables
                return self.logits(apply_network(self.discriminator(of), variables, images, key=next(keys))[0])

            for to, other in OTHER.items():
                # Both in one batch, side by side, so that a sharded one stays where it is.
                images = [real[other], real[to]] if self.identity_weight else [real[other]]
                made = translate(to, jnp.stack(images, axis=1).reshape(-1, *real[other].shape[1:]))
                made = made.reshape(-1, len(images), *made.shape[1:])
                fake[to] = made[:, 0]
                losses[f"generator_{to}_loss"] = self.loss.generator(judge(to, real[to]), judge(to, fake[to]))
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
            return jnp.asarray(total), (statistics, (losses, fake))

        return loss
