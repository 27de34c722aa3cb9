import importlib.util

import pytest

from jaxgen.data.__main__ import main

pytest.importorskip("tensorflow_datasets")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: python -m jaxgen.data prepare NAME"),
        (["prepare"], "given was prepare"),
        (["remove", "mnist"], "given was remove mnist"),
        (["prepare", "--all"], "given was prepare --all"),
        (["prepare", "nonesuch"], "error: tfds:nonesuch: Dataset nonesuch not found"),
        (["prepare", "mnist"], 'error: preparing mnist needs TensorFlow; run pip install "jaxgen[tensorflow]"'),
    ],
)
def test_prepare_says_what_is_wrong_on_one_line(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
