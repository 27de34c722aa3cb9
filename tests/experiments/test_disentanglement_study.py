import json
import signal

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import beta_vae
from experiments import disentanglement_study as script
from jaxgen.cli import run_study
from jaxgen.data import Dataset
from jaxgen.losses import BetaTC
from jaxgen.metrics import boosting
from jaxgen.models import FactorVAE
from jaxgen.training import Interrupted, read_metrics

SMALL = ["--image-size", 16, "--batch-size", 16, "--learning-rate", 1e-2, "--points", 100, "--seeds", 1]
ONE_METHOD = ["--betas", 1, 60, "--tc-betas", "--gammas"]


class Started(Exception):
    """A training has begun."""


@pytest.fixture(autouse=True)
def fewer_trees_and_key_reuse_that_is_seen_in_every_vmap_of_a_scan(monkeypatch):
    monkeypatch.setattr(boosting, "STAGES", 2)
    with jax.debug_key_reuse(False):
        yield


def run(*args):
    run_study(script.Study, script.main, script.__file__, script.__doc__, list(map(str, args)))


def fails(capsys, *args):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(*args)
    [line] = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2
    return line


def test_members_are_measured_and_the_study_goes_on(tmp_path, capsys):
    folder = tmp_path / "study"
    flags = ["--run", folder, *SMALL, *ONE_METHOD]
    run(*flags, "--steps", 30, "--log-every", 10)
    record = folder / "study.json"
    rows = json.loads(record.read_text())["members"]
    assert [(row["weight"], row["seed"]) for row in rows] == [(1, 0), (60, 0)]
    assert rows[1]["test_kl"] < 0.5 * rows[0]["test_kl"]
    for row in rows:
        assert row["method"] == "β-VAE" and row["step"] == 30
        assert all(0 <= row[name] <= 1 for name in ("mig", "factor_vae", "beta_vae", "dci_disentanglement", "sap"))
        assert {"modularity", "explicitness", "irs", "total_correlation", "active_units"} <= set(row)
    assert script.table(rows) in capsys.readouterr().out
    assert np.asarray(Image.open(folder / "study.png")).std() > 1

    study = json.loads(record.read_text())
    lost = study["members"].pop()
    record.write_text(json.dumps(study))
    run("--run", folder, "--resume")
    assert json.loads(record.read_text())["members"] == [rows[0], lost]
    run("--run", folder, "--resume", "--steps", 32)
    longer = json.loads(record.read_text())
    assert list(longer) == ["members"] and [row["step"] for row in longer["members"]] == [32, 32]
    settings = json.loads((folder / "config.json").read_text())
    assert settings["experiment"] == "disentanglement_study" and settings["config"]["steps"] == 32
    assert [r["step"] for r in read_metrics(folder / "β-VAE") if "loss" in r] == [10, 20, 30, 32]
    assert "betas is [1.0, 60.0], not [2.0, 3.0]" in fails(capsys, "--run", folder, "--resume", "--betas", 2, 3)
    assert "choose --resume, --overwrite" in fails(capsys, *flags)


def test_a_study_that_an_earlier_version_made_goes_on(tmp_path, capsys, monkeypatch):
    """Its settings and its figures are in study.json, beside the name of the script."""
    row = {"method": "β-VAE", "weight": 1.0, "seed": 0, "step": 30} | dict.fromkeys(script.TABLE, 1.0)
    settings = {"source": "sprites", "image_size": 16, "betas": [1.0], "tc_betas": [], "gammas": [], "seeds": 1}
    old = {"script": "experiments.disentanglement_study", **settings, "steps": 30, "points": 100, "members": [row]}
    (tmp_path / "study.json").write_text(json.dumps(old))
    assert "betas is [1.0], not [2.0]" in fails(capsys, "--run", tmp_path, "--resume", "--betas", 2)
    assert "choose --resume, --overwrite" in fails(capsys, "--run", tmp_path)
    assert not (tmp_path / "config.json").exists()

    def train(*_):
        raise Started

    monkeypatch.setattr(script, "train", train)
    run("--run", tmp_path, "--resume")  # all members are measured: none is trained
    assert np.asarray(Image.open(tmp_path / "study.png")).std() > 1
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["experiment"] == "disentanglement_study"
    assert {name: stored["config"][name] for name in settings} == settings
    with pytest.raises(Started):
        run("--run", tmp_path, "--resume", "--steps", 31)


def test_table_and_figure_are_of_means_and_deviations_over_seeds(tmp_path):
    rows = [
        {"method": method, "weight": 4.0, "seed": seed} | dict.fromkeys(script.TABLE, 2.0 * seed)
        for method in ("β-VAE", "FactorVAE")
        for seed in range(3)
    ]
    assert script.table(rows).splitlines()[2] == "| β-VAE | 4 |" + " 2 ± 2 |" * len(script.TABLE)
    script.draw(rows, tmp_path / "study.png")
    assert np.asarray(Image.open(tmp_path / "study.png")).std() > 1


def test_each_method_gives_its_weight_to_its_model():
    arrays = {"image": np.zeros((500, 32, 32, 1), np.uint8)}
    base = beta_vae.build(script.Study().settings, Dataset(arrays))
    beta, tc, factor = (script.family(method, base, 500)(7.0) for method in script.METHODS)
    assert base.beta == 1 and (beta.beta, beta.regulariser) == (7, None)
    assert (tc.beta, tc.regulariser) == (1, BetaTC(500, 7.0))
    assert isinstance(factor, FactorVAE) and (factor.beta, factor.gamma) == (1, 7)


@pytest.mark.parametrize(("weights", "devices"), [((4.0,), 1), ((1.0, 2.0, 3.0), 1), ((1.0, 2.0, 3.0, 4.0), 2)])
def test_members_share_as_many_devices_as_divide_them(weights, devices, monkeypatch):
    def fit(*_, seed, sweep, mesh, **__):
        assert mesh.size == devices and seed == (0,) * len(weights) and tuple(sweep.tolist()) == weights
        raise Started

    monkeypatch.setattr(script, "fit", fit)
    with pytest.raises(Started):
        script.train(script.Study(), "β-VAE", None, [], [(weight, 0) for weight in weights])


def test_what_stops_it_is_one_line_that_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise Interrupted(signal.SIGTERM, 7)

    monkeypatch.setattr(script, "train", stop)
    with pytest.raises(SystemExit) as stopped:
        run("--run", tmp_path / "study", "--overwrite", *ONE_METHOD)
    assert stopped.value.code == 143
    told = capsys.readouterr().err
    command = f"python -m experiments.disentanglement_study --run {tmp_path / 'study'} --betas 1 60 --tc-betas --gammas"
    assert "after step 7" in told and told.strip().endswith(f"{command} --resume")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--source", "digits"], "the factors of 'digits' are not known; those of sprites"),
        (["--betas", "-1"], "--betas (-1.0,): different numbers of at least 0"),
        (["--gammas", "5", "5"], "--gammas (5.0, 5.0): different numbers"),
        (["--betas", "--tc-betas", "--gammas"], "nothing to train: one of --betas, --tc-betas, --gammas"),
        (["--image-size", "24"], "--image-size 24: a multiple of 16"),
        (["--points", "50"], "--points 50: at least 100"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
        (["--learning-rate", "0"], "--learning-rate 0.0: a positive number"),
        (["--resume", "--overwrite"], "choose one"),
    ],
)
def test_mistakes_are_one_line(args, message, tmp_path, capsys):
    assert message in fails(capsys, "--run", tmp_path / "study", *args)
    assert not (tmp_path / "study").exists()
