"""The zoo of GANs by its command line, in this process, at tiny size."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from support import SHORT, fails

from experiments import biggan, dcgan, infogan, lsgan, sngan, unrolled_gan, vae, wgan, wgan_gp
from jaxgen.cli import main, open_run
from jaxgen.data import Dataset
from jaxgen.models.infogan import Codes

TINY = ["--width", "8", "--image-size", "8"]
EXPERIMENTS = {
    "lsgan": (lsgan, [*TINY, "--packing", "2"]),
    "wgan": (wgan, [*TINY, "--discriminator-steps", "2", "--seeds", "2"]),
    "wgan_gp": (wgan_gp, [*TINY, "--discriminator-steps", "2"]),
    "sngan": (sngan, [*TINY, "--conditional"]),
    "unrolled_gan": (unrolled_gan, ["--unroll", "1", "--eval-every", "4", "--width", "8", "--latent", "2"]),
    "infogan": (infogan, ["--width", "4", "--image-size", "8"]),
    "biggan": (biggan, [*TINY, "--attention", "4", "--accumulation", "2", "--augmentation", "adaptive"]),
}
PICTURES = {
    "unrolled_gan": {"points.png"},
    "infogan": {"categories.png", "continuous_0.png", "continuous_1.png", "neighbours.png"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One short run of each experiment."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (module, flags) in EXPERIMENTS.items():
        with jax.debug_key_reuse("--seeds" not in flags):  # it sees reuse in every vmap of a scan over keys
            main(module.experiment, [*SHORT, *flags, "--run", str(folder / name)])
    return folder


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_run_folder_is_complete(runs, name):
    pictures = {"samples.png", "curves.png"} | PICTURES.get(name, {"interpolations.png", "neighbours.png"})
    assert {path.name for path in (runs / name).glob("*.png")} - {"diagnosis.png"} == pictures
    for picture in pictures:
        assert np.asarray(Image.open(runs / name / picture)).std() > 1


@pytest.mark.parametrize("module", [dcgan, lsgan, wgan, wgan_gp, sngan, infogan, biggan])
def test_presets_of_mnist_and_cifar_make_a_step(module):
    """Traced without data or arithmetic."""
    for preset, shape in {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}.items():
        if (config := module.presets.get(preset)) is None:
            continue
        data = Dataset({"image": np.zeros((0, *shape), np.uint8), "label": np.zeros(0, np.int32)}, tuple("0123456789"))
        model = module.experiment.build(config, data)
        n = config.batch_size * model.minibatches
        spec = {"image": jax.ShapeDtypeStruct((n, *shape), np.uint8), "label": jax.ShapeDtypeStruct((n,), np.int32)}
        state = jax.eval_shape(model.init, jax.random.key(0), spec)
        after, metrics = jax.eval_shape(model.step, state, spec)
        assert after.generator.params.keys() == state.generator.params.keys() and "generator_loss" in metrics


def test_figures_of_a_gan_are_stored_with_their_counts(runs):
    record = [json.loads(line) for line in (runs / "wgan_gp" / "metrics.jsonl").read_text().splitlines()][-1]
    assert record["real_samples"] == 1000 and record["fake_samples"] == 1000
    assert record["fid"] > 0 and 0 <= record["precision"] <= 1 and record["inception_score"] >= 1
    assert sum(record[f"share_{i}"] for i in range(10)) == pytest.approx(1)
    config = json.loads((runs / "wgan_gp" / "config.json").read_text())
    assert config["extractor"].startswith("classifier of digits")
    points = [json.loads(line) for line in (runs / "unrolled_gan" / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in points if "modes_covered" in r] == [4, 8, 12]


def test_population_shows_its_members_and_their_mean(runs, capsys, tmp_path):
    run = ["--run", str(runs / "wgan")]
    for member in (0, 1):
        main(
            wgan.experiment,
            ["sample", *run, "--member", str(member), "--n", "4", "--out", str(tmp_path / f"{member}.png")],
        )
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()
    assert "members are 0 to 1" in fails(capsys, wgan, ["sample", *run, "--member", "2"])
    main(wgan.experiment, ["evaluate", *run])
    figures = json.loads((runs / "wgan" / "evaluation.json").read_text())
    assert figures["fid"] > 0 and figures["fid_std"] > 0 and figures["extractor"].startswith("classifier of digits")
    assert "diagnose a single run" in fails(capsys, wgan, ["diagnose", *run])


def test_infogan_shows_the_codes_asked_for(runs, capsys, tmp_path):
    sample = ["sample", "--run", str(runs / "infogan")]

    def picture(labels, codes):
        flags = ["--labels", *labels, "--codes", *codes, "--n", "6", "--out", str(tmp_path / "grid.png")]
        main(infogan.experiment, [*sample, *flags])
        return np.asarray(Image.open(tmp_path / "grid.png"))

    asked = picture("37", ["0.5", "-1"])
    assert (picture("37", ["0.5", "-1"]) == asked).all()
    assert (picture("73", ["0.5", "-1"]) != asked).any() and (picture("37", ["9", "-1"]) != asked).any()
    run = open_run(runs / "infogan")
    codes = Codes(jnp.array([3, 3, 3, 7, 7, 7])[:, None], jnp.tile(jnp.array([0.5, -1.0]), (6, 1)))
    by_row = run.model.sample(run.state, jax.random.key(2), 6, codes)
    np.testing.assert_allclose(run.sample(6, seed=2, labels=(3, 7), codes=(0.5, -1.0)), by_row, atol=1e-5)
    assert "has 2 continuous codes" in fails(capsys, infogan, [*sample, "--codes", "0.5"])
    assert "labels are 0 to 9" in fails(capsys, infogan, [*sample, "--labels", "10"])
    assert "unknown argument --codes" in fails(capsys, lsgan, ["sample", "--run", runs / "lsgan", "--codes", "1"])


def test_truncation_of_the_latents(runs, capsys, tmp_path):
    run = ["--run", str(runs / "biggan")]
    main(biggan.experiment, ["truncation", *run, "--thresholds", "0.5"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["0.5", "none", "pictures"]
    found = json.loads((runs / "biggan" / "truncation.json").read_text())["figures"]
    assert found.keys() == {"0.5", "None"} and found["0.5"]["fid"] != found["None"]["fid"]
    for name in ("truncation", "truncation_samples"):
        assert np.asarray(Image.open(runs / "biggan" / f"{name}.png")).std() > 1

    def picture(*flags):
        main(biggan.experiment, ["sample", *run, "--n", "10", "--out", str(tmp_path / "grid.png"), *flags])
        return np.asarray(Image.open(tmp_path / "grid.png"))

    assert (picture() != picture("--truncation", "0.1")).any()
    assert (picture() != picture("--standing-statistics", "2")).any()
    assert "a positive number" in fails(capsys, biggan, ["sample", *run, "--truncation", "-1"])
    message = fails(capsys, infogan, ["sample", "--run", runs / "infogan", "--truncation", "1"])
    assert "unknown argument --truncation" in message
    assert "at least 0" in fails(capsys, biggan, ["sample", *run, "--standing-statistics", "-1"])
    new = ["--run", tmp_path / "new", "--image-size", "8"]
    assert "labels are needed" in fails(capsys, biggan, ["--source", "patches:photo:china", *new])
    assert "BigGAN-deep needs one" in fails(capsys, biggan, ["--deep", "--embedding", "None", *new])
    assert "a multiple of 2" in fails(capsys, biggan, ["--latent", "5", *new])
    assert "batch of 9" in fails(capsys, biggan, ["--batch-size", "9", "--accumulation", "2", *new])


def test_diagnosis_of_a_run(runs, capsys):
    main(unrolled_gan.experiment, ["diagnose", "--run", str(runs / "unrolled_gan")])
    printed = capsys.readouterr().out
    assert printed.startswith("verdict") and "largest real part" in printed and "note" not in printed
    assert np.asarray(Image.open(runs / "unrolled_gan" / "diagnosis.png")).std() > 1
    main(wgan_gp.experiment, ["diagnose", "--run", str(runs / "wgan_gp")])
    assert "eigenvalues are computed of up to 5,000" in capsys.readouterr().out
    assert "only the training of a GAN" in fails(capsys, vae, ["diagnose", "--run", runs / "vae"])
