"""The two players' objectives, as functions of the discriminator's logits; both are minimised.

The sign is everywhere the same: the discriminator's logit is high where it believes an example to be real, for a
critic (Wasserstein) too, and both functions of a game are losses to descend. With D = sigmoid(logits), log D =
log_sigmoid(logits) and log(1 - D) = log_sigmoid(-logits), so nothing overflows.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["ADVERSARIAL_LOSSES", "AdversarialLoss"]

Logits = Float[Array, "..."]
Scalar = Float[Array, ""]


class AdversarialLoss(NamedTuple):
    """A game: `discriminator(real_logits, fake_logits)` and `generator(fake_logits)`, each a scalar to minimise.

    zero_sum: the generator's loss is minus the discriminator's, but for a term in the real examples alone
    output:   what a logit says: sigmoid where it is the log-odds of being real, else the logit itself
    """

    discriminator: Callable[[Logits, Logits], Scalar]
    generator: Callable[[Logits], Scalar]
    zero_sum: bool = False
    output: Callable[[Logits], Logits] = jnp.asarray


def cross_entropy_discriminator(real: Logits, fake: Logits) -> Scalar:
    """-E[log D(x)] - E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1); 2 log 2 when D cannot tell."""
    return -jax.nn.log_sigmoid(real).mean() - jax.nn.log_sigmoid(-fake).mean()


def saturating_generator(fake: Logits) -> Scalar:
    """E[log(1 - D(G(z)))]: the generator's side of the minimax game (eq. 1); flat where D is sure of the fakes."""
    return jax.nn.log_sigmoid(-fake).mean()


def non_saturating_generator(fake: Logits) -> Scalar:
    """-E[log D(G(z))] (section 3): the same fixed point, with a strong gradient where D is sure of the fakes."""
    return -jax.nn.log_sigmoid(fake).mean()


def least_squares_discriminator(real: Logits, fake: Logits) -> Scalar:
    """½ E[(D(x) - 1)²] + ½ E[D(G(z))²] (Mao et al. 2017, eq. 9: labels 0 and 1); ¼ when D cannot tell."""
    return 0.5 * jnp.square(real - 1).mean() + 0.5 * jnp.square(fake).mean()


def least_squares_generator(fake: Logits) -> Scalar:
    """½ E[(D(G(z)) - 1)²] (eq. 9)."""
    return 0.5 * jnp.square(fake - 1).mean()


def wasserstein_critic(real: Logits, fake: Logits) -> Scalar:
    """E[f(G(z))] - E[f(x)] (Arjovsky et al. 2017, eq. 2, negated to be descended); its negative, over 1-Lipschitz
    critics, estimates the Wasserstein-1 distance."""
    return fake.mean() - real.mean()


def wasserstein_generator(fake: Logits) -> Scalar:
    """-E[f(G(z))] (eq. 3)."""
    return -fake.mean()


def drifting_critic(real: Logits, fake: Logits) -> Scalar:
    """`wasserstein_critic` + 0.001 E[f(x)²], which keeps the critic's outputs near 0 (Karras et al. 2018, appendix
    A.1)."""
    return wasserstein_critic(real, fake) + 0.001 * jnp.square(real).mean()


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] (Miyato et al. 2018, eq. 16, negated); 2 when D cannot tell. Its
    generator descends `wasserstein_generator` (eq. 17)."""
    return jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean()


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    "minimax": AdversarialLoss(cross_entropy_discriminator, saturating_generator, zero_sum=True, output=jax.nn.sigmoid),
    "non_saturating": AdversarialLoss(cross_entropy_discriminator, non_saturating_generator, output=jax.nn.sigmoid),
    "least_squares": AdversarialLoss(least_squares_discriminator, least_squares_generator),
    "wasserstein": AdversarialLoss(wasserstein_critic, wasserstein_generator, zero_sum=True),
    "wasserstein_drift": AdversarialLoss(drifting_critic, wasserstein_generator, zero_sum=True),
    "hinge": AdversarialLoss(hinge_discriminator, wasserstein_generator),
}
