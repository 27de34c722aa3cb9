import json

import pytest

from jaxgen.cli.folder import begin, check_same, claim, describe, read_record

RECORD = {"experiment": "own", "config": {"seed": 0}}


def test_lifecycle_of_a_folder(tmp_path):
    run = tmp_path / "run"
    assert claim(run, resume=False, overwrite=False) is None and not run.exists()
    assert claim(run, resume=True, overwrite=False) is None
    begin(run, overwrite=False)
    describe(run, RECORD)
    (run / "old.png").write_text("")
    assert claim(run, resume=True, overwrite=False) == RECORD
    with pytest.raises(ValueError, match="exists: choose --resume, --overwrite or another --run"):
        claim(run, resume=False, overwrite=False)
    with pytest.raises(ValueError, match="exists: choose --overwrite or another --run"):
        claim(run, resume=False, overwrite=False, resumable=False)
    with pytest.raises(ValueError, match="choose one"):
        claim(run, resume=True, overwrite=True)
    assert claim(run, resume=False, overwrite=True) is None and (run / "old.png").exists()
    begin(run, overwrite=True)
    assert list(run.iterdir()) == []


def test_a_folder_of_something_else_is_kept(tmp_path):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(ValueError, match="not the folder of a run"):
        claim(tmp_path, resume=False, overwrite=True)
    assert (tmp_path / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize("text", ["{", "[]", '{"experiment": "own"}', '{"experiment": 3, "config": {}}'])
def test_a_torn_record_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="not readable as the settings of a run"):
        read_record(tmp_path)


def test_a_record_of_a_study_before_0_2_is_read(tmp_path):
    (tmp_path / "study.json").write_text(json.dumps({"script": "experiments.own", "seed": 0}))
    assert read_record(tmp_path) == RECORD
    assert claim(tmp_path, resume=True, overwrite=False) == RECORD


def test_settings_that_compute_something_else_are_named(tmp_path):
    theirs = {"seed": 0, "steps": 3, "width": 4, "eval_every": 1}
    check_same(theirs | {"steps": 9, "eval_every": 0}, theirs, tmp_path)
    with pytest.raises(ValueError, match="seed is 0, not 1; width is 4, not 5"):
        check_same(theirs | {"seed": 1, "width": 5}, theirs, tmp_path)
