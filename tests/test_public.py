"""The public face: what `import jaxgen` offers, and that it costs nothing before it is used."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jaxgen

ROOT = Path(__file__).parents[1]
MODULE = ast.parse(Path(jaxgen.__file__).read_text())


def test_importing_loads_nothing_and_names_load_their_module():
    code = (
        "import sys, jaxgen\n"
        "assert not {'jax', 'flax', 'numpy'} & set(sys.modules)\n"
        "assert jaxgen.types is sys.modules['jaxgen.types']\n"
        "assert 'jaxgen.models' not in sys.modules\n"
        "assert jaxgen.GAN is sys.modules['jaxgen.models'].GAN\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", jaxgen.__all__)
def test_every_public_name_is_there(name):
    assert getattr(jaxgen, name) is getattr(jaxgen, name)


def test_the_functions_and_models_are_those_of_their_modules():
    from jaxgen import cli, data, models, training
    from jaxgen.networks import nnx

    homes = {"Dataset": data, "load": data, "fit": training, "open_run": cli, "from_nnx": nnx}
    homes |= dict.fromkeys(models.__all__, models)
    assert set(homes) <= set(jaxgen.__all__)
    for name, home in homes.items():
        assert getattr(jaxgen, name) is getattr(home, name)


def test_type_checkers_and_completion_see_the_same_names():
    imports = [node for node in ast.walk(MODULE) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    seen = {alias.name for node in imports for alias in node.names if node.module.startswith("jaxgen")}
    assert seen | {"__version__"} == set(jaxgen.__all__) == set(dir(jaxgen))


def test_unknown_name_is_an_attribute_error_that_says_it():
    with pytest.raises(AttributeError, match="'jaxgen' has no attribute 'Gan'"):
        _ = jaxgen.Gan


def test_version_is_that_of_the_changelog_and_the_citation():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "jaxgen.__version__"}
    assert f"\n## [{jaxgen.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {jaxgen.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_package_says_that_it_is_typed():
    assert (Path(jaxgen.__file__).parent / "py.typed").is_file()
