"""FactorVAE: Kim & Mnih 2018 (arXiv:1802.05983): a VAE whose code a discriminator keeps factorial.

vae = FactorVAE(BetaVAEEncoder(latent=10), BetaVAEDecoder((64, 64, 1)), optax.adam(1e-4), gamma=35.0)
state = vae.init(jax.random.key(0), batch)
state, metrics = jax.jit(vae.step, donate_argnums=0)(state, batch)

The bound, sampling and all else are `VAE`'s; this file holds the second player.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Float, Key

from jaxgen.losses.adversarial import cross_entropy_discriminator
from jaxgen.losses.regularisers import permute_units
from jaxgen.models.player import Player
from jaxgen.models.vae import VAE, VAEState
from jaxgen.networks import FactorVAEDiscriminator
from jaxgen.sharding import minibatches
from jaxgen.types import Batch, Metrics

__all__ = ["FactorVAE", "FactorVAEState"]


@struct.dataclass
class FactorVAEState(VAEState):
    """As `VAEState`, and the discriminator."""

    discriminator: Player


@dataclass(frozen=True)
class FactorVAE(VAE):
    """As `VAE`, and:

    discriminator:            code z (b, latent) -> log D(z) / (1 - D(z)), (b,), with D(z) the probability that z is
                              from q(z) and not from the product of its marginals
    discriminator_optimiser:  the paper's by default
    gamma:                    γ, the weight of the total correlation in the loss
    """

    discriminator: nn.Module = FactorVAEDiscriminator()  # noqa: RUF009 (frozen)
    discriminator_optimiser: optax.GradientTransformation = optax.adam(1e-4, 0.5, 0.9)  # noqa: RUF009
    gamma: float | int | Array = 35.0

    def __post_init__(self):
        super().__post_init__()
        if self.objective_samples > 1:
            raise ValueError(f"objective_samples={self.objective_samples}: FactorVAE adds to the ELBO; choose 1")

    @property
    def minibatches(self) -> int:
        """Minibatches in the batch of one step: one for the bound, another for the permuted codes."""
        return 2

    def init(self, key: Key[Array, ""], batch: Batch) -> FactorVAEState:
        """The state before the first step; of `batch`, arrays or their shapes, only shapes are read."""
        key, discriminator_key = jax.random.split(key)
        variables = self.discriminator.init(discriminator_key, jnp.zeros((1, self.latent)))
        if set(variables) != {"params"}:
            raise ValueError(f"discriminator: collections {sorted(variables)}; FactorVAE's networks have params only")
        params = variables["params"]
        player = Player(params, {}, self.discriminator_optimiser.init(params))
        return FactorVAEState(**vars(super().init(key, batch)), discriminator=player)

    def step(self, state: FactorVAEState, batch: Batch) -> tuple[FactorVAEState, Metrics]:
        """Algorithm 2: encoder and decoder descend the VAE's loss + γ E[log D(z) / (1 - D(z))] on one half of the
        batch; then the discriminator learns to tell those codes z from the permuted codes of the other half."""
        key, first_key, second_key, permutation_key = jax.random.split(state.key, 4)
        halves = minibatches(dict(batch), 2)
        first, second = ({name: x[i] for name, x in halves.items()} for i in range(2))
        state, metrics, z = self._descend(state, first_key, first)
        _, _, mean, scale, second_key = self._encoded(state, second_key, second)
        permuted = permute_units(permutation_key, mean + scale * jax.random.normal(second_key, mean.shape))

        def loss(params):
            together, apart = self._log_ratio(params, z), self._log_ratio(params, permuted)
            accuracy = 0.5 * ((together > 0).mean() + (apart < 0).mean())
            return 0.5 * cross_entropy_discriminator(together, apart), accuracy

        player = state.discriminator
        (value, accuracy), gradient = jax.value_and_grad(loss, has_aux=True)(player.params)
        player = player.updated(self.discriminator_optimiser, gradient, {})
        metrics |= {"discriminator_loss": value, "discriminator_accuracy": accuracy}
        return state.replace(step=state.step + 1, key=key, discriminator=player), metrics

    def _penalty(self, state: FactorVAEState, mean: Array, scale: Array, z: Array) -> tuple[Array, Metrics]:
        """γ times the total correlation, estimated by the discriminator (eq. 3)."""
        penalty, metrics = super()._penalty(state, mean, scale, z)
        total_correlation = self._log_ratio(state.discriminator.params, z).mean()
        return penalty + self.gamma * total_correlation, metrics | {"total_correlation": total_correlation}

    def _log_ratio(self, params: dict, z: Float[Array, "b z"]) -> Float[Array, "b"]:
        return self.discriminator.apply({"params": params}, z)
