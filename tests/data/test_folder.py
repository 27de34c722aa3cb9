import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset, StreamedDataset, load, mirror, order


def save(path, shape=(6, 8, 3), value=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, shape, np.uint8) if value is None else np.full(shape, value, np.uint8)
    Image.fromarray(pixels).save(path, lossless=True)
    return pixels


def test_class_subfolders_give_labels(tmp_path):
    for i in range(10):
        save(tmp_path / "dog" / f"{i}.png", value=i)
        save(tmp_path / "cat" / "kitten" / f"{i}.PNG", value=100 + i)  # deeper is the same class
    train, test = load(f"folder:{tmp_path}"), load(f"folder:{tmp_path}", "test")
    assert train.label_names == test.label_names == ("cat", "dog")
    assert (len(train), len(test)) == (18, 2)
    assert train.example["image"].shape == (6, 8, 3)
    for part in (train, test):
        np.testing.assert_array_equal(part.arrays["label"], part.arrays["image"][:, 0, 0, 0] < 100)
    values = [part.arrays["image"][:, 0, 0, 0] for part in (train, test)]
    both = load(f"folder:{tmp_path}", "all").arrays["image"][:, 0, 0, 0]
    assert both.tolist() == [*range(100, 110), *range(10)]
    assert sorted(np.concatenate(values)) == [*range(10), *range(100, 110)]
    np.testing.assert_array_equal(load(f"folder:{tmp_path}").arrays["image"], train.arrays["image"])


def test_without_subfolders_there_are_no_labels(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.webp", value=i)
    (tmp_path / "notes.txt").write_text("no image")
    save(tmp_path / ".thumbnails" / "0.png")
    train, test = load(f"folder:{tmp_path}"), load(f"folder:{tmp_path}", "test")
    assert (len(train), len(test)) == (2, 1)
    assert set(train.arrays) == {"image"}
    assert (train.classes, train.name) == (0, f"folder:{tmp_path}")


@pytest.mark.parametrize("test_folder", ["test", "val"])
def test_split_subfolders(tmp_path, test_folder):
    save(tmp_path / "train" / "dog" / "a.png", value=1)
    save(tmp_path / "train" / "cat" / "b.png", value=2)
    save(tmp_path / test_folder / "dog" / "c.png", value=3)
    train, test = load(f"folder:{tmp_path}"), load(f"folder:{tmp_path}", "test")
    assert train.arrays["image"][:, 0, 0, 0].tolist() == [2, 1]
    assert test.arrays["image"][:, 0, 0, 0].tolist() == [3]
    assert test.label_names == ("cat", "dog")
    assert test.arrays["label"].tolist() == [1]
    both = load(f"folder:{tmp_path}", "all")
    assert both.arrays["image"][:, 0, 0, 0].tolist() == [2, 1, 3]
    assert both.arrays["label"].tolist() == [0, 1, 1]


def test_a_lone_train_subfolder_is_no_class(tmp_path):
    for i in range(4):
        save(tmp_path / "train" / "dog" / f"{i}.png")
    assert load(f"folder:{tmp_path}", "test").label_names == ("dog",)
    save(tmp_path / "car" / "0.png")  # beside other vehicles it is one
    assert load(f"folder:{tmp_path}").label_names == ("car", "train")


def test_mixed_sizes_need_an_image_size(tmp_path):
    save(tmp_path / "a.png", (6, 8, 3))
    save(tmp_path / "b.png", (6, 8, 3))
    save(tmp_path / "c.png", (10, 5, 3))
    save(tmp_path / "d.png", (5, 10, 3))
    with pytest.raises(ValueError, match=r"differ in size: \w.png has \d+×\d+ pixels, \w.png has .*--image-size"):
        load(f"folder:{tmp_path}")
    assert load(f"folder:{tmp_path}", image_size=4).arrays["image"].shape == (3, 4, 4, 3)


def test_grey_stays_grey_unless_there_is_colour(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", (4, 4))
    assert load(f"folder:{tmp_path}").example["image"].shape == (4, 4, 1)
    assert load(f"folder:{tmp_path}", channels=3).example["image"].shape == (4, 4, 3)
    for i in range(3, 6):
        save(tmp_path / f"{i}.png", (4, 4, 3))
    assert load(f"folder:{tmp_path}").example["image"].shape == (4, 4, 3)
    assert load(f"folder:{tmp_path}", channels=1).example["image"].shape == (4, 4, 1)


def damaged(tmp_path):
    """Twelve images, one of which is no image and one of which breaks off."""
    for i in range(12):
        save(tmp_path / f"{i:02}.png", (40, 40, 3), seed=i)
    in_train = [i for i in range(12) if i != order(0, 0, 12, 12)[0]]
    header, body = (tmp_path / f"{i:02}.png" for i in in_train[2:4])
    header.write_bytes(b"no image")
    body.write_bytes(body.read_bytes()[:2000])
    return header, body


@pytest.mark.parametrize("memory_limit", [2 << 30, 1])
def test_unreadable_files_are_named_and_skipped(tmp_path, memory_limit):
    header, body = damaged(tmp_path)
    with pytest.warns(UserWarning) as raised:
        data = load(f"folder:{tmp_path}", memory_limit=memory_limit)
        images = np.concatenate([batch["image"] for batch in data.batches(4)])
    messages = [str(warning.message) for warning in raised]
    assert any(str(header) in message for message in messages)
    assert any(str(body) in message for message in messages)
    assert not any("\n" in message for message in messages)
    assert len(np.unique(images, axis=0)) == 9
    assert isinstance(data, Dataset if memory_limit > 1 else StreamedDataset)


def test_unreadable_files_are_fatal_by_option(tmp_path):
    header, body = damaged(tmp_path)
    with pytest.raises(ValueError, match=f"unreadable: {header}"):
        load(f"folder:{tmp_path}", corrupt="fail")
    header.unlink()
    with pytest.raises(ValueError, match=f"{body} cannot be read"):
        load(f"folder:{tmp_path}", corrupt="fail")


def test_large_folders_are_streamed(tmp_path):
    for i in range(20):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", (8, 8), value=i)
    in_memory = load(f"folder:{tmp_path}", image_size=4)
    size = 18 * (4 * 4 + 4)
    assert isinstance(load(f"folder:{tmp_path}", image_size=4, memory_limit=size), Dataset)
    data = load(f"folder:{tmp_path}", image_size=4, memory_limit=size - 1, flip=True)
    assert isinstance(data, StreamedDataset)
    assert data.augment is mirror
    for step, batch in enumerate(data.stream(2, 1, 6, 5), 1):
        expected = in_memory.batch(order(2, step, 5, 18))
        np.testing.assert_array_equal(batch["image"], expected["image"])
        np.testing.assert_array_equal(batch["label"], expected["label"])


def test_wrong_folders(tmp_path):
    def refused(message, path=tmp_path, split="train"):
        with pytest.raises(ValueError, match=message):
            load(f"folder:{path}", split)

    refused("there is no such folder", tmp_path / "nowhere")
    refused(r"no image \(\.png, \.jpg, \.jpeg, \.webp\) in the train split, 0 in all")
    (tmp_path / "a.png").write_bytes(b"")
    refused("unreadable: .*a.png")
    save(tmp_path / "a.png")
    refused("no image .* in the test split, 1 in all", split="test")
    refused("has no split 'valid'; allowed are 'train', 'test' and 'all'", split="valid")
    save(tmp_path / "dog" / "b.png")
    refused(r"images lie in class subfolders and beside them \(a.png\)")
