"""The experiments of flows by their command line, in this process, at tiny size."""

import json

import jax
import numpy as np
import pytest
from PIL import Image
from support import SHORT, fails

from experiments import glow, realnvp
from jaxgen.cli import main
from jaxgen.data import Dataset
from jaxgen.evaluation import density

TINY = ["--width", "4", "--flow-steps", "2"]
EXPERIMENTS = {
    "realnvp": (realnvp, ["--width", "4", "--blocks", "1", "--dequantisation", "variational"]),
    "glow": (glow, [*TINY, "--levels", "1", "--conditional", "--temperature", "0.7"]),
    "moons": (realnvp, ["moons", *TINY]),
}
OF_IMAGES = {"arithmetic.png", "interpolations.png", "temperatures.png"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One short run of each experiment."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(density, "SIDE", 200)
        for name, (module, flags) in EXPERIMENTS.items():
            preset = [flag for flag in flags[:1] if flag in module.presets]
            main(module.experiment, [*preset, *SHORT, *flags[len(preset) :], "--run", str(folder / name)])
    return folder


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_run_folder_is_complete(runs, name):
    pictures = {"samples.png", "curves.png"} | ({"density.png"} if name == "moons" else OF_IMAGES)
    assert {path.name for path in (runs / name).glob("*.png")} == pictures
    for picture in pictures:
        assert np.asarray(Image.open(runs / name / picture)).std() > 1
    figures = json.loads((runs / name / "metrics.jsonl").read_text().splitlines()[-1])
    assert figures.pop("step") and figures.pop("kind") == "evaluation"
    if name == "moons":
        assert figures.keys() == {"test_nll", "kl_to_truth", "integral", "test_points"}
        assert figures["kl_to_truth"] > 0
    else:
        assert figures.pop("test_examples") == 300
        assert figures.keys() == {"test_bits_per_dim"} | ({"test_accuracy"} if name == "glow" else set())
        assert 0 < figures["test_bits_per_dim"] < 10


def test_samples_of_one_class_at_a_temperature(runs, capsys, tmp_path):
    sample = ["sample", "--run", str(runs / "glow"), "--n", "4", "--out", str(tmp_path / "grid.png")]

    def tiles(*flags):
        main(glow.experiment, [*sample, *flags])
        page = np.asarray(Image.open(tmp_path / "grid.png"))[2:-2, 2:]
        return [page[:, i * 34 : i * 34 + 32] for i in range(4)]

    of_the_run = tiles("--labels", "3")
    np.testing.assert_array_equal(tiles("--labels", "3", "--temperature", "0.7"), of_the_run)
    assert (of_the_run[0] != of_the_run[1]).any() and (np.array(tiles("--labels", "5")) != of_the_run).any()
    cold = tiles("--labels", "3", "--temperature", "0")
    assert all((tile == cold[0]).all() for tile in cold)
    assert "--temperature -1.0: at least 0" in fails(capsys, glow, [*sample, "--temperature", "-1"])
    assert "unknown argument --truncation" in fails(capsys, glow, [*sample, "--truncation", "1"])


@pytest.mark.parametrize("module", [glow, realnvp])
def test_presets_of_mnist_and_cifar_make_a_step(module):
    """Traced without data or arithmetic."""
    for preset, shape in {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}.items():
        config = module.presets[preset]
        model = module.experiment.build(config, Dataset({"image": np.zeros((0, *shape), np.uint8)}))
        spec = {"image": jax.ShapeDtypeStruct((config.batch_size, *shape), np.uint8)}
        state = jax.eval_shape(model.init, jax.random.key(0), spec)
        _, metrics = jax.eval_shape(model.step, state, spec)
        assert {"loss", "finite_layers"} <= metrics.keys()
        if (module, preset) == (glow, "cifar10"):
            assert sum(x.size for x in jax.tree.leaves(state.params)) == 44_603_604


@pytest.mark.parametrize(
    ("module", "args", "message"),
    [
        (realnvp, ["--levels", "5"], "image size 8×8: 4 halvings need sides that are multiples of 16"),
        (glow, ["--levels", "4"], "image size 8×8: 4 halvings"),
        (glow, ["--image-size", "9"], "image size 9×9: 2 halvings"),
        (glow, ["--source", "moons"], "moons has points, not images"),
        (glow, ["--flow-steps", "0"], "--flow-steps 0: at least 1 is needed"),
        (glow, ["--bits", "9"], "bits=9: 1 to 8 are allowed"),
        (realnvp, ["--alpha", "0.7"], "alpha=0.7: at least 0 and less than 0.5"),
        (realnvp, ["swissroll", "--conditional"], "--conditional: swissroll has no labels"),
        (realnvp, ["moons", "--dequantisation", "variational"], "points are continuous"),
        (realnvp, ["--draws", "0"], "--draws 0: at least 1"),
        (realnvp, ["--warmup", "5"], "--warmup 5.0: a share of the steps"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, module, args, message):
    assert message in fails(capsys, module, [*args, "--run", tmp_path / "run"])
    assert not (tmp_path / "run").exists()
