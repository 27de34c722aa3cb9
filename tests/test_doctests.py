"""The examples in the docstrings of modules run as written, for three steps.

The convention: an indented block of a module's docstring that begins with an import is a whole program, which is run.
Every other block is an illustration.
"""

import ast
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def examples(docstring: str) -> list[str]:
    """The indented blocks that begin with an import."""
    blocks = re.findall(r"(?:^ {4}.*\n(?:[ \t]*\n)*)+", docstring + "\n", flags=re.M)
    return [code for block in blocks if re.match(r"(import|from) \w", code := textwrap.dedent(block).strip())]


EXAMPLES = [
    pytest.param(code, id=f"{path.relative_to(ROOT)}:{number}")
    for path in sorted((ROOT / "jaxgen").rglob("*.py"))
    for number, code in enumerate(examples(ast.get_docstring(ast.parse(path.read_text())) or ""))
]


def test_examples_are_the_blocks_that_begin_with_an_import():
    text = "Title.\n\n    import a\n\n    a.b(\n        1)\n\nMore.\n\n    c = d(e)\n\nLast:\n\n    from f import g\n"
    assert examples(text) == ["import a\n\na.b(\n    1)", "from f import g"]


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(re.sub(r"\bsteps=[\d_]+", "steps=3", code), {"__name__": "example"})
