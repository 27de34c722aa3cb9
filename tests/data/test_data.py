"""The sources by name, and what importing them needs."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import SOURCES, Dataset, load, mirror, random_crop


def test_jitter_and_flip_of_a_source():
    data = load("outline:digits", image_size=16, jitter=True, flip=True)
    batch = {name: jnp.array(x) for name, x in data.batch(np.arange(16)).items()}
    crop_key, mirror_key = jax.random.split(jax.random.key(1))
    expected = mirror(mirror_key, random_crop(crop_key, batch))
    out = data.augment(jax.random.key(1), batch)
    assert (np.asarray(out["target"]) != batch["target"]).any()
    jax.tree.map(np.testing.assert_array_equal, out, expected)
    assert load("outline:digits", image_size=16, jitter=True).augment is random_crop
    assert load("digits", flip=True).augment is mirror
    assert load("digits").augment is None
    with pytest.raises(ValueError, match="has points, not images"):
        load("ring", jitter=True)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("digit", " (did you mean digits?)"),
        ("unpair:photos", " (did you mean unpaired:PATH?)"),
        ("digits:8", " (did you mean digits?)"),
        ("digits:", " (did you mean digits?)"),
        ("stacked-digits:", " (did you mean stacked-digits:SOURCE?)"),
        ("tfds:", " (did you mean tfds:NAME?)"),
        ("folders:photos", " (did you mean folder:PATH?)"),
        ("folder", " (did you mean folder:PATH?)"),
        ("", ""),
        ("mnist", ""),
    ],
)
def test_unknown_source(source, hint):
    with pytest.raises(ValueError) as error:
        load(source)
    assert str(error.value) == f"unknown source '{source}'{hint}; allowed are {', '.join(SOURCES)}"


@pytest.mark.parametrize("source", ["digits", "sprites", "photo:china", "patches:photo:china"])
def test_all_is_train_and_test(source):
    if source.startswith(("photo", "patches")):
        pytest.importorskip("PIL")
    parts = {split: load(source, split) for split in ("train", "test", "all")}
    for data in parts.values():
        assert data.label_names == parts["all"].label_names
    seen = {
        split: {image.tobytes() for image in data.batch(np.arange(min(len(data), 2000)))["image"]}
        for split, data in parts.items()
    }
    assert seen["train"] <= seen["all"]
    if source != "sprites":  # too many to look at
        assert seen["test"] <= seen["all"]
    if source == "digits":
        assert len(parts["all"]) == len(parts["train"]) + len(parts["test"]) == 1797


@pytest.mark.parametrize("source", ["ring", "stacked-digits", "sprites-attributes"])
def test_drawn_sources_have_no_all(source):
    with pytest.raises(ValueError, match=f"{source} has no split 'all'; allowed are 'train' and 'test'"):
        load(source, "all")


def test_a_source_of_one_s_own(monkeypatch):
    def load_grey(argument, split, options):
        size = options.image_size or 4
        return Dataset({"image": np.full((10, size, size, 1), int(argument), np.uint8)}, name=f"plain:{argument}")

    monkeypatch.setitem(SOURCES, "plain:LEVEL", load_grey)
    assert load("plain:7", image_size=6).arrays["image"].shape == (10, 6, 6, 1)
    assert load("grey:plain:7").arrays["source"].max() == 7


PROGRAM = """
import sys
optional = ["sklearn", "PIL", "tensorflow_datasets", "array_record", "grain", "scipy", "datasets", "threadpoolctl"]
import jax
before = set(sys.modules)
import jaxgen.data as data
print(sorted(set(optional) & (set(sys.modules) - before)))
for name in optional:
    sys.modules[name] = None
import numpy as np
images = np.zeros((8, 4, 4), np.uint8)
own = data.Dataset.from_arrays(images)
print(len(list(own.batches(4, shuffle=0))))
for source in sys.argv[1:]:
    try:
        data.load(source, image_size=4)
    except ValueError as error:
        print(error)
streamed = data.StreamedDataset(own.arrays["image"], own.example, name="a stream")
try:
    streamed.batches(4, shuffle=0)
except ValueError as error:
    print(error)
"""


def test_importing_and_plain_arrays_need_no_optional_package(tmp_path):
    """Images for accelerators often lack them; the message names what needs which package."""
    (tmp_path / "a.png").write_bytes(b"")
    sources = ["digits", "photo:china", f"folder:{tmp_path}", "tfds:mnist", "hf:mnist"]
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *sources], capture_output=True, text=True, check=True)
    imported, batches, *errors = ran.stdout.splitlines()
    assert (imported, batches) == ("[]", "2")
    expected = [
        'the source digits needs the package sklearn: pip install "scikit-learn"',
        'the source photo:china needs the package PIL: pip install "pillow"',
        'reading images needs the package PIL: pip install "pillow"',
        'tfds:mnist needs the package tensorflow_datasets: pip install "tensorflow-datasets"',
        'hf:mnist needs the package datasets: pip install "jaxgen[hf]"',
        'streaming a stream needs the package grain: pip install "grain"',
    ]
    assert errors == expected


def test_every_source_is_in_the_docstring_of_load():
    for source in SOURCES:
        assert re.search(re.escape(source.partition(":")[0]), load.__doc__), source
