"""The script of the failures: its games in closed form, a few steps of its GANs, its command line."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gan_failures
from experiments.gan_failures import BILINEAR, RATE, ROUNDS, play
from jaxgen.cli import run_study


def main(args):
    run_study(gan_failures.Failures, gan_failures.main, gan_failures.__file__, gan_failures.__doc__, args)


@pytest.mark.parametrize("name", BILINEAR)
def test_bilinear_game(name):
    """After n steps of rate h simultaneous descent is (1 + h²)^(n/2) times as far from the equilibrium, and
    extra-gradient (1 - h² + h⁴)^(n/2)."""
    path, found = play(*BILINEAR[name])
    grown = np.linalg.norm(path[-1]) / np.linalg.norm(path[0])
    if name == "simultaneous":
        assert grown == pytest.approx((1 + RATE**2) ** ((ROUNDS - 1) / 2), rel=1e-3)
    if name == "cure: extra-gradient":
        assert grown == pytest.approx((1 - RATE**2 + RATE**4) ** ((ROUNDS - 1) / 2), rel=1e-3)
    if name == "alternating":  # keeps x² + y² + h x y
        x, y = path.T
        np.testing.assert_allclose(x**2 + y**2 + RATE * x * y, 8 + 4 * RATE, rtol=1e-3)
    if name.startswith("cure"):
        assert found.verdict == "healthy"
        assert grown < 0.1
    else:
        assert found.verdict == "oscillation"
        assert grown > 0.5


def test_few_steps(tmp_path, monkeypatch, capsys):
    fewer = {"mode collapse": {"non-saturating, ReLU": gan_failures.GANS["mode collapse"]["non-saturating, ReLU"]}}
    monkeypatch.setattr(gan_failures, "GANS", fewer)
    run = tmp_path / "run"
    main(["--run", str(run), "--steps", "30"])
    table = json.loads((run / "failures.json").read_text())
    assert set(table) == {"bilinear game", *fewer}
    assert table["bilinear game"]["alternating"]["verdict"] == "oscillation"
    assert table["mode collapse"]["non-saturating, ReLU"]["diversity"] > 0
    assert (run / "failures.png").stat().st_size > 10_000
    assert "non-saturating, ReLU" in capsys.readouterr().out

    with pytest.raises(SystemExit, match="2"):
        main(["--run", str(run), "--steps", "30"])
    assert capsys.readouterr().err == f"error: {run} exists: choose --overwrite or another --run\n"
    main(["--run", str(run), "--steps", "30", "--overwrite"])
    assert json.loads((run / "failures.json").read_text()) == table  # the same seed


@pytest.mark.parametrize("args", [["--steps", "0"], ["--seed", "-1"], ["--stpes", "3"], ["--steps", "many"]])
def test_bad_input_is_one_line(args, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--run", str(tmp_path / "run"), *args])
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_only_its_own_folder_is_overwritten(tmp_path, capsys):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="2"):
        main(["--run", str(tmp_path), "--overwrite"])
    assert "not overwritten" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").exists()


def test_generator_starts_away_from_the_data():
    model = gan_failures.away(gan_failures.gan("minimax"))
    batch = {"image": jnp.zeros((8, 2))}
    points = model.sample(model.init(jax.random.key(0), batch), jax.random.key(1), 500)
    assert points.mean(axis=0).min() > 3.5
