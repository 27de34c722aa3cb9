"""Diffusion by its command line, in this process, at tiny size."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from support import SHORT, fails

from experiments import diffusion
from jaxgen.cli import main
from jaxgen.data import Dataset, load
from jaxgen.report import save_image
from jaxgen.training import read_metrics

TINY = [*SHORT, "--image-size", "8", "--width", "4", "--multipliers", "1", "--blocks", "1", "--warmup", "0.2"]
TINY += ["--timesteps", "20", "--sampling-steps", "4", "--mesh", "1"]
TINY += ["--ema", "0", "--learning-rate", "0.01"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_classifier):
    """Stopped after 8 of 12 steps, and resumed."""
    folder = tmp_path_factory.mktemp("diffusion") / "run"
    main(diffusion.experiment, [*TINY, "--run", str(folder), "--steps", "8"])
    main(diffusion.experiment, ["--run", str(folder), "--resume", "--steps", "12"])
    return folder


@pytest.fixture(scope="module")
def digit(run):
    path = run.parent / "digit.png"
    save_image(path, load("digits").arrays["image"][0])
    return path


def test_run_folder_is_complete(run):
    for name in ("samples", "trajectory", "interpolations", "inpainting", "neighbours", "curves"):
        assert np.asarray(Image.open(run / f"{name}.png")).std() > 1
    last = read_metrics(run)[-1]
    assert last["step"] == 12 and last["bits_per_dim"] > 0 and last["fid"] > 0 and 0 <= last["label_accuracy"] <= 1


def test_sampling_is_chosen_after_training(run, capsys, tmp_path):
    def picture(*flags):
        out = tmp_path / "grid.png"
        main(diffusion.experiment, ["sample", "--run", str(run), "--n", "10", "--out", str(out), *flags])
        return np.asarray(Image.open(out))

    assert (picture() != picture("--sampler", "ancestral", "--sampling-steps", "20")).any()
    assert (picture("--labels", "3") != picture("--labels", "3", "--guidance", "4")).any()
    sample = ["sample", "--run", run]
    assert "Expected one of ('ancestral', 'ddim'" in fails(capsys, diffusion, [*sample, "--sampler", "euler"])
    assert "unknown argument --truncation" in fails(capsys, diffusion, [*sample, "--truncation", "1"])
    assert "1 to the 20 timesteps" in fails(capsys, diffusion, [*sample, "--sampling-steps", "21"])


def test_samplers_that_do_not_exist_are_not_compared(run, capsys):
    samplers = ["samplers", "--run", str(run)]
    assert "--eval-samples 700: a multiple of 500" in fails(capsys, diffusion, [*samplers, "--eval-samples", "700"])
    for entry, message in {
        "ddim x": "'ddim x': a sampler (ancestral, ddim",
        "euler 5": "'euler 5': a sampler (ancestral, ddim",
        "ddim 0": "'ddim 0': 1 to the 20 timesteps",
        "ddim 50": "'ddim 50': 1 to the 20 timesteps",
    }.items():
        assert message in fails(capsys, diffusion, [*samplers, "--samplers", entry])
    assert not (run / "samplers.json").exists()


def test_samplers_and_scales_of_guidance_are_compared(run, capsys):
    chosen = ["--samplers", "ancestral", "ddim 5"]
    main(diffusion.experiment, ["samplers", "--run", str(run), "--eval-samples", "1000", *chosen])
    main(diffusion.experiment, ["guidance", "--run", str(run), "--scales", "0", "2", "--eval-samples", "500"])
    for name, variants in {"samplers": {"ancestral 20", "ddim 5"}, "guidance": {"w = 0", "w = 2"}}.items():
        found = json.loads((run / f"{name}.json").read_text())["figures"]
        assert found.keys() == variants and all(one["seconds"] > 0 and one["fid"] > 0 for one in found.values())
        assert {one["fake_samples"] for one in found.values()} == {1000.0 if name == "samplers" else 500.0}
        for picture in (name, f"{name}_samples"):
            assert np.asarray(Image.open(run / f"{picture}.png")).std() > 1


def test_images_are_edited_and_completed(run, digit, capsys):
    mask = digit.parent / "mask.png"
    save_image(mask, np.repeat(np.uint8([[[0]] * 4 + [[255]] * 4]), 8, axis=0))
    use = ["--run", str(run), "--input", str(digit), "--label", "0", "--n", "2"]
    main(diffusion.experiment, ["edit", *use, "--strength", "0.05"])
    main(diffusion.experiment, ["inpaint", *use, "--mask", str(mask)])
    assert capsys.readouterr().out.count("2 results beside the image") == 2
    page = np.asarray(Image.open(run / "inpaint.png"))
    width = page.shape[1] // 3
    right, made = (page[-30:, i * width + width // 2 + 8 : (i + 1) * width - 8] for i in (0, 1))
    np.testing.assert_array_equal(right, made)
    assert "strength=2.0" in fails(capsys, diffusion, ["edit", *use, "--strength", "2"])
    assert "10 classes" in fails(capsys, diffusion, ["edit", *use, "--label", "10"])


def test_what_does_not_fit_is_refused(capsys, tmp_path):
    new = ["--run", tmp_path / "new"]
    assert "choose points" in fails(capsys, diffusion, ["ddpm", "--source", "moons", "--no-flip", *new])
    assert "choose unet" in fails(capsys, diffusion, ["moons", "--source", "digits", *new])
    assert "--guidance 1.0: --conditional and" in fails(
        capsys, diffusion, [*TINY, "--no-conditional", "--guidance", "1", *new]
    )
    assert "no labels" in fails(capsys, diffusion, ["--source", "patches:photo:china", *new])
    assert "--warmup 12.0: a share" in fails(capsys, diffusion, [*TINY, "--warmup", "12", *new])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("preset", "shape"), [("mnist", (28, 28, 1)), ("ddpm", (32, 32, 3))])
def test_presets_make_a_step(preset, shape):
    """Traced without data or arithmetic."""
    config = diffusion.presets[preset]
    data = Dataset({"image": np.zeros((128, *shape), np.uint8), "label": np.zeros(128, np.int32)}, tuple("0123456789"))
    model = diffusion.experiment.build(config, data)
    spec = data.spec(config.batch_size)
    state = jax.eval_shape(model.init, jax.random.key(0), spec)
    after, metrics = jax.eval_shape(model.step, state, spec)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state) and "loss" in metrics
