"""The rules of the house, read from the source without running it: which module may import which, and what each holds.

Each complaint names the file and the line.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("jaxgen", "experiments", "tests", "benchmarks")

FLOORS = (
    {"types", "pixels", "sharding", "optimisers", "optional", "schedules"},
    {"layers"},
    {"networks", "losses", "diffusion"},
    {"models", "data"},
    {"training", "metrics"},
    {"evaluation", "report"},
    {"cli"},
    {"jaxgen"},  # `jaxgen/__init__.py`, and what says `from jaxgen import GAN`
    {"experiments"},
    {"tests", "benchmarks"},
)
"""From the ground up. A module imports from its own package and from lower floors."""

NEIGHBOURS = {("evaluation", "report"), ("diffusion", "losses")}
"""The imports between two packages of one floor that are allowed, beside those of the ground floor."""

GROUND_ONLY = {"data", "report"}
"""The packages that stand on the ground floor alone: data knows no models, report is arrays in, pictures out."""

FORBIDDEN = {("metrics", "models")}
"""Imports that run downwards and are forbidden nevertheless: metrics are arrays in, numbers out."""

MAX_LINES_OF_A_FILE = 400
MAX_LINES_OF_A_FUNCTION = 80

FLAX_METHODS = {"setup"}
NAMED_TUPLE_METHODS = {"_asdict", "_fields", "_make", "_replace"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def at(path: Path, node: ast.AST | int) -> str:
    return f"{path.relative_to(ROOT)}:{node if isinstance(node, int) else getattr(node, 'lineno', 1)}:"


def report(complaints: Iterator[str]) -> None:
    found = list(complaints)
    assert not found, f"{len(found)} complaints\n" + "\n".join(found)


def package_of(path: Path) -> str:
    """The package, or module of the ground floor, that a file belongs to."""
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return rest[0] if folder == "jaxgen" and rest[0] != "__init__" else folder


def modules_of(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Every module that a file imports, also inside functions, with the node of the import."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            if name == "jaxgen":  # `from jaxgen import losses` is an import of jaxgen.losses
                houses = set().union(*FLOORS)
                yield from ((node, f"jaxgen.{a.name}" if a.name in houses else name) for a in node.names)
            else:
                yield node, name


def test_imports_run_downwards():
    floor_of = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}

    def complaints() -> Iterator[str]:
        for path in files(*FOLDERS):
            own = package_of(path)
            if own not in floor_of:
                yield f"{at(path, 1)} {own} has no floor: give it one in FLOORS"
                continue
            for node, module in modules_of(path):
                if module.startswith("."):
                    yield f"{at(path, node)} imports {module} relatively: write the whole name"
                root, *rest = module.split(".")
                other = rest[0] if root == "jaxgen" and rest else root
                if root not in FOLDERS or other not in floor_of or other == own:
                    continue
                own_floor, floor = floor_of[own], floor_of[other]
                aside = floor == own_floor > 0 and (own, other) not in NEIGHBOURS
                if floor > own_floor and own != "jaxgen":
                    yield f"{at(path, node)} {own} imports {other}, which is a higher floor"
                elif (aside and own_floor < floor_of["jaxgen"]) or (own, other) in FORBIDDEN:
                    yield f"{at(path, node)} {own} must not import {other}"
                elif own in GROUND_ONLY and floor > 0:
                    yield f"{at(path, node)} {own} stands on the ground floor alone and imports {other}"

    report(complaints())


def test_files_and_functions_are_short():
    def complaints() -> Iterator[str]:
        for path in files(*FOLDERS):
            lines = len(path.read_text().splitlines())
            if lines > MAX_LINES_OF_A_FILE:
                yield f"{at(path, 1)} {lines} lines, of at most {MAX_LINES_OF_A_FILE}"
            for node in ast.walk(tree(path)):
                if isinstance(node, Function):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > MAX_LINES_OF_A_FUNCTION:
                        yield f"{at(path, node)} {node.name} has {lines} lines, of at most {MAX_LINES_OF_A_FUNCTION}"

    report(complaints())


def public(name: str) -> bool:
    return not name.startswith("_")


def test_public_names_have_docstrings():
    def undocumented(path: Path, owner: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
        for node in owner.body:
            if not isinstance(node, Function | ast.ClassDef) or not public(node.name) or node.name in FLAX_METHODS:
                continue
            if any("overload" in ast.unparse(decorator) for decorator in node.decorator_list):
                continue
            if not ast.get_docstring(node):
                yield f"{at(path, node)} {prefix}{node.name} has no docstring"
            if isinstance(node, ast.ClassDef):
                yield from undocumented(path, node, f"{prefix}{node.name}.")

    def complaints() -> Iterator[str]:
        for path in files("jaxgen"):
            if not ast.get_docstring(tree(path)):
                yield f"{at(path, 1)} the module has no docstring"
            yield from undocumented(path, tree(path), "")

    report(complaints())


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined_in(module: ast.Module) -> set[str]:
    """Every name that a file binds: functions, classes, variables, fields, and attributes of `self`."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    return names


def foreign_privates(path: Path) -> Iterator[str]:
    """Complains about private names that a file uses and does not define."""
    allowed = defined_in(tree(path)) | NAMED_TUPLE_METHODS
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in allowed:
            yield f"{at(path, node)} uses {ast.unparse(node)[-60:]}, which is private to another file"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if private(alias.name) and not (node.module or "").startswith("__"):
                    yield f"{at(path, node)} imports {alias.name}, which is private to {node.module}"


def test_private_names_stay_in_their_file():
    report(complaint for path in files("jaxgen", "experiments") for complaint in foreign_privates(path))


def test_private_methods_are_not_overridden_in_another_file():
    classes = {
        node.name: (path, node)
        for path in files("jaxgen", "experiments")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    }

    def ancestors(node: ast.ClassDef) -> Iterator[tuple[Path, ast.ClassDef]]:
        for base in node.bases:
            name = ast.unparse(base).split("[")[0].split(".")[-1]
            if name in classes and classes[name][1] is not node:
                yield classes[name]
                yield from ancestors(classes[name][1])

    def methods(node: ast.ClassDef) -> dict[str, Function]:
        return {item.name: item for item in node.body if isinstance(item, Function) and private(item.name)}

    def complaints() -> Iterator[str]:
        for path, node in classes.values():
            for home, ancestor in ancestors(node):
                for name in methods(node).keys() & methods(ancestor).keys():
                    if home != path:
                        yield f"{at(path, methods(node)[name])} {node.name}.{name} overrides that of {ancestor.name}"

    report(complaints())


def bound_in(module: ast.Module) -> set[str]:
    """The names that a module binds at its top level, imports included."""
    names = set()
    conditional = [item for node in module.body if isinstance(node, ast.If | ast.Try) for item in node.body]
    for node in module.body + conditional:
        if isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
    return names


def test_modules_say_what_is_public():
    def complaints() -> Iterator[str]:
        for path in files("jaxgen"):
            if path.name == "__main__.py":
                continue
            exported = [
                node.value
                for node in tree(path).body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            ]
            if exported:
                missing = set(ast.literal_eval(exported[0])) - bound_in(tree(path))
                yield from (f"{at(path, exported[0])} __all__ names {name}, which is not there" for name in missing)
            elif any(isinstance(node, Function | ast.ClassDef) and public(node.name) for node in tree(path).body):
                yield f"{at(path, 1)} has public names and no __all__"

    report(complaints())


def test_the_library_does_not_know_the_experiments():
    def complaints() -> Iterator[str]:
        for path in files("jaxgen"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(r"\bexperiments\.\w|import experiments", line):
                    yield f"{at(path, number)} {line.strip()}"

    report(complaints())


def test_tests_stand_alone_and_use_public_names():
    def complaints() -> Iterator[str]:
        for path in files("tests"):
            for node, module in modules_of(path):
                if module.startswith(".") or re.search(r"^(tests|conftest)(\.|$)|^test_", module):
                    yield f"{at(path, node)} imports {module}, which is a test file"
            yield from foreign_privates(path)

    report(complaints())
