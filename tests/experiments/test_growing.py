"""Progressive growing and SinGAN by their command lines, in this process, at tiny size."""

import numpy as np
import pytest
from PIL import Image
from support import fails

from experiments import progressive_gan, singan
from jaxgen.cli import main
from jaxgen.data import read_image
from jaxgen.training import read_metrics

GROW = ["--image-size", "8", "--width", "2", "--latent", "3", "--stage-images", "32", "--mesh", "1"]
SINGAN = ["--largest", "24", "--smallest", "13", "--scale-steps", "4", "--width", "2", "--log-every", "2"]
SINGAN += ["--mesh", "1"]


@pytest.fixture(scope="module")
def grown(tmp_path_factory, small_classifier):
    """Stages of 4 steps of 8 images and 4 of 16, stopped in the second and resumed there."""
    run = tmp_path_factory.mktemp("progressive") / "run"
    flags = [*GROW, "--factors", "1", "2", "--batch-size", "8", "--log-every", "1", "--eval-every", "4"]
    main(progressive_gan.experiment, [*flags, "--checkpoint-every", "1", "--steps", "5", "--run", str(run)])
    main(progressive_gan.experiment, ["--run", str(run), "--resume", "--steps", "8"])
    return run


def test_a_run_grows_and_resumes_in_its_stage(grown):
    seen = [(r["step"], r["side"], r["alpha"]) for r in read_metrics(grown) if "side" in r]
    assert seen == [*((i, 4, 1) for i in (1, 2, 3, 4)), (5, 8, 0), (6, 8, 0.5), (7, 8, 1), (8, 8, 1)]
    for name in ("samples", "stages", "interpolations", "neighbours", "curves"):
        assert np.asarray(Image.open(grown / f"{name}.png")).std() > 1
    height = np.asarray(Image.open(grown / "samples.png")).shape[0]
    assert np.asarray(Image.open(grown / "stages.png")).shape[0] == 2 * (height // 8)


def test_schedules_that_do_not_fit_are_refused(capsys, tmp_path):
    run = ["--run", tmp_path / "run"]
    assert "there are the sizes 4, 8" in fails(capsys, progressive_gan, [*GROW, "--factors", "1", "2", "2", *run])
    assert "at least 1 is needed" in fails(capsys, progressive_gan, [*GROW, "--stage-images", "0", *run])
    assert "unknown argument --linear-decay" in fails(capsys, progressive_gan, ["--linear-decay", *run])
    assert "28×28" in fails(capsys, progressive_gan, [*GROW, "--image-size", "28", *run])
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """An image file of 26 by 39 pixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    rows, columns = np.mgrid[:26, :39]
    image = np.stack([6 * columns, 9 * rows, 128 + 120 * np.sin(columns)], axis=-1)
    Image.fromarray(image.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def learned(photo):
    run = photo.parent / "run"
    main(singan.experiment, [*SINGAN, "--source", f"image:{photo}", "--run", str(run)])
    return run


def test_a_run_learns_scale_after_scale(learned):
    assert [(r["step"], r["scale"]) for r in read_metrics(learned) if "scale" in r] == [(2, 0), (4, 0), (6, 1), (8, 1)]
    last = read_metrics(learned)[-1]
    assert last["reconstruction_rmse"] > 0 and last["sifid_of_patches"] > 0 and last["diversity"] > 0
    for name, size in {"wide": (2 * 16, 2 * 24), "tall": (2 * 16, 24)}.items():
        page = np.asarray(Image.open(learned / f"{name}.png"))
        assert min(page.shape[:2]) > min(size) and page.std() > 1


def test_every_use_writes_its_picture(learned, photo, capsys, tmp_path):
    def use(*args):
        main(singan.experiment, [str(arg) for arg in args])
        return np.asarray(Image.open(capsys.readouterr().out.split()[-1]))

    run = ["--run", learned]
    assert use("sample", *run, "--n", 1, "--size", 20, 30).shape == (20, 30, 3)
    mask = tmp_path / "mask.png"
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(mask)
    made = use("paint", *run, "--input", photo, "--scale", 1, "--out", tmp_path / "painted.png")
    assert made.shape == (16, 24, 3) and made.std() > 1
    kept = use("edit", *run, "--input", photo, "--scale", 1, "--mask", mask)
    np.testing.assert_allclose(kept, read_image(photo, 3, (16, 24)), atol=40)  # nothing changes: only resized
    assert use("super-resolve", *run, "--input", photo, "--factor", 1.3).shape == (34, 51, 3)
    main(singan.experiment, ["super-resolve", "--run", str(learned), "--factor", "1.3", "--reference", str(photo)])
    assert "bicubic  PSNR" in capsys.readouterr().out
    assert use("animate", *run, "--frames", 3).shape[:2] == (16, 24)
    assert Image.open(learned / "animate.gif").format == "GIF"


def test_wrong_arguments_are_named(learned, photo, capsys, tmp_path):
    run = ["--run", learned]
    assert "--input" in fails(capsys, singan, ["paint", *run])
    assert "scales 1 to 1" in fails(capsys, singan, ["paint", *run, "--input", photo, "--scale", "2"])
    assert "no pixel" in fails(capsys, singan, ["sample", *run, "--size", "0", "9"])
    assert "more than 1" in fails(capsys, singan, ["super-resolve", *run, "--factor", "1"])
    assert "--alpha" in fails(capsys, singan, ["animate", *run, "--alpha", "2"])
    new = ["--mesh", "1", "--run", tmp_path / "new"]
    assert "at least 30 pixels" in fails(capsys, singan, ["--source", f"image:{photo}", "--smallest", "30", *new])
    many = ["--source", "digits", "--image-size", "20", "--smallest", "13", *new]
    assert "digits: 1497 images, but the model learns from one" in fails(capsys, singan, many)
    assert "an image is needed" in fails(capsys, singan, ["--source", "ring", *new])
    assert "cannot be read" in fails(capsys, singan, ["--source", "image:nothing.png", *new])
    assert "--batch-size" in fails(capsys, singan, ["--batch-size", "2", *new])


def test_a_run_of_singan_by_an_earlier_version_is_read_unless_it_mirrored_its_image():
    assert singan.SinGANConfig.read({"flip": False, "width": 4}) == singan.SinGANConfig(width=4)
    with pytest.raises(ValueError, match="fields that this version does not have: flip"):
        singan.SinGANConfig.read({"flip": True})
