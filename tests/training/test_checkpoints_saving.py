"""Which checkpoints are kept, and what a save does while training goes on, is killed, or moves to other devices."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.training.checkpoints import Checkpoints

LOSSES = [9.0, 4.0, 7.0, 1.0, 5.0, 8.0, float("nan"), 6.0, 2.0, 3.0]


def least(losses: dict[int, float], n: int) -> set[int]:
    return set(sorted((s for s in losses if losses[s] == losses[s]), key=losses.__getitem__)[:n])


@pytest.mark.parametrize(("keep_latest", "keep_best", "mode"), [(2, 1, "min"), (1, 2, "min"), (1, 2, "max")])
@pytest.mark.parametrize("reopen", [False, True])
def test_the_latest_and_the_best_are_kept(tmp_path, keep_latest, keep_best, mode, reopen):
    sign = 1 if mode == "min" else -1
    options = {"keep_latest": keep_latest, "keep_best": keep_best, "best": "loss", "mode": mode}
    checkpoints = Checkpoints(tmp_path / "c", **options)
    seen = {}
    for step, loss in enumerate(LOSSES, 1):
        checkpoints.save(step, {"x": jnp.full(2, step)}, {"loss": sign * loss, "other": 0.0})
        seen[step] = loss
        kept = set(checkpoints.all_steps)
        assert kept == {*sorted(seen)[-keep_latest:], *least(seen, keep_best)}
        assert {checkpoints.best_step} == least(seen, 1)
        assert checkpoints.latest_step == step
        if reopen:
            checkpoints.close()
            checkpoints = Checkpoints(tmp_path / "c", **options)
    checkpoints.close()


def test_without_a_best_metric_the_latest_are_kept(tmp_path):
    with Checkpoints(tmp_path / "c", keep_latest=3) as checkpoints:
        for step in range(1, 7):
            checkpoints.save(step, {"x": jnp.ones(2)}, {"loss": float(step)} if step % 2 else None)
        assert list(checkpoints.all_steps) == [4, 5, 6]
        assert checkpoints.best_step is None


def test_the_state_may_be_donated_as_soon_as_save_returns(tmp_path):
    """Each save is followed at once by a donating step that writes over the buffers of the state."""
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    state = {f"w{i}": jnp.full((256, 1024), float(i)) for i in range(5)}
    kept = {}
    with Checkpoints(tmp_path / "c", keep_latest=5) as checkpoints:
        for n in range(5):
            kept[n] = [np.array(x) for x in state.values()]
            checkpoints.save(n, state)
            old = list(state.values())
            for _ in range(3):
                state = step(state)
            assert all(x.is_deleted() for x in old)
        for n in kept:
            restored, _ = checkpoints.restore(state, step=n)
            for array, expected in zip(restored.values(), kept[n], strict=True):
                np.testing.assert_array_equal(array, expected)


def test_nothing_saved_shares_memory_with_the_state(tmp_path, monkeypatch):
    """The hazard itself: on the CPU `np.asarray` of a JAX array is a view; Orbax must not be handed one."""
    import orbax.checkpoint as ocp

    handed, save = [], ocp.CheckpointManager.save

    def spy(self, step, *, args, **options):
        handed.extend(args["state"].item.values())
        return save(self, step, args=args, **options)

    monkeypatch.setattr(ocp.CheckpointManager, "save", spy)
    state = {"w": jnp.arange(4096.0), "key": jax.random.key(0)}
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state)
    views = [np.asarray(state["w"]), np.asarray(jax.random.key_data(state["key"]))]
    assert len(handed) == 2
    assert not any(np.shares_memory(array, view) for array in handed for view in views)


KILLS = """
import os, signal, sys, time, warnings
import jax, jax.numpy as jnp
from jaxgen.training.checkpoints import Checkpoints

def go_on(folder):
    warnings.simplefilter("error")  # a save that was killed never appears, so there is no damage to warn of
    with Checkpoints(folder, best="loss") as checkpoints:
        state, step = {"x": jnp.zeros((200, 200), int), "step": jnp.int32(0)}, 0
        if checkpoints.all_steps:
            state, step = checkpoints.restore(state)
            assert int(state["step"]) == step and bool((state["x"] == step).all())
        while True:
            step += 1
            state = {"x": jnp.full((200, 200), step), "step": jnp.int32(step)}
            checkpoints.save(step, state, {"loss": float(step % 7)})

reader = Checkpoints(sys.argv[1])  # starts no threads, so forking is safe; importing once saves the time
for kill in range(5):
    before, deadline = reader.latest_step, time.monotonic() + 60
    child = os.fork()
    if not child:
        go_on(sys.argv[1])
    while reader.latest_step == before and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.03 * kill)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) and reader.latest_step > (before or 0), (kill, before, status)
"""


def test_a_kill_in_the_middle_of_a_save_leaves_a_usable_folder(tmp_path):
    folder = tmp_path / "c"
    subprocess.run([sys.executable, "-c", KILLS, folder], check=True)
    with Checkpoints(folder, best="loss") as checkpoints:
        state, step = checkpoints.restore({"x": jnp.zeros((200, 200), int), "step": jnp.int32(0)})
        assert int(state["step"]) == step and bool((state["x"] == step).all())
        checkpoints.save(step + 1, state, {"loss": 9.0})
        assert list(checkpoints.all_steps)[-2:] == [step, step + 1]
        assert len(checkpoints.all_steps) <= 3
    assert not [p for p in folder.iterdir() if not p.name.isdecimal()]


DEVICES = """
import sys
import jax, jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jaxgen.training.checkpoints import Checkpoints

jax.config.update("jax_num_cpu_devices", 2)
mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
whole, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
shardings = {"w": split, "b": whole, "key": whole, "keys": split}

def like(key):
    return {"w": jnp.zeros((8, 3)), "b": jnp.ones(3), "key": key, "keys": jax.random.split(key, 4)}

target = jax.eval_shape(jax.jit(like, out_shardings=shardings), jax.random.key(0))
with Checkpoints(sys.argv[1]) as checkpoints:
    state, step = checkpoints.restore(target)
    assert {name: x.sharding for name, x in state.items()} == shardings
    checkpoints.save(step + 1, state)
"""


def test_a_state_moves_from_one_device_to_two_and_back(tmp_path):
    state = {"w": jax.random.normal(jax.random.key(4), (8, 3)), "b": jnp.arange(3.0), "key": jax.random.key(5)}
    state["keys"] = jax.random.split(jax.random.key(6), 4)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state)
    subprocess.run([sys.executable, "-c", DEVICES, tmp_path / "c"], check=True)
    back, step = Checkpoints(tmp_path / "c").restore(jax.eval_shape(lambda: state))
    assert step == 2 and back.keys() == state.keys()
    for name, leaf in state.items():
        assert (back[name].dtype, back[name].shape) == (leaf.dtype, leaf.shape)
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        found, expected = (jax.random.key_data(x) if key else x for x in (back[name], leaf))
        np.testing.assert_array_equal(found, expected)


def test_impossible_options_are_refused(tmp_path):
    with pytest.raises(ValueError, match="keep_latest=0"):
        Checkpoints(tmp_path, keep_latest=0)
