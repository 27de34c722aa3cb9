"""The two players' objectives, as functions of the discriminator's logits; both are minimised.

With D = sigmoid(logits), log D = log_sigmoid(logits) and log(1 - D) = log_sigmoid(-logits), so nothing overflows.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

__all__ = ["ADVERSARIAL_LOSSES", "AdversarialLoss"]

Logits = Float[Array, "..."]
Scalar = Float[Array, ""]


class AdversarialLoss(NamedTuple):
    """A game: `discriminator(real_logits, fake_logits)` and `generator(fake_logits)`, each a scalar to minimise."""

    discriminator: Callable[[Logits, Logits], Scalar]
    generator: Callable[[Logits], Scalar]


def cross_entropy_discriminator(real: Logits, fake: Logits) -> Scalar:
    """-E[log D(x)] - E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1); 2 log 2 when D cannot tell."""
    return -jax.nn.log_sigmoid(real).mean() - jax.nn.log_sigmoid(-fake).mean()


def saturating_generator(fake: Logits) -> Scalar:
    """E[log(1 - D(G(z)))]: the generator's side of the minimax game (eq. 1); flat where D is sure of the fakes."""
    return jax.nn.log_sigmoid(-fake).mean()


def non_saturating_generator(fake: Logits) -> Scalar:
    """-E[log D(G(z))] (section 3): the same fixed point, with a strong gradient where D is sure of the fakes."""
    return -jax.nn.log_sigmoid(fake).mean()


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(cross_entropy_discriminator, saturating_generator),
    "non_saturating": AdversarialLoss(cross_entropy_discriminator, non_saturating_generator),
}
