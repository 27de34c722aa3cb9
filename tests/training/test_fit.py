import dataclasses
import doctest
import importlib
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from jaxgen.data import Dataset, StreamedDataset, load, mirror, order
from jaxgen.models import GAN, VAE
from jaxgen.networks import DCGANDiscriminator, DCGANGenerator, MLPDecoder, MLPEncoder
from jaxgen.report import image_grid
from jaxgen.training import Interrupted, NonFinite, data_mesh, fit, read_metrics

digits = load("digits")
vae = VAE(MLPEncoder(3, (16,)), MLPDecoder((8, 8, 1), (16,)), optax.adam(1e-3))
SETTINGS = {"batch_size": 32, "seed": 5, "log_every": 10, "checkpoint_every": 20, "progress": False}


def same_bits(a, b):
    def raw(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return all(bool((raw(x) == raw(y)).all()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def without_timing(records):
    return [{k: v for k, v in record.items() if k != "steps_per_second"} for record in records]


def test_loop_equals_steps_one_by_one_in_the_order_of_the_data(tmp_path):
    state = fit(vae, digits, steps=25, run=tmp_path, **SETTINGS)
    init_key, _ = jax.random.split(jax.random.key(5))
    expected = vae.init(init_key, digits.spec(32))
    step, history = jax.jit(vae.step), []
    for i in range(25):
        expected, metrics = step(expected, digits.batch(order(5, i, 32, len(digits))))
        history.append(float(metrics["loss"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.params, expected.params)
    records = read_metrics(tmp_path)
    assert [record["step"] for record in records] == [10, 20, 25]
    means = [np.mean(history[:10]), np.mean(history[10:20]), np.mean(history[20:])]
    np.testing.assert_allclose([record["loss"] for record in records], means, rtol=1e-5)


@dataclasses.dataclass(frozen=True)
class Phase:
    """A VAE of one β and one number of minibatches, as a phase of `Phased`."""

    vae: VAE
    steps: int
    minibatches: int = 1

    def init(self, key, batch):
        return self.vae.init(key, batch)

    def step(self, state, batch):
        state, metrics = self.vae.step(state, batch)
        return state, metrics | {"beta": jnp.float32(self.vae.beta), "examples": jnp.float32(len(batch["image"]))}


class Phased(Phase):
    @property
    def phases(self):
        other = dataclasses.replace(self.vae, beta=4.0)
        return Phase(self.vae, 12), Phase(other, 15, minibatches=3), Phase(self.vae, 5)


def test_phases_follow_one_another_and_resume_where_they_were(tmp_path):
    whole = fit(Phased(vae, 12), digits, steps=40, run=tmp_path / "whole", **SETTINGS)
    for stop in (7, 12, 19, 40):
        parts = fit(Phased(vae, 12), digits, steps=stop, run=tmp_path / "parts", resume=True, **SETTINGS)
    assert same_bits(whole, parts)
    records = [(r["step"], r["beta"], r["examples"]) for r in read_metrics(tmp_path / "whole")]
    assert records == [(10, 1, 32), (12, 1, 32), (20, 4, 96), (27, 4, 96), (30, 1, 32), (40, 1, 32)]


@pytest.mark.parametrize("stops", [[20], [7, 33]])
def test_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path, stops):
    dataset = dataclasses.replace(digits, augment=mirror)
    whole = fit(vae, dataset, steps=50, run=tmp_path / "whole", **SETTINGS)
    for stop in [*stops, 50]:
        parts = fit(vae, dataset, steps=stop, run=tmp_path / "parts", resume=True, **SETTINGS)
    assert same_bits(whole, parts)
    last = [without_timing(read_metrics(tmp_path / name))[-1] for name in ("whole", "parts")]
    steps = [record["step"] for record in read_metrics(tmp_path / "parts")]
    assert last[0] == last[1] and len(set(steps)) == len(steps)


def test_streamed_data_train_to_the_same_state(tmp_path):
    class Source:
        def __len__(self):
            return len(digits)

        def __getitem__(self, index):
            return {name: array[index] for name, array in digits.arrays.items()}

    streamed = StreamedDataset(Source(), digits.example, digits.label_names)
    memory = fit(vae, digits, steps=25, **SETTINGS)
    assert same_bits(memory, fit(vae, streamed, steps=25, **SETTINGS))
    fit(vae, streamed, steps=12, run=tmp_path, **SETTINGS)
    assert same_bits(memory, fit(vae, streamed, steps=25, run=tmp_path, resume=True, **SETTINGS))


def test_two_devices_compute_what_one_does_and_checkpoints_move_between_them(tmp_path):
    adam = optax.adam(1e-4, 0.5)
    gan = GAN(DCGANGenerator((8, 8, 1), 4), DCGANDiscriminator(4), adam, adam, latent=4, discriminator_steps=2)
    one = fit(gan, digits, steps=6, mesh=data_mesh(1), **SETTINGS)
    two = fit(gan, digits, steps=6, mesh=data_mesh(2), **SETTINGS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=3e-4), one.generator.variables, two.generator.variables
    )
    fit(gan, digits, steps=4, run=tmp_path, mesh=data_mesh(2), **SETTINGS)
    moved = fit(gan, digits, steps=6, run=tmp_path, resume=True, mesh=data_mesh(1), **SETTINGS)
    assert int(moved.step) == 6


def kill_at(step, signum):
    """An evaluation in the course of which the process gets a signal."""
    return lambda state: os.kill(os.getpid(), signum) or {} if int(state.step) == step else {}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_the_run_goes_on_from_there(tmp_path, signum):
    whole = fit(vae, digits, steps=60, **SETTINGS)

    def mine(*_):
        raise AssertionError("the run did not listen")

    before = signal.signal(signum, mine)
    try:
        with pytest.raises(Interrupted, match=r"after step 30, which is saved$") as stop:
            fit(vae, digits, steps=60, run=tmp_path, eval_every=10, evaluate=kill_at(30, signum), **SETTINGS)
        assert signal.getsignal(signum) is mine
    finally:
        signal.signal(signum, before)
    assert (stop.value.signum, stop.value.step, stop.value.saved) == (signum, 30, True)
    assert same_bits(whole, fit(vae, digits, steps=60, run=tmp_path, resume=True, **SETTINGS))


def test_signal_without_a_folder_hands_over_the_state():
    with pytest.raises(Interrupted, match="stopped by SIGTERM after step 30, which is not saved: the state") as stop:
        fit(vae, digits, steps=60, eval_every=10, evaluate=kill_at(30, signal.SIGTERM), **SETTINGS)
    assert (stop.value.step, stop.value.saved) == (30, False)
    assert same_bits(stop.value.state, fit(vae, digits, steps=30, **SETTINGS))
    whole = fit(vae, digits, steps=60, **SETTINGS)
    assert same_bits(whole, fit(vae, digits, steps=60, state=stop.value.state, **SETTINGS))


@pytest.mark.parametrize("seed", [5, [5, 6]])
def test_going_on_from_a_state_ends_as_one_run_and_leaves_the_state_usable(seed):
    dataset, settings = dataclasses.replace(digits, augment=mirror), SETTINGS | {"seed": seed}
    with jax.debug_key_reuse(isinstance(seed, int)):  # which is seen in every vmap of a scan
        whole = fit(vae, dataset, steps=8, **settings)
        half = fit(vae, dataset, steps=4, **settings)
        copy = jax.tree.map(jnp.copy, half)
        for _ in range(2):
            assert same_bits(whole, fit(vae, dataset, steps=8, state=half, **settings))
            assert same_bits(half, copy)
        assert same_bits(half, fit(vae, dataset, steps=4, state=half, **settings))
    assert not same_bits(half, whole)


def test_a_state_goes_on_in_a_folder_and_gives_way_to_its_checkpoints(tmp_path):
    whole = fit(vae, digits, steps=60, **SETTINGS)
    half, other = (fit(vae, digits, steps=30, **SETTINGS | {"seed": seed}) for seed in (5, 6))
    fit(vae, digits, steps=50, state=half, run=tmp_path, resume=True, **SETTINGS)  # there is nothing to resume
    assert [record["step"] for record in read_metrics(tmp_path)] == [40, 50]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["40", "50"]
    assert same_bits(whole, fit(vae, digits, steps=60, state=other, run=tmp_path, resume=True, **SETTINGS))
    assert [record["step"] for record in read_metrics(tmp_path)] == [40, 50, 60]


def test_a_state_moves_to_the_devices_of_the_run_and_must_fit_the_model():
    half = fit(vae, digits, steps=4, mesh=data_mesh(2), **SETTINGS)
    moved = fit(vae, digits, steps=4, mesh=data_mesh(1), state=half, **SETTINGS)
    assert same_bits(half, jax.device_get(moved.replace(key=half.key)))
    assert {len(x.sharding.device_set) for x in jax.tree.leaves(moved)} == {1}
    wider = dataclasses.replace(vae, encoder=MLPEncoder(3, (17,)))
    with pytest.raises(ValueError, match=r"the state to start from is of another model: .*\[16\], not float32\[17\]"):
        fit(wider, digits, steps=8, state=half, **SETTINGS)


def test_another_run_does_not_write_over_the_one_in_the_folder(tmp_path):
    half = fit(vae, digits, steps=30, run=str(tmp_path), **SETTINGS)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match="checkpoints has step 30 already: resume that run, or use another folder"):
        fit(vae, digits, steps=60, run=tmp_path, **SETTINGS)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    fit(vae, digits, steps=40, run=tmp_path, state=half, **SETTINGS)  # which goes on with the same run
    assert [record["step"] for record in read_metrics(tmp_path)] == [10, 20, 30, 40]


class Recorder:
    """A logger that keeps everything."""

    def __init__(self):
        self.written, self.pictures = [], []

    def write(self, step, metrics):
        self.written.append({"step": step, **metrics})

    def image(self, name, step, image):
        self.pictures.append((name, step, image.shape))


def test_a_logger_gets_what_the_folder_gets(tmp_path):
    looks = {"eval_every": 20, "evaluate": lambda state: {"figure": float(state.step)}}
    looks |= {"draw": lambda state: np.full((4, 6, 3), 7, np.uint8)}
    recorder = Recorder()
    fit(vae, digits, steps=30, run=tmp_path, logger=recorder, **looks, **SETTINGS)
    records = read_metrics(tmp_path)
    assert recorder.written == [{k: v for k, v in record.items() if k != "kind"} for record in records]
    kinds = [(record["step"], record["kind"], "figure" in record) for record in records]
    train, figures = ("train", False), ("evaluation", True)
    assert kinds == [(10, *train), (20, *train), (20, *figures), (30, *train), (30, *figures)]
    assert recorder.pictures == [("samples", 20, (4, 6, 3)), ("samples", 30, (4, 6, 3))]
    alone = Recorder()
    fit(vae, digits, steps=30, logger=alone.write, **looks, **SETTINGS)
    assert without_timing(alone.written) == without_timing(recorder.written)


def test_what_a_logger_raises_comes_out_and_the_run_can_be_resumed(tmp_path):
    def full(step, metrics):
        if step == 30:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fit(vae, digits, steps=40, run=tmp_path, logger=full, **SETTINGS)
    resumed = fit(vae, digits, steps=40, run=tmp_path, resume=True, **SETTINGS)
    assert same_bits(resumed, fit(vae, digits, steps=40, **SETTINGS))
    assert [record["step"] for record in read_metrics(tmp_path)] == [10, 20, 30, 40]


def test_without_a_terminal_the_first_log_line_is_printed_and_then_evaluations(capsys):
    settings = SETTINGS | {"progress": True, "eval_every": 20}
    fit(vae, digits, steps=50, evaluate=lambda state: {"figure": 0.5}, **settings)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["10/50", "20/50", "40/50", "50/50"]
    assert ["figure 0.5" in line for line in lines] == [False, True, True, True]
    assert all(" loss " in line for line in lines)


def test_the_example_of_the_docstring_runs():
    module = importlib.import_module("jaxgen.training.fit")  # the package has the function under this name
    assert module.__name__ == fit.__module__
    found = doctest.testmod(module)
    assert found.attempted > 5 and not found.failed


def test_fit_works_outside_the_main_thread():
    states = []
    thread = threading.Thread(target=lambda: states.append(fit(vae, digits, steps=3, **SETTINGS)))
    thread.start()
    thread.join()
    assert int(states[0].step) == 3


def test_nan_stops_at_its_step_and_the_checkpoint_before_it_stays(tmp_path):
    def poisoned(step):
        return jnp.where(step == 33, jnp.nan, 1.0)

    broken = dataclasses.replace(vae, beta=poisoned)
    with pytest.raises(NonFinite, match=r"step 34: (loss|gradient_norm) is nan"):
        fit(broken, digits, steps=60, run=tmp_path, **SETTINGS)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["20"]
    assert read_metrics(tmp_path)[-1]["step"] == 30


def test_nan_in_the_parameters_is_not_saved(tmp_path):
    broken = dataclasses.replace(vae, optimiser=optax.sgd(lambda count: jnp.where(count == 19, jnp.nan, 1e-6)))
    with pytest.raises(NonFinite, match="step 20: a parameter"):
        fit(broken, digits, steps=60, run=tmp_path, **SETTINGS)
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_evaluation_pictures_and_the_best_checkpoint(tmp_path):
    fit(
        vae,
        digits,
        steps=80,
        run=tmp_path,
        eval_every=20,
        evaluate=lambda state: {"distance": abs(float(state.step) - 20)},
        draw=lambda state: image_grid(vae.sample(state, jax.random.key(0), 4), 2),
        best="distance",
        **SETTINGS,
    )
    figures = [record["distance"] for record in read_metrics(tmp_path) if "distance" in record]
    assert figures == [0, 20, 40, 60]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["20", "60", "80"]
    pictures = sorted((tmp_path / "samples").iterdir())
    assert [path.name for path in pictures] == [f"{step:08d}.png" for step in (20, 40, 60, 80)]
    assert Image.open(pictures[0]).size == (2 * 34 + 2, 2 * 34 + 2)


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of the 2 devices"):
        fit(vae, digits, steps=1, batch_size=31)
    with pytest.raises(ValueError, match=r"2000.*1497"):
        fit(vae, digits, steps=1, batch_size=2000)
    with pytest.raises(ValueError, match="this machine has 2"):
        data_mesh(3)


def test_float_points_pass_as_they_are():
    points = Dataset({"image": np.random.default_rng(0).normal(size=(64, 2, 1, 1)).astype(np.float32)})
    model = VAE(MLPEncoder(2, (8,)), MLPDecoder((2, 1, 1), (8,)), optax.adam(1e-3))
    state = fit(model, points, steps=2, batch_size=16, log_every=1, progress=False)
    init_key, _ = jax.random.split(jax.random.key(0))
    expected = model.init(init_key, points.spec(16))
    for i in range(2):
        expected, _ = jax.jit(model.step)(expected, points.batch(order(0, i, 16, 64)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.params, expected.params)
