import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pytest

from jaxgen.cli import Config, MirrorOptions, SampleOptions
from jaxgen.cli.config import at_least, positive, settings_of
from jaxgen.cli.evaluate import options_of


@dataclass(frozen=True)
class Own(SampleOptions, MirrorOptions, Config):
    sizes: tuple[int, ...] = (1, 2)
    rate: float = 0.1
    retired: ClassVar[frozenset[str]] = frozenset({"colour"})

    def __post_init__(self):
        positive(self, "rate")
        super().__post_init__()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "--steps 0: at least 1"),
        ("batch_size", 0, "--batch-size 0: at least 1"),
        ("image_size", -1, "--image-size -1: at least 1"),
        ("log_every", -1, "--log-every -1: at least 0"),
        ("eval_samples", 1, "--eval-samples 1: at least 2"),
        ("seed", 2**32, "0 to 2"),
        ("rate", 0.0, "--rate 0.0: a positive number"),
        ("rate", float("nan"), "--rate nan: a positive number"),
    ],
)
def test_each_group_of_settings_checks_its_own(field, value, message):
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        Own(**{field: value})


def test_bounds():
    at_least(1, Own(), "steps", "image_size")  # None is allowed
    with pytest.raises(ValueError, match=r"--rate 0\.1: at least 1"):
        at_least(1, Own(), "rate")


def test_a_config_comes_back_from_what_json_keeps():
    own = Own(sizes=(3,), flip=True, steps=7)
    assert Own.read(settings_of(own)) == own
    stored = settings_of(own)
    del stored["sizes"]
    assert Own.read(stored | {"colour": 1}) == dataclasses.replace(own, sizes=(1, 2))
    with pytest.raises(ValueError, match="does not have: height width"):
        Own.read(stored | {"width": 1, "height": 2})


def test_evaluation_has_its_own_settings_only():
    names = {field.name for field in dataclasses.fields(options_of(Own))}
    assert names == {"source", "image_size", "channels", "corrupt", "eval_samples", "inception"}
