import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.metrics import RepresentationWarning, beta_vae_score, factor_vae_score
from jaxgen.metrics.interventions import intervene

FEW = {"train": 600, "test": 300, "batch": 16}
SIZES = (3, 3, 3, 3)
SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


def true_factors(factors):
    return factors[:, [2, 0, 3, 1]] * [0.5, -1, 4, 1] + 7.0


def rotated(factors):
    return jnp.asarray((factors - 1) @ SIGNS / 2)  # all factors alike in all units


def noise(factors):
    return np.random.default_rng(int(factors.sum())).normal(size=(len(factors), 5))


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
def test_known_answers(score):
    assert score(true_factors, SIZES, **FEW) == 1
    for chance in (rotated, noise):
        assert abs(score(chance, SIZES, **FEW) - 1 / 4) < 0.08
    assert score(noise, SIZES, seed=1, **FEW) == score(noise, SIZES, seed=1, **FEW) != score(noise, SIZES, **FEW)


def test_a_line_reads_a_rotation_that_the_least_varying_unit_does_not():
    """What FactorVAE's score was made for: units 0 and 1 share two factors, by unlike weights."""

    def represent(factors):
        a, b, c = (factors - 1.0).T
        return np.stack([2 * a + b, a + b, c], axis=1)

    assert beta_vae_score(represent, (3, 3, 3), **FEW) > 0.9
    assert factor_vae_score(lambda factors: represent(factors)[:, [0, 2]], (3, 3, 3), **FEW) < 0.8


@pytest.mark.parametrize("shape", [(6,), (5, 2)])
def test_interventions_hold_one_factor(shape):
    sizes, varying = np.array([4, 1, 50, 9]), np.array([0, 2, 3])
    random = np.random.default_rng(0)
    held, seen = intervene(lambda x: x, sizes, varying, 3001, shape, lambda codes: codes, random)
    assert seen.shape == (3001, *shape, 4) and set(held) == set(varying)
    assert np.bincount(held)[varying].min() > 900
    same = (seen == seen[..., :1, :]).all(-2)  # of each factor, whether the points along the last axis share it
    for factor in varying:
        assert same[held == factor][..., factor].all()
        assert same[held != factor][..., factor].mean() < 0.3
    assert (seen.reshape(-1, 4).min(0) == 0).all() and (seen.reshape(-1, 4).max(0) == sizes - 1).all()
    if len(shape) == 2:  # each pair has its own value
        assert (np.ptp(seen[held == 2, :, 0, 2], axis=1) > 0).mean() > 0.99


def test_dead_units_get_no_vote():
    def represent(factors):
        return factors * [1, 0.01]  # of standard deviation 0.005

    assert factor_vae_score(represent, (2, 2), threshold=0, **FEW) == 1
    assert abs(factor_vae_score(represent, (2, 2), **FEW) - 1 / 2) < 0.08
    assert factor_vae_score(represent, (2, 2), threshold=0.6, **FEW) == 0


def test_units_and_factors_of_no_use_are_named():
    def represent(factors):
        a, _, b = factors.astype(float).T
        return np.stack([a, np.where(a == 1, np.nan, b), b, 0 * a], axis=1)

    for score in (beta_vae_score, factor_vae_score):
        with pytest.warns(RepresentationWarning) as caught:
            assert score(represent, (2, 1, 3), **FEW) == 1
        assert sorted(str(one.message) for one in caught) == [
            "factors [1] take one value only: they are skipped",
            "units [1] have values that are not finite: they count as constant",
            "units [3] are constant",
        ]


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
def test_bad_input(score):
    with pytest.raises(ValueError, match="1 of 2 factors take several values: at least 2"):
        score(true_factors, (1, 3))
    with pytest.raises(ValueError, match=r"at least 1: got \[3, 0\]"):
        score(true_factors, (3, 0))
    with pytest.raises(ValueError, match="train=99, test=5000, batch=64: at least 100"):
        score(true_factors, SIZES, train=99)
    with pytest.raises(ValueError, match=r"represent gave \(512, 4\) for 1024 points"):
        score(lambda factors: true_factors(factors)[::2], SIZES, **FEW)
