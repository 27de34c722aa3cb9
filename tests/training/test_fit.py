import dataclasses
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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_the_run_goes_on_from_there(tmp_path, signum):
    whole = fit(vae, digits, steps=60, **SETTINGS)
    with pytest.raises(Interrupted) as stop:
        fit(
            vae, digits, steps=60, run=tmp_path, eval_every=10, **SETTINGS,
            evaluate=lambda state: os.kill(os.getpid(), signum) or {} if int(state.step) == 30 else {},
        )  # fmt: skip
    assert (stop.value.signum, stop.value.step) == (signum, 30)
    assert same_bits(whole, fit(vae, digits, steps=60, run=tmp_path, resume=True, **SETTINGS))
    assert signal.getsignal(signum) is not None


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
    assert int(fit(model, points, steps=2, batch_size=16, log_every=1, progress=False).step) == 2
