"""Disentanglement by holding one factor fixed: the BetaVAE and the FactorVAE score.

Both ask `represent` for the codes of data with chosen factors: of 1.9 and of 1 million points by default, which
Locatello et al. (2019, arXiv:1811.12359, appendix C) use.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from jaxgen.metrics.representation import ROWS, Represent, factor_sizes_of, finite_units, represented

__all__ = ["beta_vae_score", "factor_vae_score", "intervene"]


def beta_vae_score(
    represent: Represent,
    factor_sizes: Sequence[int],
    *,
    train: int = 10_000,
    test: int = 5_000,
    batch: int = 64,
    seed: int = 0,
) -> float:
    """Returns how well a linear classifier tells which factor two points share (Higgins et al. 2017, section 3), in [0,
    1]; 1 / factors by chance.

    It sees the mean of |z - z'| over `batch` pairs that share one factor, each pair another value of it. Logistic
    regression as scikit-learn has it, on the units as they are: it is trained on `train` such means, and its accuracy
    is that on `test` others. 1 needs no more than that factors can be told: a rotation may well score 1.

    Raises:
        ValueError: fewer than two factors with several values, or too few points.
    """
    from sklearn.linear_model import LogisticRegression

    def difference(codes):
        return np.abs(codes[:, :, 0] - codes[:, :, 1]).mean(1)

    sizes, varying = factor_sizes_of(factor_sizes)
    _enough(train, test, batch)
    random = np.random.default_rng(seed)
    held, differences = intervene(represent, sizes, varying, train + test, (batch, 2), difference, random)
    differences = finite_units(differences)
    classifier = LogisticRegression(max_iter=1000).fit(differences[:train], held[:train])
    return float(classifier.score(differences[train:], held[train:]))


def factor_vae_score(
    represent: Represent,
    factor_sizes: Sequence[int],
    *,
    train: int = 10_000,
    test: int = 5_000,
    batch: int = 64,
    threshold: float | int = 0.05,
    seed: int = 0,
) -> float:
    """Returns how well the unit that varies least tells which factor is held fixed (Kim & Mnih 2018, section 3), in
    [0, 1].

    Among `batch` points that share one factor, the unit with the least variance, relative to that of `train` points at
    large, is a vote. Each unit stands for the factor of most of its votes out of `train`; the score is the accuracy on
    `test` others. Units whose standard deviation is below `threshold` are dead and get no vote, as in the code of
    Locatello et al.; without a living unit the score is 0.

    Raises:
        ValueError: fewer than two factors with several values, or too few points.
    """
    sizes, varying = factor_sizes_of(factor_sizes)
    _enough(train, test, batch)
    random = np.random.default_rng(seed)
    codes = finite_units(represented(represent, random.integers(sizes, size=(train, len(sizes)))))
    variance = codes.var(0)
    living = np.flatnonzero(np.sqrt(variance) >= threshold)
    if not living.size:
        return 0.0

    def vote(codes):
        return (np.nan_to_num(codes.var(1), nan=np.inf)[:, living] / variance[living]).argmin(1)

    held, votes = intervene(represent, sizes, varying, train + test, (batch,), vote, random)
    counts = np.zeros((len(living), len(sizes)), int)
    np.add.at(counts, (votes[:train], held[:train]), 1)
    return float((counts.argmax(1)[votes[train:]] == held[train:]).mean())


def intervene(
    represent: Represent,
    sizes: Int[np.ndarray, "k"],
    varying: Int[np.ndarray, "v"],
    number: int,
    shape: tuple[int, ...],
    statistic: Callable[[np.ndarray], np.ndarray],
    random: np.random.Generator,
) -> tuple[Int[np.ndarray, "n"], np.ndarray]:
    """Draws `number` times a factor to hold from the varying ones; returns these factors, and the statistic of the
    codes of each intervention, which are (interventions, *shape, units): points along the last axis of the shape share
    the factor."""
    at_once = max(8 * ROWS // int(np.prod(shape)), 1)
    held, statistics = random.choice(varying, number), []
    for chunk in np.split(held, range(at_once, number, at_once)):
        factors = random.integers(sizes, size=(len(chunk), *shape, len(sizes)))
        is_held = chunk.reshape(-1, *[1] * (factors.ndim - 1)) == np.arange(len(sizes))
        factors = np.where(is_held, factors[..., :1, :], factors)
        codes = represented(represent, factors.reshape(-1, len(sizes)))
        statistics.append(statistic(codes.reshape(*factors.shape[:-1], -1)))
    return held, np.concatenate(statistics)


def _enough(train: int, test: int, batch: int) -> None:
    if train < 100 or test < 1 or batch < 2:
        raise ValueError(
            f"train={train}, test={test}, batch={batch}: at least 100 interventions to train, 1 to test and 2 points "
            "in each are needed"
        )
