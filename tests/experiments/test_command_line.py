"""Every experiment by its command line, in this process, at tiny size."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support import SHORT, fails

from experiments import beta_vae, cgan, gan, vae
from jaxgen.evaluation import Evaluation
from jaxgen.training.experiment import main

EXPERIMENTS = {
    "vae": (vae, ["--importance-samples", "4", "--hidden", "16", "--latent", "2"]),
    "beta_vae": (beta_vae, ["--importance-samples", "4", "--hidden", "16"]),
    "gan": (gan, ["--discriminator-steps", "2"]),
    "cgan": (cgan, []),
}

OF_LATENT_SPACE = {
    "arithmetic.png",
    "kl_per_unit.png",
    "latent_scatter.png",
    "mutual_information.png",
    "reconstructions.png",
    "traversals.gif",
    "traversals.png",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One short run of each experiment."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (module, flags) in EXPERIMENTS.items():
        main(module.experiment, [*SHORT, *flags, "--run", str(folder / name)])
    return folder


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_run_folder_is_complete(runs, name):
    run = runs / name
    assert json.loads((run / "config.json").read_text())["config"]["steps"] == 12
    pictures = {"samples.png", "curves.png", "interpolations.png"}
    pictures |= OF_LATENT_SPACE if "vae" in name else {"neighbours.png"}
    pictures |= {"manifold.png"} if name == "vae" else set()
    assert {path.name for path in run.iterdir() if path.suffix in (".png", ".gif")} == pictures
    for picture in pictures:
        assert np.asarray(Image.open(run / picture)).std() > 1
        assert picture in (run / "report.html").read_text()


def test_commands_on_a_run(runs, capsys):
    main(cgan.experiment, ["sample", "--run", str(runs / "cgan"), "--labels", "7", "3", "--n", "6"])
    assert Image.open(runs / "cgan" / "samples.png").size == (3 * 34 + 2, 2 * 34 + 2)
    main(vae.experiment, ["evaluate", "--run", str(runs / "vae"), "--importance-samples", "8"])
    assert "test nll 8 samples" in capsys.readouterr().out
    main(vae.experiment, ["report", "--run", str(runs / "vae")])
    assert "go on" in capsys.readouterr().out


def test_infinite_figures_are_stored_as_standard_json(runs):
    endless = replace(vae.experiment, evaluator=lambda *_: lambda state: Evaluation({"test_nll": float("inf")}))
    main(endless, ["evaluate", "--run", str(runs / "vae")])
    assert json.loads((runs / "vae" / "evaluation.json").read_text())["test_nll"] == "Infinity"


def test_resume_takes_the_settings_of_the_run_and_more_steps(runs, tmp_path, capsys):
    run = tmp_path / "vae"
    shutil.copytree(runs / "vae", run)
    main(vae.experiment, ["--run", str(run), "--resume", "--steps", "20"])
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [4, 8, 12, 16, 20]
    message = fails(capsys, vae, ["--run", run, "--resume", "--hidden", "17", "--seed", "3"])
    assert "hidden is 16, not 17" in message and "seed is 0, not 3" in message


def test_damaged_newest_checkpoint_gives_way_to_the_one_before(runs, tmp_path, capsys):
    run = tmp_path / "vae"
    shutil.copytree(runs / "vae", run)
    newest = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    shutil.rmtree(newest / "state")
    main(vae.experiment, ["--run", str(run), "--resume"])
    captured = capsys.readouterr()
    assert "checkpoint of step 12 is damaged" in captured.err
    for path in (run / "checkpoints").iterdir():
        shutil.rmtree(path / "state")
    assert "no good checkpoint" in fails(capsys, vae, ["sample", "--run", run])


@pytest.mark.parametrize(
    ("module", "args", "message"),
    [
        (vae, ["--source", "nowhere"], "unknown source 'nowhere'"),
        (vae, ["--source", "folder:/no/such/folder"], "/no/such/folder"),
        (vae, ["--image-size", "9", "--network", "conv"], "image size 9×9"),
        (gan, ["--image-size", "10", "--network", "dcgan", "--batch-size", "2000"], "2000"),
        (vae, ["--channels", "2"], "--channels"),
        (vae, ["--batch-size", "2000"], "allowed is 1 to 1497"),
        (vae, ["--learning-rate", "-1e-3"], "--learning-rate -0.001: a positive number"),
        (gan, ["--generator-learning-rate", "0"], "--generator-learning-rate 0.0"),
        (vae, ["nonsense"], "unknown preset 'nonsense': choose from digits, mnist, nll"),
        (vae, ["--nonsense", "3"], "--nonsense"),
        (vae, ["--steps", "many"], "--steps"),
        (vae, ["--steps", "0"], "at least 1"),
        (vae, ["--likelihood", "poisson"], "--likelihood"),
        (gan, ["--discriminator-steps", "0"], "discriminator_steps=0"),
        (gan, ["--loss", "magic"], "--loss"),
        (gan, ["--unroll", "-1"], "unroll=-1: at least 0"),
        (gan, ["--packing", "3"], "minibatch of 64: packing=3 must divide it"),
        (gan, ["--clip", "0"], "clip_weights(0.0): a positive limit"),
        (gan, ["--spectral-norm"], "choose resnet"),
        (gan, ["--source", "ring"], "choose points, points_tanh, points_wide"),
        (gan, ["ring", "--network", "dcgan"], "choose points"),
        (gan, ["ring", "--image-size", "8"], "image_size 8 cannot be had"),
        (gan, ["--inception", "/no/such/weights.pth", "--steps", "1"], "/no/such/weights.pth"),
        (gan, ["--seeds", "0"], "--seeds 0: at least 1"),
        (vae, ["--mesh", "64", "--batch-size", "64"], "a mesh of 64 devices"),
        (vae, ["sample"], "--run"),
        (vae, ["sample", "--run", "/no/such/run"], "/no/such/run"),
        (vae, ["evaluate"], "--run"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, module, args, message):
    if args[0] not in ("sample", "evaluate"):
        args = [*args, "--run", tmp_path / "run"]
    assert message in fails(capsys, module, args)
    assert not (tmp_path / "run").exists()


def test_mistakes_about_a_run_are_one_line(runs, capsys, tmp_path):
    assert "exists: choose --resume, --overwrite" in fails(capsys, vae, ["--run", runs / "vae"])
    other = tmp_path / "notes"
    other.mkdir()
    (other / "letter.txt").write_text("keep me")
    assert "not the folder of a run" in fails(capsys, vae, ["--run", other, "--overwrite"])
    assert (other / "letter.txt").exists()
    assert "choose one" in fails(capsys, vae, ["--run", runs / "vae", "--overwrite", "--resume"])
    assert "run of the experiment gan, not of cgan" in fails(capsys, cgan, ["sample", "--run", runs / "gan"])
    sample = ["sample", "--run", runs / "cgan"]
    assert "labels are 0 to 9" in fails(capsys, cgan, [*sample, "--labels", "10", "--n", "4"])
    assert "each of the 10 classes" in fails(capsys, cgan, [*sample, "--labels", *range(11), "--n", "11"])
    assert "multiple of the 2 labels" in fails(capsys, cgan, [*sample, "--labels", "1", "2", "--n", "5"])
    assert "unconditional" in fails(capsys, gan, ["sample", "--run", runs / "gan", "--labels", "1"])
    assert "no checkpoint of step 5" in fails(capsys, gan, ["sample", "--run", runs / "gan", "--checkpoint", "5"])


def test_unlabelled_and_broken_folders(capsys, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    assert "images" in fails(capsys, vae, ["--source", f"folder:{images}", "--run", tmp_path / "run"])
    for i in range(20):
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(images / f"{i}.png")
    flags = ["--source", f"folder:{images}", "--image-size", "8", "--batch-size", "4", "--steps", "2"]
    assert "no labels" in fails(capsys, cgan, [*flags, "--run", tmp_path / "run"])
    (images / "torn.png").write_bytes(b"not a picture")
    message = fails(capsys, vae, [*flags, "--corrupt", "fail", "--run", tmp_path / "run"])
    assert "torn.png" in message
    small = ["--hidden", "8", "--latent", "2", "--importance-samples", "0"]
    main(vae.experiment, [*flags, *small, "--run", str(tmp_path / "run")])
    assert "torn.png" in capsys.readouterr().err
    assert (tmp_path / "run" / "traversals.gif").exists()
    assert not (tmp_path / "run" / "arithmetic.png").exists()  # that is of labels
    message = fails(capsys, vae, ["evaluate", "--run", tmp_path / "run", "--channels", "3"])
    assert "has {'image': (8, 8, 3, 'uint8')}, but the run was trained on {'image': (8, 8, 1, 'uint8')}" in message


def test_run_of_a_version_with_fewer_settings_is_read(runs, capsys, tmp_path):
    run = tmp_path / "vae"
    shutil.copytree(runs / "vae", run)
    described = json.loads((run / "config.json").read_text())
    del described["config"]["corrupt"]
    (run / "config.json").write_text(json.dumps(described))
    main(vae.experiment, ["sample", "--run", str(run), "--n", "4"])
    described["config"]["colour"] = 3
    (run / "config.json").write_text(json.dumps(described))
    assert "does not have: colour" in fails(capsys, vae, ["sample", "--run", run])


def test_data_of_more_classes_than_the_run_knows_are_refused(runs, capsys, tmp_path):
    for label in range(11):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        for i in range(20):
            image = np.full((8, 8), 20 * label + i, np.uint8)
            Image.fromarray(image).save(tmp_path / "images" / str(label) / f"{i}.png")
    message = fails(capsys, cgan, ["evaluate", "--run", runs / "cgan", "--source", f"folder:{tmp_path / 'images'}"])
    assert "has 11 classes, but the run's data had 10" in message
