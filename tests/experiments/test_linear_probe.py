"""The script of the probes, with models of a few steps."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from experiments import linear_probe as script
from jaxgen.cli import run_study
from jaxgen.data import Dataset
from jaxgen.evaluation import Evaluation
from jaxgen.metrics.probes import PROBES

TINY = "--steps 2 --batch-size 8 --log-every 1"
ROWS = {
    "pixels": 64,
    "PCA": 3,
    "VAE": 3,
    "VAE, hidden layer": 6,
    "VAE, hidden layer, untrained": 6,
    "β-VAE": 3,
    "β-VAE, hidden layer": 6,
    "InfoGAN's Q": 12,
    "InfoGAN's Q, hidden layer": 4,
    "DCGAN's D, hidden layers": 32,
    "DCGAN's D, hidden layers, untrained": 32,
}


def run(*args):
    run_study(script.LinearProbe, script.main, script.__file__, script.__doc__, list(map(str, args)))


def fails(capsys, *args):
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        run(*args)
    [line] = capsys.readouterr().err.strip().splitlines()
    return line


def nothing(*_):
    raise AssertionError("nothing is to be trained")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    vae = f"digits --importance-samples 0 --image-size 8 --latent 3 --hidden 6 {TINY}"
    gan = f"digits --image-size 8 --width 2 {TINY}"
    monkeypatch.setattr(script, "FLAGS", {"digits": {"vae": vae, "beta_vae": vae, "infogan": gan, "gan": gan}})
    monkeypatch.setattr(script, "SHOWN", 40)
    for module in script.MODELS.values():  # what a model's own script evaluates and draws is tested with it
        quiet = {"evaluator": lambda *_: lambda state: Evaluation({}), "pictures": lambda *_: None}
        monkeypatch.setattr(module, "experiment", replace(module.experiment, **quiet))


def test_table_and_figures_and_runs_that_are_given(tmp_path, capsys, monkeypatch):
    flags = ["--counts", "10", "30", "--draws", "2"]
    run("--run", tmp_path / "a", *flags)
    printed = capsys.readouterr()
    assert "warning: pixels: units [0" in printed.err
    found = json.loads((tmp_path / "a" / "probe.json").read_text())
    assert list(found) == list(ROWS)
    for name, units in ROWS.items():
        assert f"\n| {name} | {units} | " in printed.out
        for kind in PROBES:
            assert list(found[name][kind]) == ["10", "30", "1497"]
            assert found[name][kind]["30"]["interval"] >= 0 and found[name][kind]["1497"]["interval"] is None
    assert 0.6 < found["pixels"]["logistic"]["30"]["mean"] < found["pixels"]["logistic"]["1497"]["mean"] < 1
    assert f"| {100 * found['pixels']['knn']['1497']['mean']:.1f} |" in printed.out
    for name in ("probe", "pca", "tsne"):
        assert np.asarray(Image.open(tmp_path / "a" / f"{name}.png")).std() > 1
    assert "choose --resume, --overwrite or another --run" in fails(capsys, "--run", tmp_path / "a")
    other = ["--run", tmp_path / "b", "--vae", tmp_path / "a" / "vae", "--source", "sprites"]
    assert "the models are trained on digits and sprites: give runs" in fails(capsys, *other)

    monkeypatch.setattr(script, "train", nothing)
    folders = {name: tmp_path / "a" / name for name in script.MODELS}
    features = script.representations(script.LinearProbe(run=tmp_path / "b", **folders))
    shapes = {name: (x.shape, test.shape) for name, (x, test) in features.items()}
    assert shapes == {name: ((1497, units), (300, units)) for name, units in ROWS.items()}


def test_an_interrupted_study_goes_on(tmp_path, monkeypatch):
    """What is trained stays, and the study's folder is no other's."""
    trained, configs = [], []
    monkeypatch.setattr(script, "train", lambda experiment, flags: trained.append((experiment.name, flags)))
    monkeypatch.setattr(script, "open_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(script, "configs_of", lambda config: {n: m.presets["digits"] for n, m in script.MODELS.items()})
    monkeypatch.setattr(script, "main", lambda config, main=script.main: (configs.append(config), main(config)))
    with pytest.raises(SystemExit, match="130"):
        run("--run", tmp_path / "a", "--seed", 3, "--gan", tmp_path / "gan")
    (tmp_path / "a" / "vae").mkdir()
    with pytest.raises(SystemExit, match="130"):
        run("--run", tmp_path / "a", "--resume")
    assert configs[1] == replace(configs[0], resume=True)
    assert (tmp_path / "a" / "vae").exists() and trained[0] == trained[1]
    name, flags = trained[0]
    assert name == "vae" and " ".join(flags).endswith(f"--seed 3 --resume --run {tmp_path / 'a' / 'vae'}")


def test_mistakes_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script, "train", nothing)
    new = ["--run", tmp_path / "run", "--overwrite"]
    assert "9 labels: from 10, one of each class, to all 1497 are allowed" in fails(capsys, *new, "--counts", 9)
    assert "1498 labels: from 10" in fails(capsys, *new, "--counts", 10, 1498)
    assert "--draws 0" in fails(capsys, *new, "--draws", 0)
    assert "ring has points, not images" in fails(capsys, *new, "--source", "ring")
    assert "not the folder of a run" in fails(capsys, *new, "--vae", tmp_path)
    assert "--resume and --overwrite: choose one" in fails(capsys, *new, "--resume")
    assert "imagenet" in fails(capsys, *new, "imagenet")
    unlabelled = Dataset({"image": np.zeros((20, 8, 8, 1), np.uint8)}, name="folder:pictures")
    with pytest.raises(ValueError, match="folder:pictures: no labels to probe with"):
        script.labels_of((unlabelled, unlabelled), (10,))
