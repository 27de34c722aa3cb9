"""Prepares a data set of TFDS for reading without TensorFlow: python -m jaxgen.data prepare NAME."""

import sys

from jaxgen.data.tfds import prepare

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Runs the command line and returns the exit code."""
    if len(arguments) != 2 or arguments[0] != "prepare" or arguments[1].startswith("-"):
        given = " ".join(arguments) or "nothing"
        print(f"usage: python -m jaxgen.data prepare NAME, such as mnist; given was {given}", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        print(f"prepared: {prepare(arguments[1])}")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
