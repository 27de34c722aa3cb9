"""Figures of folders, by the command line in this process."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxgen.metrics import Extractor
from jaxgen.metrics import __main__ as program


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Forty images each: `real`, `same` with other names, `noise`; and `large`, of another size."""
    root, random = tmp_path_factory.mktemp("folders"), np.random.default_rng(0)
    ramp = np.linspace(0, 200, 12)[:, None, None] * np.ones((12, 12, 3))
    for i in range(40):
        image = (ramp + random.uniform(0, 55, (1, 1, 3)) + random.uniform(0, 9, ramp.shape)).clip(0, 255)
        noise = random.integers(0, 256, (12, 12, 3))
        named = {"real": (image, f"{i}"), "same": (image, f"a/{99 - i}"), "noise": (noise, f"{i}")}
        named["large"] = (np.kron(image, np.ones((2, 2, 1))), f"{i}")
        for folder, (pixels, name) in named.items():
            path = root / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


def run(capsys, *args):
    """The exit code, the table on stdout as a dictionary, and the lines on stderr that are no warnings."""
    code = program.main([str(arg) for arg in args])
    captured = capsys.readouterr()
    table = dict((line[:24].strip(), line[25:]) for line in captured.out.splitlines() if line[24:25] == " ")
    return code, table, [line for line in captured.err.splitlines() if not line.startswith("warning")]


@pytest.mark.parametrize("extractor", ["random", "pixels"])
def test_the_same_images_are_at_no_distance_and_noise_is_far(folders, capsys, extractor):
    code, same, _ = run(capsys, folders / "real", folders / "same", "--extractor", extractor)
    assert code == 0 and float(same["fid"]) == pytest.approx(0, abs=1e-6)
    assert float(same["precision"]) == float(same["recall"]) == float(same["coverage"]) == 1
    assert same["extractor"].startswith(extractor) and same["resize"] == "none" and same["colours"] == "RGB"
    assert same["images"] == "40 real, 40 generated" and "inception score" not in same
    _, noise, _ = run(capsys, folders / "real", folders / "noise", "--extractor", extractor)
    assert float(noise["fid"]) > 1e3 * max(float(same["fid"]), 1e-6) and float(noise["coverage"]) == 0


def test_size_and_number_are_chosen_and_said(folders, capsys):
    code, table, _ = run(capsys, folders / "real", folders / "large", "--image-size", "12", "--n", "30")
    assert code == 0 and table["resize"] == "to 12×12, bicubic" and table["images"] == "30 real, 30 generated"


def test_inception_has_its_score_and_its_resize(folders, capsys, monkeypatch):
    """With a small network in the place of Inception, whose logits are sure of one class."""

    def small(path):
        means = lambda image: np.asarray(image, np.float64).mean((1, 2))  # noqa: E731
        return Extractor(f"weights of {path}", means, lambda features: np.eye(4)[np.zeros(len(features), int)] * 99)

    monkeypatch.setattr(program, "inception_extractor", small)
    code, table, _ = run(capsys, folders / "real", folders / "same", "--inception", "w.pth")
    assert code == 0 and table["extractor"] == "weights of w.pth" and table["resize"] == "to 299×299, bilinear"
    assert float(table["inception score"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["real", "nowhere"], "nowhere: there is no such folder"),
        (["real", "."], "0.png has 24×24 pixels, others 12×12: choose an --image-size"),
        (["real", "real", "--n", "41"], "--n 41: "),
        (["real", "real", "--n", "0"], "--n 0: at least 1"),
        (["real", "real", "--n", "9"], "KID"),
        (["real", "real", "--extractor", "pixels", "--image-size", "64"], "12288 values, of at most 3072"),
        (["real", "real", "--inception", "none.pth"], "none.pth"),
    ],
)
def test_mistakes_are_one_line(folders, capsys, args, message):
    paths = [folders / arg if arg in ("real", "nowhere", ".") else arg for arg in args]
    code, _, lines = run(capsys, *paths)
    assert code == 2 and len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]


def test_it_is_a_program():
    helped = subprocess.run([sys.executable, "-m", "jaxgen.metrics", "--help"], capture_output=True, text=True)
    assert helped.returncode == 0 and "--inception" in helped.stdout
