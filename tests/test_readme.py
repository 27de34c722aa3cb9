import re
from pathlib import Path


def test_the_snippets_run_as_written():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert snippets
    for snippet in snippets:
        names: dict = {}
        exec(snippet, names)
        assert names["images"].shape == (16, 8, 8, 1)
