"""python -m jaxgen.data prepare NAME: prepare a data set of TFDS for reading without TensorFlow."""

import sys

from jaxgen.data.tfds import prepare


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    if len(arguments) != 2 or arguments[0] != "prepare" or arguments[1].startswith("-"):
        asked = " ".join(arguments) or "nothing"
        print(f"usage: python -m jaxgen.data prepare NAME, such as mnist; given was {asked}", file=sys.stderr)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    try:
        print(f"prepared: {prepare(arguments[1])}")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
