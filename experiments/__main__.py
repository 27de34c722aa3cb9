"""Lists the experiments, one line each: `python -m experiments`."""

import ast
from pathlib import Path


def main() -> None:
    """Prints the name of each script and the first sentence of its documentation."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        print(f"{path.stem:24}{' '.join(doc.split(chr(10) * 2)[0].split())}")
    print("\npython -m experiments.NAME --help lists the settings, presets and commands of one.")


if __name__ == "__main__":
    main()
