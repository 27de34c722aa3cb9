"""Run folders opened as objects: runs of today, of an earlier version, moved, damaged, of populations."""

import json
import shutil
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgen
from experiments import gan
from jaxgen.cli import main

STORED = Path(__file__).parent / "runs_of_0_1.zip"
"""Short runs of tiny networks that version 0.1 trained, and the sums of their parameters four steps later."""
EXPECTED = json.loads(zipfile.ZipFile(STORED).read("expected.json"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The runs of version 0.1, unpacked."""
    folder = tmp_path_factory.mktemp("stored")
    zipfile.ZipFile(STORED).extractall(folder)
    return folder


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_of_version_0_1_opens_samples_and_resumes(stored, name):
    run = jaxgen.open_run(stored / name)
    assert run.step == 4 and run.metrics[-1]["step"] == 4
    if name != "cyclegan":  # which translates
        samples = np.asarray(run.sample(10, seed=1))
        assert len(samples) == 10 and np.isfinite(samples).all()
    main(run.experiment, ["--run", str(stored / name), "--resume", "--steps", "8", "--mesh", "1"])
    state = jaxgen.open_run(stored / name).state
    kernels = {
        jax.tree_util.keystr(path): float(np.abs(np.asarray(leaf, np.float64)).sum())
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
        if jax.tree_util.keystr(path) in EXPECTED[name] and jax.tree_util.keystr(path).endswith("['kernel']")
    }
    # Biases before a normalisation have no gradient but rounding, whose sign Adam follows.
    assert kernels == pytest.approx({leaf: EXPECTED[name][leaf] for leaf in kernels}, rel=2e-3)
    assert len(kernels) == sum(leaf.endswith("['kernel']") for leaf in EXPECTED[name]) > 0


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    """A run of two seeds."""
    run = tmp_path_factory.mktemp("population") / "run"
    with jax.debug_key_reuse(False):  # it sees reuse in every vmap of a scan over keys
        main(gan.experiment, ["ring", "--width", "4", "--steps", "4", "--seeds", "2", "--run", str(run)])
    return run


def test_a_population_opens_with_its_members(population):
    run = jaxgen.open_run(population)
    assert len(run.states) == 2
    first, second = (np.asarray(run.sample(8, member=i)) for i in range(2))
    assert (first != second).any()
    with pytest.raises(ValueError, match="member 2: this run's members are 0 to 1"):
        run.sample(8, member=2)


def test_mistakes_are_named(population, tmp_path):
    run = jaxgen.open_run(population)
    with pytest.raises(ValueError, match="colour: gan samples with labels, truncation"):
        run.sample(8, colour=3)
    with pytest.raises(ValueError, match="--n 0: at least 1"):
        run.sample(0)
    with pytest.raises(ValueError, match="not the folder of a run"):
        jaxgen.open_run(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(population, copy)
    record = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(record | {"module": "no.such", "file": "/no/such.py"}))
    with pytest.raises(ValueError, match=r"its experiment no\.such cannot be imported; pass open_run"):
        jaxgen.open_run(copy)
    assert jaxgen.open_run(copy, experiment=gan.experiment).step == 4
    (copy / "config.json").write_text(json.dumps(record | {"config": record["config"] | {"colour": 3}}))
    with pytest.raises(ValueError, match="does not have: colour"):
        jaxgen.open_run(copy)
