"""The log of a run that is killed and resumed holds every step once."""

import builtins
import json
import math
import os
import struct
import textwrap
import types
import warnings

import numpy as np
import pytest
from PIL import Image

from jaxgen.training.logging import Logger, MetricLogger, as_logger, read_metrics


def steps(folder):
    return [record["step"] for record in read_metrics(folder)]


def log(folder, first, last, resume_step=0):
    with Logger(folder, resume_step) as logger:
        for step in range(first, last + 1):
            logger.write(step, {"loss": 1 / step})


def events(folder):
    """The events in the order of the files, as TensorBoard reads them."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    for path in sorted((folder / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:  # a record: length, its checksum, the bytes, their checksum
            (length,) = struct.unpack("<Q", data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def shown(folder):
    """The scalars that TensorBoard shows: a restart purges what came before it at its step or later."""
    scalars = []
    for event in events(folder):
        if event.HasField("session_log"):
            scalars = [(step, tag) for step, tag in scalars if step < event.step]
        scalars += [(event.step, value.tag) for value in event.summary.value]
    return scalars


def test_records_come_back_as_written(tmp_path):
    with Logger(tmp_path / "run") as logger:
        logger.write(1, {"loss": np.float32(0.1), "count": 3})
        logger.write(1, {"fid": 12.5}, "evaluation")
    assert read_metrics(tmp_path / "run") == [
        {"step": 1, "kind": "train", "loss": float(np.float32(0.1)), "count": 3.0},
        {"step": 1, "kind": "evaluation", "fid": 12.5},
    ]


def test_records_of_earlier_versions_get_their_kind_from_their_place(tmp_path):
    """They have no kind: an evaluation follows the metrics of its step. Going on writes them with their kind."""
    lines = [{"step": 2, "a": 1.0}, {"step": 4, "loss": 2.0}, {"step": 4, "loss": 3.0}, {"step": 6, "b": 4.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    kinds = ["train", "train", "evaluation", "train"]
    assert read_metrics(tmp_path) == [{**line, "kind": kind} for line, kind in zip(lines, kinds, strict=True)]
    log(tmp_path, 5, 5, resume_step=4)
    assert [record["kind"] for record in read_metrics(tmp_path)] == ["train", "train", "evaluation", "train"]
    assert [json.loads(line)["kind"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == kinds


@pytest.mark.parametrize("name", ["step", "kind"])
def test_a_metric_cannot_take_the_name_of_what_every_record_has(tmp_path, name):
    with Logger(tmp_path) as logger, pytest.raises(ValueError, match=f"a metric is called '{name}'"):
        logger.write(1, {"loss": 1.0, name: 2.0})
    assert read_metrics(tmp_path) == []


def test_each_record_is_with_the_operating_system_at_once(tmp_path):
    with Logger(tmp_path) as logger:
        for step in (1, 2):
            logger.write(step, {"loss": 1.0})
            assert steps(tmp_path) == list(range(1, step + 1))


def test_what_is_not_finite_is_valid_json_and_comes_back(tmp_path, capfd):
    with Logger(tmp_path) as logger:
        logger.write(1, {"a": math.nan, "b": math.inf, "c": -math.inf})

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse) == {
        "step": 1,
        "kind": "train",
        "a": "NaN",
        "b": "Infinity",
        "c": "-Infinity",
    }
    (record,) = read_metrics(tmp_path)
    assert math.isnan(record["a"]) and (record["b"], record["c"]) == (math.inf, -math.inf)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("resume_step", [0, 1, 4, 6])
def test_resuming_leaves_every_step_once(tmp_path, resume_step):
    log(tmp_path / "whole", 1, 9)
    log(tmp_path / "cut", 1, 6)
    log(tmp_path / "cut", resume_step + 1, 9, resume_step)
    whole, cut = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "cut"))
    assert cut == whole
    assert shown(tmp_path / "cut") == shown(tmp_path / "whole") == [(step, "loss") for step in range(1, 10)]


def test_a_line_torn_anywhere_is_dropped(tmp_path):
    log(tmp_path, 1, 3)
    file = tmp_path / "metrics.jsonl"
    whole = file.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for size in range(last, len(whole)):
        file.write_bytes(whole[:size])
        assert steps(tmp_path) == [1, 2]
    log(tmp_path, 3, 3, resume_step=2)
    assert file.read_bytes() == whole


def test_a_kill_while_the_log_is_cut_loses_nothing(tmp_path, monkeypatch):
    log(tmp_path, 1, 6)
    before = (tmp_path / "metrics.jsonl").read_bytes()

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", kill)
        Logger(tmp_path, resume_step=4)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    log(tmp_path, 5, 6, resume_step=4)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("line", ["garbage", "3", "[]", "{}", '{"step": 2, "loss": null}', '{"step": 2, "kind": "x"}'])
def test_a_broken_line_inside_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "loss": 1.0}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: not a record of metrics"):
        read_metrics(tmp_path)


def test_no_log_is_no_records(tmp_path):
    assert read_metrics(tmp_path / "none") == []


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_go_to_a_folder_and_to_tensorboard(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, channels), dtype=np.uint8)
    with Logger(tmp_path) as logger:
        logger.image("samples", 5, picture)
    saved = np.asarray(Image.open(tmp_path / "samples" / "00000005.png"))
    np.testing.assert_array_equal(saved.reshape(picture.shape), picture)
    (image,) = (value.image for event in events(tmp_path) for value in event.summary.value)
    assert (image.height, image.width) == (4, 6)
    assert read_metrics(tmp_path) == []


def test_without_tensorboardx_there_is_one_warning_and_the_file(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "tensorboardX":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Logger(tmp_path) as logger:
            logger.write(1, {"loss": 1.0})
            logger.image("samples", 1, np.zeros((4, 4, 3), np.uint8))
    assert [str(w.message) for w in caught] == ["tensorboardX is not installed: metrics go to metrics.jsonl alone"]
    assert steps(tmp_path) == [1]
    assert not (tmp_path / "tensorboard").exists()


def test_a_function_is_a_logger_that_has_no_use_for_pictures():
    written = []
    logger = as_logger(lambda step, metrics: written.append((step, metrics)))
    logger.write(3, {"loss": 1.0})
    logger.image("samples", 3, np.zeros((4, 4, 3), np.uint8))
    assert written == [(3, {"loss": 1.0})]


def test_a_logger_stays_itself(tmp_path):
    with Logger(tmp_path) as logger:
        assert isinstance(logger, MetricLogger) and as_logger(logger) is logger


def test_the_documented_logger_of_wandb_works_as_it_is_written():
    """Against a stand-in with the functions of wandb that the docstring calls."""
    logged = []
    run = types.SimpleNamespace(log=lambda values, step: logged.append((step, values)))
    settings = {}
    wandb = types.SimpleNamespace(init=lambda **given: settings.update(given) or run, Image=lambda image: image.shape)
    block = MetricLogger.__doc__.split("\n\n    ", 1)[1].split("    jaxgen.fit(")[0]
    names = {"wandb": wandb}
    exec(textwrap.dedent("    " + block), names)
    logger = names["WandB"](project="digits")
    logger.write(2, {"loss": 1.0})
    logger.image("samples", 2, np.zeros((4, 6, 3), np.uint8))
    assert settings == {"project": "digits"}
    assert logged == [(2, {"loss": 1.0}), (2, {"samples": (4, 6, 3)})]
    assert as_logger(logger) is logger
