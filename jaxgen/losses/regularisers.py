"""Regularisers of a VAE's code: penalties in nats that make its units independent.

A regulariser is a pure function (mean, scale, z) -> (penalty, metrics) of a batch of posteriors q(z | x) =
N(mean, scale²) and one draw z of each. Its weights may be traced, so that a sweep over them is a `vmap`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxgen.losses.variational import normal_log_prob, standard_normal_log_prob
from jaxgen.types import Metrics

__all__ = ["DIP", "BetaTC", "KLParts", "Regulariser", "decompose_kl", "permute_units"]

Codes = Float[Array, "b z"]
Scalar = Float[Array, ""]
Regulariser = Callable[[Codes, Codes, Codes], tuple[Scalar, Metrics]]


class KLParts(NamedTuple):
    """E[KL(q(z | x) || p(z))] = I(x; z) + KL(q(z) || Π q(z_j)) + Σ KL(q(z_j) || p(z_j)) (Chen et al. 2018, eq. 2),
    where q(z) is the aggregate posterior, the mean of q(z | x) over the data set."""

    mutual_information: Scalar
    total_correlation: Scalar
    dimension_wise_kl: Scalar


def decompose_kl(mean: Codes, scale: Codes, z: Codes, data: int, sampling: str = "stratified") -> KLParts:
    """Estimates the parts of the KL term on a batch of b different examples from a data set of `data` examples.

    q(z), and likewise each q(z_j), is a weighted sum of the batch's posteriors at z:

    - `weighted` (minibatch-weighted sampling, section 3.1): every posterior weighs 1 / (data × b). The densities come
      out too low, and the total correlation too high by (latent units - 1) × log(data) or more. Its gradient, for which
      it is meant, does not depend on `data`.
    - `stratified` (after appendix C.2, but with equal weights for the others): the posterior that z is from weighs
      1 / data, and the others share the rest. It is unbiased for q(z), and exact where the batch is the data set.

    The sum of the parts is always the mean of log q(z | x) - log p(z) at the draws z. ValueError for a batch of one
    example, for more examples than `data`, and for another `sampling`.
    """
    b = len(z)
    if not 2 <= b <= data:
        raise ValueError(f"batch of {b} out of {data} examples: the total correlation needs 2 to {data}")
    weight = _log_weights(b, data, sampling)
    log_prob = normal_log_prob(z[:, None], mean[None], scale[None])  # (b, b, z): draw i under posterior j
    joint = jax.nn.logsumexp(weight + log_prob.sum(-1), axis=1)
    marginals = jax.nn.logsumexp(weight[..., None] + log_prob, axis=1).sum(-1)
    posterior = normal_log_prob(z, mean, scale).sum(-1)
    parts = posterior - joint, joint - marginals, marginals - standard_normal_log_prob(z)
    return KLParts(*(part.mean() for part in parts))


def _log_weights(b: int, data: int, sampling: str) -> Float[Array, "b b"]:
    """log of the weight of posterior j in the estimate of q at a draw from posterior i."""
    if sampling == "weighted":
        return jnp.full((b, b), -math.log(data * b))
    if sampling == "stratified":
        others = math.log((data - 1) / (data * (b - 1)))
        return jnp.where(jnp.eye(b, dtype=bool), -math.log(data), others)
    raise ValueError(f"sampling {sampling!r}: choose weighted or stratified")


@dataclass(frozen=True)
class BetaTC:
    """β-TCVAE (Chen et al. 2018, eq. 4 with α = γ = 1): besides the KL term, (β - 1) times the total correlation, so
    that this part of the KL weighs β."""

    data: int
    """The number of examples in the training set."""
    beta: float | int | Array = 6.0
    """β, the weight of the total correlation."""
    sampling: str = "weighted"
    """The estimator of the penalty, see `decompose_kl`. The metrics are always by `stratified` sampling, since the
    published `weighted` one adds a large constant to the loss."""

    def __call__(self, mean: Codes, scale: Codes, z: Codes) -> tuple[Scalar, Metrics]:
        """Returns the penalty, and the three parts of the KL term as metrics."""
        parts = decompose_kl(mean, scale, z, self.data, self.sampling)
        metrics = decompose_kl(mean, scale, z, self.data)._asdict()
        return (self.beta - 1) * parts.total_correlation, metrics


@dataclass(frozen=True)
class DIP:
    """DIP-VAE (Kumar et al. 2018): a covariance of the code is drawn to the identity by the penalty

        λ_od Σ_{i≠j} Cov_ij² + λ_d Σ_i (Cov_ii - 1)²,

    where Cov is the covariance over the batch, with 1/b. In the paper's experiments λ_d = 10 λ_od for DIP-VAE-I and
    λ_d = λ_od for DIP-VAE-II.
    """

    off_diagonal: float | int | Array = 10.0
    """λ_od."""
    diagonal: float | int | Array = 100.0
    """λ_d."""
    aggregate: bool = False
    """False: the covariance of the posterior means (DIP-VAE-I, eq. 6); True: that of q(z) (DIP-VAE-II, eq. 7)."""

    def __call__(self, mean: Codes, scale: Codes, z: Codes) -> tuple[Scalar, Metrics]:
        """Returns the penalty, and its two sums as metrics."""
        centred = mean - mean.mean(0)
        covariance = (centred[:, :, None] * centred[:, None]).mean(0)
        if self.aggregate:
            covariance += jnp.diag(jnp.square(scale).mean(0))
        variance = jnp.diag(covariance)
        off_diagonal = jnp.square(covariance - jnp.diag(variance)).sum()
        diagonal = jnp.square(variance - 1).sum()
        penalty = self.off_diagonal * off_diagonal + self.diagonal * diagonal
        return penalty, {"covariance_off_diagonal": off_diagonal, "covariance_diagonal": diagonal}


def permute_units(key: Key[Array, ""], z: Codes) -> Codes:
    """Shuffles each unit over the batch on its own: from draws of q(z) to draws of Π q(z_j) (Kim & Mnih 2018,
    algorithm 1)."""
    return jax.random.permutation(key, z, axis=0, independent=True)
