"""Translation from images to images by its command line, in this process, at tiny size."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from support import SHORT, fails

from experiments import cyclegan, discogan, pix2pix, stargan, vae
from jaxgen.cli import main, open_run
from jaxgen.data import Attribute, Dataset
from jaxgen.training import read_metrics

TINY = ["--width", "2", "--discriminator-width", "2", "--batch-size", "8", "--decay-from", "0.5"]
EXPERIMENTS = {
    "pix2pix": (pix2pix, ["--image-size", "32", "--flip", "--jitter"]),
    "cyclegan": (cyclegan, ["--image-size", "16", "--blocks", "1", "--pool-size", "20", "--identity-weight", "0.5"]),
    "discogan": (discogan, ["--image-size", "16", "--curriculum", "0.28"]),
    "stargan": (stargan, ["joint", "--image-size", "8", "--blocks", "1", "--discriminator-steps", "2"]),
}


@pytest.fixture(autouse=True, scope="module")
def small(small_classifier):
    """StarGAN's classifiers learn for 30 steps, its data are few."""
    from jaxgen.data import attributes
    from jaxgen.evaluation import classifier

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", 30)
        patch.setattr(attributes, "SPRITES", {"train": 200, "test": 40})
        yield


def command(name, run, steps):
    module, flags = EXPERIMENTS[name]
    short = [*SHORT, *TINY, "--steps", str(steps), "--run", str(run)]
    first = [flags[0]] if not flags[0].startswith("-") else []
    main(module.experiment, [*first, *short, *flags[len(first) :]])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One short run of each experiment."""
    folder = tmp_path_factory.mktemp("runs")
    for name in EXPERIMENTS:
        command(name, folder / name, 12)
    return folder


def state_of(name, run):
    experiment = EXPERIMENTS[name][0].experiment
    return open_run(run, experiment=experiment).state


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_that_is_stopped_and_resumed_ends_in_the_same_state(runs, tmp_path, name):
    """The pools, the schedules and the falling learning rates included: bit for bit."""
    run = tmp_path / name
    shutil.copytree(runs / name, run)
    kept = [path for path in (run / "checkpoints").iterdir() if path.name.isdigit()]
    first, *later = sorted(kept, key=lambda path: int(path.name))
    assert int(first.name) < 12 and later
    for path in later:
        shutil.rmtree(path)
    main(EXPERIMENTS[name][0].experiment, ["--run", str(run), "--resume"])
    assert [record["step"] for record in read_metrics(run)] == [r["step"] for r in read_metrics(runs / name)]
    whole, resumed = (jax.tree.leaves(state_of(name, one)) for one in (runs / name, run))
    for a, b in zip(whole, resumed, strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = (jax.random.key_data(x) for x in (a, b))
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_has_figures_and_pictures(runs, name):
    figures = {key for record in read_metrics(runs / name) for key in record}
    wanted = {
        "pix2pix": {"l1", "psnr", "ssim", "ssim_of_source", "ssim_of_nearest"},
        "cyclegan": {"right_a", "right_b", "cycle_l1_a", "cycle_l1_b", "l1_of_a_to_b", "identity_a"},
        "discogan": {"right_a", "right_b", "cycle_l1_a", "cycle_l1_b", "matching_a"},
        "stargan": {"asked_accuracy", "kept_accuracy", "transferred_accuracy", "reconstruction"},
    }[name]
    assert wanted <= figures
    for picture in ("samples.png", "curves.png"):
        assert np.asarray(Image.open(runs / name / picture)).std() > 1


def test_sample_shows_random_test_images(runs, capsys, tmp_path):
    def picture(seed):
        out = str(tmp_path / "rows.png")
        flags = ["sample", "--run", str(runs / "cyclegan"), "--n", "3", "--seed", seed, "--out", out]
        main(cyclegan.experiment, flags)
        return np.asarray(Image.open(out))

    assert picture("1").shape == picture("2").shape
    assert (picture("1") == picture("1")).all() and (picture("1") != picture("2")).any()
    labelled = ["sample", "--run", runs / "pix2pix", "--labels", "3"]
    assert "unknown argument --labels" in fails(capsys, pix2pix, labelled)


@pytest.mark.parametrize(
    ("name", "domains"),
    [
        ("pix2pix", ["target"]),
        ("cyclegan", ["a", "b"]),
        ("discogan", ["a", "b"]),
        ("stargan", ["red", "green", "blue", "yellow", "square", "ellipse", "heart"]),
    ],
)
def test_translate_files(runs, tmp_path, capsys, name, domains):
    module = EXPERIMENTS[name][0]
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for i, (mode, shape) in enumerate([("L", (40, 50)), ("RGB", (32, 32, 3)), ("RGBA", (64, 32, 4))]):
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8), mode).save(tmp_path / "in" / f"{i}.png")
    Image.fromarray(rng.integers(0, 2**16, (32, 32)).astype(np.uint16)).save(tmp_path / "in" / "3.png")
    run = ["translate", "--run", str(runs / name)]
    main(module.experiment, [*run, "--input", str(tmp_path / "in")])
    told = capsys.readouterr()
    assert f"{4 * len(domains)} translations of 4 images by step 12" in told.out
    assert "what is transparent becomes white" in told.err and "only the upper 8 of the 16 bits" in told.err
    written = {path.name for path in (runs / name / "translations").iterdir()}
    assert written == {f"{i}-{domain}.png" for i in range(4) for domain in domains}
    size = open_run(runs / name).config.image_size
    assert Image.open(runs / name / "translations" / f"0-{domains[0]}.png").size == (size, size)

    one = [*run, "--input", str(tmp_path / "in" / "2.png"), "--to", domains[-1], "--out", str(tmp_path / "out")]
    if name in ("discogan", "stargan"):
        assert f"--keep-size: the networks of this run are for {size}×{size} pixels" in fails(
            capsys, module, [*one, "--keep-size"]
        )
    else:
        main(module.experiment, [*one, "--keep-size"])
        assert [path.name for path in (tmp_path / "out").iterdir()] == [f"2-{domains[-1]}.png"]
        assert Image.open(tmp_path / "out" / f"2-{domains[-1]}.png").size == (32, 64)
    message = f"--to c: this run translates to {', '.join(domains)}"
    assert message in fails(capsys, module, [*run, "--input", tmp_path / "in", "--to", "c"])


def test_what_cannot_be_translated(runs, tmp_path, capsys):
    run = ["translate", "--run", runs / "pix2pix", "--input"]
    assert "no such file, and no folder with an image" in fails(capsys, pix2pix, [*run, tmp_path / "none"])
    for name in ("same.png", "same.jpg"):
        Image.new("L", (32, 32)).save(tmp_path / name)
    assert "two images are called same" in fails(capsys, pix2pix, [*run, tmp_path])
    (tmp_path / "text.png").write_text("no image")
    assert "text.png cannot be read" in fails(capsys, pix2pix, [*run, tmp_path / "text.png"])
    Image.new("L", (33, 32)).save(tmp_path / "odd.png")
    odd = [*run, tmp_path / "odd.png", "--keep-size"]
    assert "image size 32×33: 5 halvings need sides that are multiples" in fails(capsys, pix2pix, odd)
    wrong = ["translate", "--run", runs / "cyclegan", "--input", tmp_path]
    assert "is a run of the experiment cyclegan, not of discogan" in fails(capsys, discogan, wrong)
    assert "this model does not translate images" in fails(capsys, vae, wrong)


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        (
            pix2pix,
            ["--source", "digits"],
            "digits: pairs are needed, of a source such as outline:digits or paired:PATH",
        ),
        (cyclegan, ["--source", "digits"], "digits: two domains are needed"),
        (stargan, ["--source", "digits"], "digits: attributes are needed"),
        (pix2pix, ["--image-size", "36"], "image size 36×36: 5 halvings need sides that are multiples of 32"),
        (pix2pix, ["--field", "286"], "image size 32×32: too small for patches of 286 pixels"),
        (cyclegan, ["--image-size", "18"], "image size 18×18: 2 halvings need sides that are multiples of 4"),
        (cyclegan, ["--decay-from", "5000"], "--decay-from 5000.0: a share of the steps, 0 to 1, is needed"),
        (discogan, ["--generator-steps", "0"], "--generator-steps 0: at least 1"),
        (discogan, ["--curriculum", "500"], "--curriculum 500.0: a share of the steps, 0 to 1, is needed"),
        (stargan, ["--source", "sprites-attributes:size"], "no attribute size; allowed are colour, shape, scale"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(capsys, tmp_path, module, flags, message):
    assert message in fails(capsys, module, ["--run", tmp_path / "run", *flags])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("module", "preset"), [(pix2pix, "facades"), (cyclegan, "photos"), (discogan, "photos"), (stargan, "celeba")]
)
def test_settings_of_the_papers_make_a_step(module, preset):
    """Traced without data or arithmetic."""
    config = module.presets[preset]
    size = config.image_size
    names = {pix2pix: ["source", "target"], stargan: ["image"]}.get(module, ["a", "b"])
    arrays = {name: np.zeros((0, size, size, 3), np.uint8) for name in names}
    attributes = (Attribute("hair", ("black", "blond", "brown")), Attribute("Male"), Attribute("Young"))
    if module is stargan:
        arrays["attributes"] = np.zeros((0, 5), np.int32)
    model = module.experiment.build(config, Dataset(arrays, attributes=attributes))
    n = config.batch_size * getattr(model, "minibatches", 1)
    spec = {name: jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype) for name, x in arrays.items()}
    state = jax.eval_shape(model.init, jax.random.key(0), spec)
    after, _ = jax.eval_shape(model.step, state, spec)
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_attributes_of_another_name_are_refused(runs, capsys):
    other = [
        "evaluate",
        "--run",
        runs / "stargan",
        "--source",
        "joint:sprites-attributes:shape+sprites-attributes:colour",
    ]
    assert "has the attributes square, ellipse, heart, red" in fails(capsys, stargan, other)
    stored = json.loads((runs / "stargan" / "config.json").read_text())["data"]["attributes"]
    assert stored[1] == dataclasses.asdict(Attribute("shape", ("square", "ellipse", "heart"), 1)) | {
        "values": ["square", "ellipse", "heart"]
    }
