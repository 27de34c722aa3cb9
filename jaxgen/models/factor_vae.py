"""FactorVAE: Kim & Mnih 2018 (arXiv:1802.05983): a VAE whose code a discriminator keeps factorial.

    vae = FactorVAE(BetaVAEEncoder(latent=10), BetaVAEDecoder((64, 64, 1)), optax.adam(1e-4), gamma=35.0)
    state = vae.init(jax.random.key(0), batch)
    state, metrics = jax.jit(vae.step, donate_argnums=0)(state, batch)

The bound, sampling and all else are `VAE`'s; this file holds the second player.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Key

from jaxgen.losses.adversarial import cross_entropy_discriminator
from jaxgen.losses.regularisers import permute_units
from jaxgen.models.player import Player
from jaxgen.models.vae import VAE, VAEState
from jaxgen.networks import FactorVAEDiscriminator
from jaxgen.networks.calls import apply_network, check_network
from jaxgen.schedules import Scheduled, value_at
from jaxgen.sharding import minibatches
from jaxgen.types import Batch, Metrics

__all__ = ["FactorVAE", "FactorVAEState"]


class FactorVAEState(VAEState):
    """The state of the VAE and the discriminator."""

    discriminator: Player


@dataclass(frozen=True)
class FactorVAE(VAE):
    """A VAE whose loss contains γ times the total correlation of the code, estimated by a discriminator."""

    discriminator: nn.Module = FactorVAEDiscriminator()  # noqa: RUF009 (frozen)
    """Code z (b, latent) -> log D(z) / (1 - D(z)), (b,), with D(z) the probability that z is from q(z) and not from the
    product of its marginals."""
    discriminator_optimiser: optax.GradientTransformation = optax.adam(1e-4, 0.5, 0.9)  # noqa: RUF009
    """The optimiser of the discriminator; the paper's by default."""
    gamma: Scheduled = 35.0
    """γ, the weight of the total correlation in the loss: a number, or an optax schedule of the step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_network("discriminator", self.discriminator)
        if self.objective_samples > 1:
            raise ValueError(f"objective_samples={self.objective_samples}: FactorVAE adds to the ELBO; choose 1")

    @property
    def minibatches(self) -> int:
        """The number of minibatches in the batch of one step: one for the bound, another for the permuted codes."""
        return 2

    def init(self, key: Key[Array, ""], batch: Batch) -> FactorVAEState:
        """Returns the state before the first step; only the shapes of `batch` are read."""
        key, discriminator_key = jax.random.split(key)
        code = jnp.zeros((1, self.latent))
        player = Player.start(self.discriminator, self.discriminator_optimiser, discriminator_key, code)
        return FactorVAEState(**vars(super().init(key, batch)), discriminator=player)

    def step(self, state: FactorVAEState, batch: Batch) -> tuple[FactorVAEState, Metrics]:
        """Takes a step of both players (algorithm 2).

        Encoder and decoder descend the VAE's loss + γ E[log D(z) / (1 - D(z))] on one half of the batch; then the
        discriminator learns to tell those codes z from the permuted codes of the other half.
        """
        key, first_key, second_key, permutation_key = jax.random.split(state.key, 4)
        halves = minibatches(dict(batch), 2)
        first, second = ({name: x[i] for name, x in halves.items()} for i in range(2))
        state, metrics, z = self.descend(state, first_key, first)
        permuted = permute_units(permutation_key, self.draw_codes(state, second_key, second))
        player, judgement, _ = state.discriminator.step(
            self.discriminator_optimiser, self._discriminator_loss, state.key, z, permuted
        )
        metrics |= judgement
        return state.replace(step=state.step + 1, key=key, discriminator=player), metrics

    def penalty(
        self, state: FactorVAEState, mean: Float[Array, "b z"], scale: Float[Array, "b z"], z: Float[Array, "b z"]
    ) -> tuple[Float[Array, ""], Metrics]:
        """Adds γ times the total correlation, estimated by the discriminator in evaluation (eq. 3)."""
        penalty, metrics = super().penalty(state, mean, scale, z)
        total_correlation = apply_network(self.discriminator, state.discriminator.variables, z)[0].mean()
        gamma = value_at(self.gamma, state.step)
        return penalty + gamma * total_correlation, metrics | {"total_correlation": total_correlation}

    def _discriminator_loss(
        self, params: dict[str, Any], statistics: dict[str, Any], key: Key[Array, ""], z: Array, permuted: Array
    ) -> tuple[Float[Array, ""], tuple[dict[str, Any], Metrics]]:
        """Half of the cross-entropy of codes and permuted codes, as `Player.step` takes it."""
        keys = [jax.random.fold_in(key, i) for i in (4, 5)]  # `step` splits the key in four, the numbers 0 to 3
        judge = self.discriminator
        together, statistics = apply_network(judge, {"params": params, **statistics}, z, key=keys[0])
        apart, statistics = apply_network(judge, {"params": params, **statistics}, permuted, key=keys[1])
        value = 0.5 * cross_entropy_discriminator(together, apart)
        accuracy = 0.5 * ((together > 0).mean() + (apart < 0).mean())
        return value, (statistics, {"discriminator_loss": value, "discriminator_accuracy": accuracy})
