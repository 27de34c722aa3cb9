"""The two players' objectives, as functions of the discriminator's logits; both are minimised.

    gan = GAN(..., loss=losses.hinge)

A game of one's own is an `AdversarialLoss`. The relativistic pairing loss (Jolicoeur-Martineau 2019) compares each
fake example with a real one, so its generator reads the logits of both:

    relativistic = AdversarialLoss(
        discriminator=lambda real, fake: jax.nn.softplus(fake - real).mean(),
        generator=lambda real, fake: jax.nn.softplus(real - fake).mean(),
    )

The sign is the same everywhere: the discriminator's logit is high where it believes an example to be real, for a
critic (Wasserstein) too, and both functions of a game are losses to descend. With D = sigmoid(logits), log D =
log_sigmoid(logits) and log(1 - D) = log_sigmoid(-logits), so nothing overflows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = [
    "AdversarialLoss",
    "hinge",
    "least_squares",
    "minimax",
    "non_saturating",
    "wasserstein",
    "wasserstein_drift",
]

Logits = Float[Array, "..."]
Scalar = Float[Array, ""]


@dataclass(frozen=True)
class AdversarialLoss:
    """A game between a discriminator and a generator.

    Both losses are functions (real_logits, fake_logits) -> scalar, to be minimised. The logits of both kinds have the
    same shape. The generator's gradient flows through the fake logits, and while unrolling through both.
    """

    discriminator: Callable[[Logits, Logits], Scalar]
    """The discriminator's loss."""
    generator: Callable[[Logits, Logits], Scalar]
    """The generator's loss. Where it does not read the real logits, they are not computed either (under `jax.jit`)."""
    zero_sum: bool = False
    """Whether the generator's loss is minus the discriminator's, but for a term in the real examples alone."""
    output: Callable[[Logits], Logits] = jnp.asarray
    """What a logit says, for the metrics: sigmoid where it is the log-odds of being real, else the logit itself."""


def cross_entropy_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Returns -E[log D(x)] - E[log(1 - D(G(z)))] (Goodfellow et al. 2014, eq. 1); 2 log 2 when D cannot tell."""
    return -jax.nn.log_sigmoid(real).mean() - jax.nn.log_sigmoid(-fake).mean()


def saturating_generator(real: Logits, fake: Logits) -> Scalar:
    """Returns E[log(1 - D(G(z)))], the generator's side of the minimax game (eq. 1).

    It is flat where D is sure of the fakes.
    """
    return jax.nn.log_sigmoid(-fake).mean()


def non_saturating_generator(real: Logits, fake: Logits) -> Scalar:
    """Returns -E[log D(G(z))] (section 3).

    The fixed point is that of the minimax game, with a strong gradient where D is sure of the fakes.
    """
    return -jax.nn.log_sigmoid(fake).mean()


def least_squares_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Returns ½ E[(D(x) - 1)²] + ½ E[D(G(z))²] (Mao et al. 2017, eq. 9: labels 0 and 1); ¼ when D cannot tell."""
    return 0.5 * jnp.square(real - 1).mean() + 0.5 * jnp.square(fake).mean()


def least_squares_generator(real: Logits, fake: Logits) -> Scalar:
    """Returns ½ E[(D(G(z)) - 1)²] (eq. 9)."""
    return 0.5 * jnp.square(fake - 1).mean()


def wasserstein_critic(real: Logits, fake: Logits) -> Scalar:
    """Returns E[f(G(z))] - E[f(x)] (Arjovsky et al. 2017, eq. 2, negated to be descended).

    Its negative, maximised over 1-Lipschitz critics, is the Wasserstein-1 distance.
    """
    return fake.mean() - real.mean()


def wasserstein_generator(real: Logits, fake: Logits) -> Scalar:
    """Returns -E[f(G(z))] (eq. 3)."""
    return -fake.mean()


def drifting_critic(real: Logits, fake: Logits) -> Scalar:
    """Returns `wasserstein_critic` + 0.001 E[f(x)²], which keeps the critic's outputs near 0.

    The term is that of Karras et al. 2018, appendix A.1.
    """
    return wasserstein_critic(real, fake) + 0.001 * jnp.square(real).mean()


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Returns E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] (Miyato et al. 2018, eq. 16, negated).

    It is 2 when D cannot tell. The generator descends `wasserstein_generator` (eq. 17).
    """
    return jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean()


minimax: AdversarialLoss = AdversarialLoss(
    cross_entropy_discriminator, saturating_generator, zero_sum=True, output=jax.nn.sigmoid
)
"""The zero-sum game of Goodfellow et al. 2014, equation 1."""
non_saturating: AdversarialLoss = AdversarialLoss(
    cross_entropy_discriminator, non_saturating_generator, output=jax.nn.sigmoid
)
"""The game with the generator's loss that Goodfellow et al. 2014 train with (section 3)."""
least_squares: AdversarialLoss = AdversarialLoss(least_squares_discriminator, least_squares_generator)
"""Mao et al. 2017, equation 9."""
wasserstein: AdversarialLoss = AdversarialLoss(wasserstein_critic, wasserstein_generator, zero_sum=True)
"""Arjovsky et al. 2017; the critic needs a constraint: a penalty on its slope, or clipped weights."""
wasserstein_drift: AdversarialLoss = AdversarialLoss(drifting_critic, wasserstein_generator, zero_sum=True)
"""The Wasserstein game of Karras et al. 2018, whose critic stays near 0."""
hinge: AdversarialLoss = AdversarialLoss(hinge_discriminator, wasserstein_generator)
"""Miyato et al. 2018, equations 16 and 17."""
