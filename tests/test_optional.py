import json

import pytest

from jaxgen.optional import require


def test_an_installed_module_is_returned():
    assert require("json", "a test") is json
    assert require("json.decoder", "a test").__name__ == "json.decoder"


def test_a_missing_package_is_named_with_what_needs_it_and_how_to_install_it():
    with pytest.raises(ValueError, match=r'^the test needs the package absent_: pip install "absent_"$'):
        require("absent_.part", "the test")
    with pytest.raises(ValueError, match=r'^the test needs the package absent_: pip install "jaxgen\[x\]"$'):
        require("absent_", "the test", "jaxgen[x]")


def test_what_an_installed_package_lacks_is_named(tmp_path, monkeypatch):
    (tmp_path / "halfway_there.py").write_text("import absent_.inner\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r'which needs absent_: pip install "halfway_there" "absent_"$'):
        require("halfway_there", "the test")


def test_an_error_inside_a_package_passes_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("raise OSError('no driver')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OSError, match="no driver"):
        require("broken_inside", "the test")
