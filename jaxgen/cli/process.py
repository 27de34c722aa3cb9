"""The process of a command: how it ends, the devices that it uses, the cache of compiled programs."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import jax
from jax.sharding import Mesh

from jaxgen.cli.config import Config
from jaxgen.cli.flags import one_line
from jaxgen.sharding import data_mesh
from jaxgen.training import Interrupted, NonFinite

__all__ = ["command_line", "mesh_of", "stop", "use_cpu_devices", "use_devices"]


@contextlib.contextmanager
def command_line(program: str, args: Sequence[str] | None = None) -> Iterator[None]:
    """Runs a command: warnings and errors are one line on stderr, and compiled programs are cached.

    A user's mistake exits with 2, a NaN with 1, and a signal with 128 plus its number.

    Args:
        program: how the user starts the command.
        args: the words of a command that `--resume` continues; None for other commands.
    """
    _use_compilation_cache()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"warning: {one_line(message)}", file=sys.stderr)
        try:
            yield
        except ValueError as error:
            stop(2, f"error: {one_line(error)}")
        except NonFinite as error:
            stop(1, f"stopped at {error}; the checkpoints before it are kept")
        except Interrupted as signalled:
            given = [arg for arg in args or () if arg not in ("--resume", "--overwrite")]
            again = " ".join(["; go on with:\n ", program, *given, "--resume"]) if args is not None else ""
            stop(128 + signalled.signum, f"{signalled}{again}")
        except KeyboardInterrupt:
            stop(130, "stopped at once" + ("; --resume goes on from the last checkpoint" if args is not None else ""))


def stop(code: int, message: str) -> NoReturn:
    """Ends the process with `code` and a message on stderr."""
    print(message, file=sys.stderr)
    raise SystemExit(code)


def use_devices(config: Config) -> None:
    """Chooses the devices of a command on a run with this config; it must be called before JAX starts.

    On a CPU, convolutional models and populations get one virtual device per core, as far as the batch or the members
    divide; other models get one device. On an accelerator this has no effect.
    """
    count = config.mesh
    if count is None and (config.convolutional or config.seeds > 1):
        count = _most(os.cpu_count() or 1, config.seeds if config.seeds > 1 else config.batch_size)
    use_cpu_devices(count or 1)


def mesh_of(config: Config) -> Mesh:
    """Returns the mesh that a config trains on: the number of devices that it names, or all.

    A population gets the most devices that share its members equally. ValueError for more devices than there are.
    """
    if config.mesh is None and config.seeds > 1:
        return data_mesh(_most(len(jax.devices()), config.seeds))
    return data_mesh(config.mesh)


def use_cpu_devices(count: int) -> None:
    """Splits the CPU into `count` virtual devices. It has no effect once JAX has started."""
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", count)


def _most(devices: int, shared: int) -> int:
    """The largest number of devices that divides `shared`."""
    return max(n for n in range(1, devices + 1) if shared % n == 0)


def _use_compilation_cache() -> None:
    """Keeps compiled programs; JAX_COMPILATION_CACHE_DIR moves them, JAX_ENABLE_COMPILATION_CACHE=false disables."""
    if not jax.config.values["jax_compilation_cache_dir"]:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "jaxgen" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
