"""Checkpoints of a run, on Orbax: asynchronous, the latest and the best kept, each verified by digests.

    with Checkpoints(run / "checkpoints", best="fid") as checkpoints:
        checkpoints.save(step, state, {"fid": 12.3})  # the state may be donated at once
    state, step = Checkpoints(run / "checkpoints").restore(jax.eval_shape(model.init, key, batch))

A checkpoint is a folder `<step>` with two Orbax items. `state` is a flat dict of host arrays by name, such as
`params/Dense_0/kernel`. `manifest` is JSON: the dtype, shape and SHA-256 digest of each array, and the metrics. Orbax
makes the folder appear whole or not at all. The manifest shows damage that comes later, which Orbax passes over in
silence (flipped bytes) or dies of (a truncated file).
"""

import contextlib
import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxgen.training.states import assemble, check_same, forms, to_host
from jaxgen.types import State

__all__ = ["Checkpoints"]


class Checkpoints:
    """The checkpoints in one folder. Only `save` and `rewind` change anything on the disk.

    Where there are several processes, each calls every method; the state is replicated over them and the folder shared.

    Args:
        folder: holds the checkpoints; the first `save` makes it.
        keep_latest: the number of newest checkpoints to keep.
        keep_best: the number of best checkpoints to keep besides.
        best: the metric that says which are the best; None keeps the newest alone.
        mode: whether less ("min") or more ("max") of that metric is better.

    Raises:
        ValueError: `keep_latest` is less than 1, or `keep_best` negative.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        keep_latest: int = 2,
        keep_best: int = 1,
        best: str | None = None,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if keep_latest < 1 or keep_best < 0:
            raise ValueError(f"keep_latest={keep_latest}, keep_best={keep_best}: at least 1 and 0 are needed")
        self.folder: Path = Path(folder).absolute()
        self._keep_latest, self._keep_best = keep_latest, keep_best
        self._best, self._sign = best, -1 if mode == "max" else 1
        self._scores: dict[int, float] = {}  # step: score, the least the best
        self._writer: ocp.CheckpointManager | None = None

    def save(self, step: int, state: State, metrics: Mapping[str, Any] | None = None) -> None:
        """Writes a checkpoint in the background. The state may be donated as soon as this returns.

        Raises:
            ValueError: a checkpoint of this or a later step exists (after a fallback, `rewind` first).
            Exception: whatever made the save before this one fail.
        """
        if (latest := self.latest_step) is not None and step <= latest:
            raise ValueError(f"cannot save step {step}: {self.folder} already has step {latest}")
        arrays = to_host(state)
        with ThreadPoolExecutor() as pool:  # hashing releases the GIL
            digests = dict(zip(arrays, pool.map(_digest, arrays.values()), strict=True))
        manifest = {
            "leaves": {name: [*form, digests[name]] for name, form in forms(state).items()},
            "metrics": {name: float(v) for name, v in (metrics or {}).items() if math.isfinite(v)},
        }
        writer = self._open_writer()
        self._scores |= self._score(step, manifest)
        writer.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(arrays),
                manifest=ocp.args.JsonSave({**manifest, "digest": _digest_json(manifest)}),
            ),
        )

    def restore(self, target: State, step: int | None = None) -> tuple[State, int]:
        """Returns a state like `target` from the newest good checkpoint, or from the one of `step`, and its step.

        A damaged checkpoint is passed over for the next older one, with a warning.

        Args:
            target: `jax.eval_shape(model.init, ...)`, or a state. A leaf that has a sharding is restored to that
                sharding, whatever the number of devices that the saved state was on.

        Raises:
            ValueError: no checkpoint is good; the one of `step` is missing or damaged; or the checkpoint is of another
                model than `target`, and then the message names the leaves that differ.
        """
        steps = self.all_steps
        if step is not None and step not in steps:
            raise ValueError(f"no checkpoint of step {step} in {self.folder}, only of {list(steps)}")
        damage = []
        for candidate in reversed(steps) if step is None else [step]:
            try:
                state = self._read(candidate, target)
            except _DamageError as error:
                damage.append(f"the checkpoint of step {candidate} is damaged: {error}")
                continue
            for line in damage:
                warnings.warn(f"{line}; restored step {candidate} instead ({self.folder})", stacklevel=2)
            return state, candidate
        raise ValueError("; ".join([f"no good checkpoint in {self.folder}", *damage]))

    def rewind(self, step: int) -> None:
        """Moves every checkpoint later than `step`, good or not, to `<folder>/../damaged/`.

        Training that fell back to `step` can then save the later steps again, and nothing is lost.
        """
        later = [s for s in self.all_steps if s > step]
        self.close()  # Orbax remembers the steps it has seen
        if jax.process_index() == 0:
            for s in later:
                aside = self.folder.parent / "damaged"
                aside.mkdir(exist_ok=True)
                copies = sum(p.name.split(".")[0] == str(s) for p in aside.iterdir())
                (self.folder / str(s)).rename(aside / (f"{s}.{copies}" if copies else str(s)))
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("jaxgen: rewind")

    @property
    def all_steps(self) -> Sequence[int]:
        """The steps of the checkpoints, good or damaged, in order. This waits for a save under way."""
        self.wait()
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(int(p.name) for p in folders if p.name.isdecimal() and p.is_dir())

    @property
    def latest_step(self) -> int | None:
        """The last of `all_steps`; None where there is none."""
        return max(self.all_steps, default=None)

    @property
    def best_step(self) -> int | None:
        """The step with the best value of the metric `best`; None where no checkpoint has a value."""
        scores = self._read_scores()
        return min(scores, key=scores.__getitem__, default=None)

    def wait(self) -> None:
        """Waits until the last save is on the disk, and raises whatever made it fail."""
        if self._writer is not None:
            self._writer.wait_until_finished()

    def close(self) -> None:
        """Waits as `wait` does and ends the threads of Orbax, which the next `save` starts anew."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_writer(self) -> ocp.CheckpointManager:
        if self._writer is None:
            self._scores = self._read_scores()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer = ocp.CheckpointManager(
                self.folder,
                options=ocp.CheckpointManagerOptions(preservation_policy=self, cleanup_tmp_directories=True),
                item_handlers={
                    "state": ocp.PyTreeCheckpointHandler(),
                    "manifest": ocp.JsonCheckpointHandler(),
                },
            )
        return self._writer

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any = None) -> Sequence[bool]:
        """Tells Orbax, which calls this, whether to keep each checkpoint: the latest and the best are kept.

        Orbax's own BestN knows the metrics of earlier processes only where `best_fn` is set too, and then one
        damaged metrics file keeps the manager from opening.
        """
        steps = [checkpoint.step for checkpoint in checkpoints]
        best = sorted((s for s in steps if s in self._scores), key=self._scores.__getitem__)
        keep = {*steps[-self._keep_latest :], *best[: self._keep_best]}
        return [step in keep for step in steps]

    def _score(self, step: int, manifest: Mapping[str, Any]) -> dict[int, float]:
        metrics = manifest["metrics"]
        return {step: self._sign * metrics[self._best]} if self._best in metrics else {}

    def _read_scores(self) -> dict[int, float]:
        scores = {}
        for step in self.all_steps:
            with contextlib.suppress(_DamageError):  # a damaged one is not the best
                scores |= self._score(step, self._read_manifest(step))
        return scores

    def _read_manifest(self, step: int) -> dict[str, Any]:
        try:
            manifest = json.loads((self.folder / str(step) / "manifest" / "metadata").read_text())
            intact = manifest.pop("digest") == _digest_json(manifest)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise _DamageError(f"its manifest cannot be read ({type(error).__name__})") from error
        if not intact:
            raise _DamageError("its manifest has changed")
        return manifest

    def _read(self, step: int, target: State) -> State:
        saved = self._read_manifest(step)["leaves"]
        saved_forms = {name: form for name, (*form, _) in saved.items()}
        check_same(saved_forms, forms(target), f"the checkpoint of step {step} in {self.folder}")
        try:
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
                arrays = reader.restore(self.folder / str(step) / "state")
            with ThreadPoolExecutor() as pool:
                digests = list(pool.map(_digest, (arrays[name] for name in saved)))
        except Exception as error:  # Orbax and TensorStore raise all kinds of errors for a damaged file
            raise _DamageError(f"it cannot be read ({type(error).__name__})") from error
        for (name, (*_, digest)), found in zip(saved.items(), digests, strict=True):
            if found != digest:
                raise _DamageError(f"{name} has changed")
        return assemble(arrays, target)


class _DamageError(Exception):
    """A checkpoint is damaged; the message says how."""


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _digest_json(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
