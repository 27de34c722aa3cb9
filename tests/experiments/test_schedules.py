"""Shares of a run's steps."""

from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from experiments import diffusion, realnvp
from experiments.shared.schedules import check_share, share_of, steps_to_share, warmup_steps
from jaxgen.data import load


@pytest.mark.parametrize(("share", "steps", "expected"), [(0.25, 8, 2), (1.0, 8, 8), (0.01, 8, 1), (0.0, 8, 1)])
def test_a_share_is_at_least_one_step(share, steps, expected):
    assert share_of(SimpleNamespace(warmup=share, steps=steps), "warmup") == expected


@pytest.mark.parametrize(("share", "steps", "expected"), [(0.25, 8, 2), (1.0, 8, 7), (0.0, 8, 0), (0.5, 1, 0)])
def test_the_last_step_is_left_to_fall_in(share, steps, expected):
    assert warmup_steps(SimpleNamespace(warmup=share, steps=steps)) == expected


def test_shares_beyond_the_run_are_refused():
    for share in (0, 1):
        check_share(SimpleNamespace(warmup=share), "warmup")
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"--warmup .*: a share of the steps, 0 to 1"):
            check_share(SimpleNamespace(warmup=share), "warmup")


@pytest.mark.parametrize("kind", [diffusion.DiffusionConfig, realnvp.RealNVPConfig])
@pytest.mark.parametrize(("steps", "warmup"), [(3000, 200), (7, 3), (8, 0)])
def test_a_stored_number_of_steps_comes_back_exactly(kind, steps, warmup):
    config = kind.read({"steps": steps, "warmup_steps": warmup})
    assert warmup_steps(config) == warmup


def test_a_stored_number_beyond_the_run_is_all_of_it():
    assert steps_to_share({"steps": 4, "warmup_steps": 9}, "warmup_steps", "warmup") == {"steps": 4, "warmup": 1.0}
    assert steps_to_share({"steps": 4}, "warmup_steps", "warmup") == {"steps": 4}


@pytest.mark.parametrize(("warmup", "first"), [(0.0, 0.1), (0.5, 0.0)])
def test_without_a_warmup_the_first_step_is_taken_at_full_rate(warmup, first):
    """Adam's first update is the learning rate."""
    config = realnvp.RealNVPConfig(source="moons", steps=4, warmup=warmup, cosine_decay=True, learning_rate=0.1)
    optimiser = realnvp.build(config, load("moons")).optimiser
    gradient = jnp.ones(2)
    update, _ = optimiser.update(gradient, optimiser.init(gradient), gradient)
    assert update == pytest.approx(-first, rel=1e-5)
