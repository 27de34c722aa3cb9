"""`kill -9` at random moments, each followed by --resume: the end is that of the uninterrupted run, bit for bit.

JAXGEN_KILLS says how many kills (default 3; the figure in docs/results.md is for 20).
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from jaxgen.training import read_metrics

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("JAXGEN_KILLS", "3"))
COMMAND = [sys.executable, "-m", "experiments.vae", "--steps", "1500", "--hidden", "64", "--importance-samples", "0"]
COMMAND += ["--log-every", "10", "--checkpoint-every", "20", "--eval-every", "0"]


def latest_step(run):
    records = read_metrics(run)
    return records[-1]["step"] if records else -1


def final_parameters(run):
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler()).restore((run / "checkpoints" / "1500" / "state").absolute())


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    def start(run, *flags):
        return subprocess.Popen(
            [*COMMAND, "--run", str(run), *flags],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole = start(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()

    moments, flags = random.Random(0), []
    for target in sorted(moments.sample(range(1400), KILLS)):
        process = start(tmp_path / "parts", *flags)
        while process.poll() is None and latest_step(tmp_path / "parts") < target:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read()
        flags = ["--resume"]
    last = start(tmp_path / "parts", "--resume")
    assert last.wait() == 0, last.stderr.read()

    expected, found = final_parameters(tmp_path / "whole"), final_parameters(tmp_path / "parts")
    assert expected.keys() == found.keys() and len(found) > 8
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    logged = [
        [{k: v for k, v in record.items() if k != "steps_per_second"} for record in read_metrics(tmp_path / run)]
        for run in ("whole", "parts")
    ]
    assert logged[0] == logged[1]
