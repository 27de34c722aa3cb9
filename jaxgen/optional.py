"""Packages that only some features need: imported where they are used, with a message that says how to install them."""

import importlib
from types import ModuleType

__all__ = ["require"]


def require(module: str, what_for: str, install: str | None = None) -> ModuleType:
    """Imports `module`, such as "sklearn.datasets", and returns it.

    - `what_for`: what needs it, as the subject of the message: "the source digits".
    - `install`: what to hand to `pip install`; the name of the top-level package where it is left out.

    Raises `ValueError`, on one line that names the package, if the package of `module` or one that it imports is
    missing. An error inside an installed package passes as it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        missing = (error.name or top).partition(".")[0]
        package = install or top
        also = "" if missing == top else f", which needs {missing}"
        command = f'pip install "{package}"' if missing == top else f'pip install "{package}" "{missing}"'
        raise ValueError(f"{what_for} needs the package {top}{also}: {command}") from error
