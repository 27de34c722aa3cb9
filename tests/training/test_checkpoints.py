"""Every way a checkpoint can suffer is done to real files: a restore gives the true state or says why not."""

import os
import shutil
import warnings
from pathlib import Path

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.training.checkpoints import Checkpoints

# TensorStore finishes reads that Orbax has given up at the first error, and finds the event loop closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))


@flax.struct.dataclass
class State:
    step: jax.Array
    key: jax.Array
    keys: jax.Array
    parameters: dict
    optimiser: optax.OptState
    ema: jax.Array
    mask: jax.Array


def init(key: jax.Array, width: int = 40) -> State:
    kernel, ema, keys, key = jax.random.split(key, 4)
    parameters = {"Dense_0": {"kernel": jax.random.normal(kernel, (30, width)), "bias": jnp.zeros(width)}}
    return State(
        step=jnp.int32(7),
        key=key,
        keys=jax.random.split(keys, 3),
        parameters=parameters,
        optimiser=OPTIMISER.init(parameters),
        ema=jax.random.normal(ema, (5, 3), jnp.bfloat16),
        mask=jnp.array([True, False]),
    )


TARGET = jax.eval_shape(init, jax.random.key(0))


def bits(state: State) -> list[tuple[str, tuple[int, ...], bytes]]:
    def one(leaf):
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        data = np.asarray(jax.random.key_data(leaf) if key else leaf)
        return str(leaf.dtype), leaf.shape, data.tobytes()

    return [one(leaf) for leaf in jax.tree.leaves(state)]


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def states() -> dict[int, State]:
    return {step: jax.jit(init)(jax.random.key(step)) for step in (10, 20)}


@pytest.fixture(scope="module")
def original(states, tmp_path_factory) -> Path:
    """A folder with good checkpoints of steps 10 and 20, to be copied and then damaged."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(folder, best="loss") as checkpoints:
        for step, state in states.items():
            checkpoints.save(step, state, {"loss": 1 / step})
    return folder


@pytest.fixture
def folder(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "checkpoints"))


def test_round_trip_is_exact(folder, states):
    restored, step = Checkpoints(folder).restore(TARGET)
    assert step == 20
    assert jax.tree.structure(restored) == jax.tree.structure(states[20])
    assert bits(restored) == bits(states[20])
    older, step = Checkpoints(folder).restore(TARGET, step=10)
    assert (step, bits(older)) == (10, bits(states[10]))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_restored_keys_draw_the_same_numbers(tmp_path, impl):
    state = {"key": jax.random.key(3, impl=impl)}
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(1, state)
        restored, _ = checkpoints.restore(jax.eval_shape(lambda: state))
    assert str(jax.random.key_impl(restored["key"])) == str(jax.random.key_impl(state["key"]))
    np.testing.assert_array_equal(jax.random.normal(restored["key"]), jax.random.normal(state["key"]))


def test_restored_state_can_be_donated(folder, states):
    restored, _ = Checkpoints(folder).restore(TARGET)
    double = jax.jit(lambda s: jax.tree.map(lambda x: x + x, s.parameters | {"n": s.step}), donate_argnums=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")  # keys and masks
        doubled = double(restored)
    np.testing.assert_array_equal(doubled["Dense_0"]["kernel"], 2 * states[20].parameters["Dense_0"]["kernel"])


def test_reading_an_absent_folder_says_so_and_makes_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path / "none", best="loss")
    assert (list(checkpoints.all_steps), checkpoints.latest_step, checkpoints.best_step) == ([], None, None)
    with pytest.raises(ValueError, match=f"no good checkpoint in {tmp_path}/none"):
        checkpoints.restore(TARGET)
    assert not (tmp_path / "none").exists()


# Damage.


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """64 bytes in the middle (all of a smaller file)."""
    data = bytearray(path.read_bytes())
    start = max(0, len(data) // 2 - 32)
    data[start : start + 64] = bytes(b ^ 0xFF for b in data[start : start + 64])
    path.write_bytes(data)


def flip_one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1  # leaves JSON parseable more often than not
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [truncate, flip, flip_one_bit, Path.unlink], ids=lambda f: f.__name__)
def test_damage_to_any_file_never_gives_wrong_data(folder, states, harm):
    noticed = set()
    for path in files(folder / "20"):
        before = path.read_bytes()
        if not before and harm is not Path.unlink:
            continue
        harm(path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            restored, step = Checkpoints(folder).restore(TARGET)
        path.write_bytes(before)
        assert bits(restored) == bits(states[step]), path
        said = [str(w.message) for w in caught if w.category is UserWarning]
        if step == 10:
            noticed.add(path)
            assert len(said) == 1 and said[0].startswith("the checkpoint of step 20 is damaged: ")
            assert "\n" not in said[0]
        else:
            assert step == 20 and not said
    largest = max(files(folder / "20"), key=lambda path: path.stat().st_size)
    assert noticed >= {folder / "20/manifest/metadata", folder / "20/state/manifest.ocdbt", largest}


def test_the_bytes_of_every_leaf_are_checked(folder, states, monkeypatch):
    """Orbax gives out changed values without a word, whichever leaf they are in."""
    import orbax.checkpoint as ocp

    whole = ocp.Checkpointer.restore
    names = list(whole(ocp.Checkpointer(ocp.PyTreeCheckpointHandler()), folder / "20" / "state"))
    assert len(names) == len(jax.tree.leaves(TARGET))
    for name in names:

        def restore(self, path, name=name):
            arrays = whole(self, path)
            if path.parent.name == "20":
                arrays[name].reshape(-1).view(np.uint8)[-1] ^= 1
            return arrays

        monkeypatch.setattr(ocp.Checkpointer, "restore", restore)
        with pytest.warns(UserWarning, match=f"step 20 is damaged: {name} has changed; restored step 10"):
            restored, _ = Checkpoints(folder).restore(TARGET)
        assert bits(restored) == bits(states[10])


def test_an_empty_step_folder_is_passed_over(folder, states):
    (folder / "30").mkdir()
    with pytest.warns(UserWarning, match="step 30 is damaged: its manifest cannot be read"):
        restored, step = Checkpoints(folder).restore(TARGET)
    assert (step, bits(restored)) == (20, bits(states[20]))


def test_a_missing_state_folder_is_passed_over(folder, states):
    shutil.rmtree(folder / "20" / "state")
    with pytest.warns(UserWarning, match="step 20 is damaged: it cannot be read"):
        restored, step = Checkpoints(folder).restore(TARGET)
    assert (step, bits(restored)) == (10, bits(states[10]))


@pytest.mark.parametrize(("old", "new"), [("[30, 40]", "[30, 41]"), ('"loss": 0.05', '"loss": 9.05')])
def test_a_changed_manifest_is_damage_and_not_another_model(folder, states, old, new):
    manifest = folder / "20" / "manifest" / "metadata"
    manifest.write_text(manifest.read_text().replace(old, new))
    with pytest.warns(UserWarning, match="step 20 is damaged: its manifest has changed"):
        restored, step = Checkpoints(folder).restore(TARGET)
    assert (step, bits(restored)) == (10, bits(states[10]))


def test_when_none_is_good_the_error_names_the_folder_and_each_damage(folder):
    truncate(folder / "10" / "manifest" / "metadata")
    (folder / "20" / "manifest" / "metadata").unlink()
    with pytest.raises(ValueError) as caught:
        Checkpoints(folder).restore(TARGET)
    message = str(caught.value)
    assert message.startswith(f"no good checkpoint in {folder}; the checkpoint of step 20 is damaged: ")
    assert "; the checkpoint of step 10 is damaged: " in message and "\n" not in message


def test_a_step_asked_for_is_that_one_or_an_error(folder):
    truncate(folder / "20" / "manifest" / "metadata")
    with pytest.raises(ValueError, match="step 20 is damaged"):
        Checkpoints(folder).restore(TARGET, step=20)
    with pytest.raises(ValueError, match=r"no checkpoint of step 15 in .*, only of \[10, 20\]"):
        Checkpoints(folder).restore(TARGET, step=15)


def test_reading_changes_nothing_and_rewind_moves_the_damaged_aside(folder, states):
    (folder / "30").mkdir()
    flip(folder / "20" / "manifest" / "metadata")
    before = files(folder)
    with Checkpoints(folder, best="loss") as checkpoints:
        with pytest.warns(UserWarning, match="damaged"):
            _, step = checkpoints.restore(TARGET)
        assert checkpoints.best_step == 10  # the score of 20, which is better, is lost with its manifest
        assert files(folder) == before and not (folder.parent / "damaged").exists()
        for _ in range(2):
            with pytest.raises(ValueError, match=r"cannot save step 20: .* already has step"):
                checkpoints.save(20, states[20])
            checkpoints.rewind(step)
            assert list(checkpoints.all_steps) == [10]
            checkpoints.save(20, states[20])
            checkpoints.save(30, states[20])
        assert sorted(p.name for p in (folder.parent / "damaged").iterdir()) == ["20", "20.1", "30", "30.1"]
        assert list(checkpoints.all_steps) == [10, 20, 30]


def test_leftovers_of_a_killed_save_are_ignored_and_then_removed(folder, states):
    leftover = folder / "25.orbax-checkpoint-tmp"
    shutil.copytree(folder / "20", leftover)
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.latest_step == 20
        assert bits(checkpoints.restore(TARGET)[0]) == bits(states[20])
        assert leftover.exists()
        checkpoints.save(30, states[20])
    assert not leftover.exists()
    assert Checkpoints(folder).latest_step == 30


def test_another_model_is_refused_by_name_and_not_taken_for_damage(folder):
    other = jax.eval_shape(lambda key: init(key, width=41), jax.random.key(0))
    with pytest.raises(ValueError) as caught:
        Checkpoints(folder).restore(other)
    message = str(caught.value)
    assert "step 20" in message and "is of another model" in message and "\n" not in message
    assert "parameters/Dense_0/kernel is float32[30, 40], not float32[30, 41]" in message
    with pytest.raises(ValueError, match=r"extra is absent, not float32\[2\]"):
        Checkpoints(folder).restore(TARGET.replace(parameters=TARGET.parameters, mask={"extra": jnp.zeros(2)}))
    with pytest.raises(ValueError, match=r"ema is bfloat16\[5, 3\], not float32\[5, 3\]"):
        Checkpoints(folder).restore(TARGET.replace(ema=jax.ShapeDtypeStruct((5, 3), jnp.float32)))
    with pytest.raises(ValueError, match=r"key is key<fry>\[\], not key<rbg>\[\]"):
        Checkpoints(folder).restore(TARGET.replace(key=jax.random.key(0, impl="rbg")))


def test_the_console_stays_quiet(folder, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Checkpoints(folder) as checkpoints:
            state, step = checkpoints.restore(TARGET)
            checkpoints.save(step + 1, state)
    assert capfd.readouterr() == ("", "")
