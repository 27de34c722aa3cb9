"""What the benchmarks against PyTorch share: their command line, and the step rates of jaxgen's loop."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["READINGS", "compare", "steps_per_second"]

READINGS = 5
"""The number of readings of the clock in one process, after one to warm up."""


def steps_per_second(model: Any, data: Any, batch_size: int, steps: int, devices: int | None) -> list[float]:
    """Trains with jaxgen's loop and returns the steps per second that it logs, `READINGS` of them.

    Args:
        model: the model.
        data: its data set.
        batch_size: the number of examples in a minibatch.
        steps: the number of steps between two readings.
        devices: the number of devices of the mesh on a CPU; None: all.
    """
    import jax

    from jaxgen.sharding import data_mesh
    from jaxgen.training import fit, read_metrics

    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            data,
            steps=(READINGS + 1) * steps,
            batch_size=batch_size,
            run=Path(folder),
            mesh=data_mesh(devices if jax.default_backend() == "cpu" else None),
            log_every=steps,
            checkpoint_every=0,
            progress=False,
        )
        records = read_metrics(folder)
    return [record["steps_per_second"] for record in records if "steps_per_second" in record]


def compare(
    module: str,
    doc: str | None,
    systems: Mapping[str, Sequence[Any]],
    measure_pytorch: Callable[[str], list[float]],
    measure_jaxgen: Callable[[str], list[float]],
) -> None:
    """Runs the command line of `python -m MODULE`: the two libraries take turns at each system, and every measurement
    is a process of its own.

    Args:
        module: the name of the module.
        doc: its help.
        systems: settings by the name of the system, the batch size first.
        measure_pytorch: a function from the name of a system to PyTorch's steps per second, read several times.
        measure_jaxgen: the same function for jaxgen.
    """
    measure = {"pytorch": measure_pytorch, "jaxgen": measure_jaxgen}
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="the number of processes of each library for each system")
    parser.add_argument("--measure", nargs=2, metavar=("LIBRARY", "SYSTEM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        library, system = options.measure
        print(json.dumps(measure[library](system)))
        return
    for system, (batch_size, *_) in systems.items():
        rates: dict[str, list[float]] = {library: [] for library in measure}
        for _ in range(options.rounds):
            for library, found in rates.items():
                command = [sys.executable, "-m", module, "--measure", library, system]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                found.append(statistics.median(json.loads(output.splitlines()[-1])))
        theirs, ours = (statistics.median(found) for found in rates.values())
        ratios = sorted(a / b for a, b in zip(rates["jaxgen"], rates["pytorch"], strict=True))
        print(
            f"{system:10} batch {batch_size:4}   PyTorch {theirs:7.2f} steps/s   jaxgen {ours:7.2f} steps/s   "
            f"ratio {statistics.median(ratios):.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )
