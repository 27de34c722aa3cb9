import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset, StreamedDataset, load


def save(path, value, shape=(4, 6, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


def values(array):
    return array[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("memory_limit", [2 << 30, 0])
@pytest.mark.parametrize("reverse", [False, True])
def test_halves_of_an_image_are_a_pair(tmp_path, reverse, memory_limit):
    for i in range(4):
        both = np.concatenate([np.full((4, 3, 3), i, np.uint8), np.full((4, 3, 3), 100 + i, np.uint8)], axis=1)
        for split in ("train", "val"):
            (tmp_path / split).mkdir(exist_ok=True)
            Image.fromarray(both).save(tmp_path / split / f"{i}.png")
    source = f"paired{'-reverse' * reverse}:{tmp_path}"
    data = load(source, memory_limit=memory_limit)
    assert isinstance(data, Dataset if memory_limit else StreamedDataset)
    assert {name: x.shape for name, x in data.example.items()} == {"source": (4, 3, 3), "target": (4, 3, 3)}
    batch = data.batch(np.array([2, 0]))
    left, right = ("target", "source") if reverse else ("source", "target")
    assert values(batch[left]) == [2, 0]
    assert values(batch[right]) == [102, 100]
    assert len(load(source, "test", image_size=2)) == 4
    assert load(source, image_size=2).example["source"].shape == (2, 2, 3)


@pytest.mark.parametrize("layout", ["{part}/{name}", "{split}/{part}/{name}", "{part}/{split}/{name}"])
def test_folders_a_and_b(tmp_path, layout):
    for i in range(10):
        split = "train" if i < 8 else "test"
        for part, value, suffix in (("A", i, "png"), ("B", 100 + i, "png")):
            save(tmp_path / layout.format(part=part, split=split, name=f"{i}.{suffix}"), value, (4, 4, 3))
    train, test, both = (load(f"paired:{tmp_path}", split) for split in ("train", "test", "all"))
    assert len(train) + len(test) == len(both) == 10
    for data in (train, test, both):
        batch = data.batch(np.arange(len(data)))
        assert [100 + value for value in values(batch["source"])] == values(batch["target"])


def test_pairs_that_are_none(tmp_path):
    for name in ("1", "2", "3"):
        save(tmp_path / "A" / f"{name}.png", 0)
    save(tmp_path / "B" / "2.jpg", 0)
    save(tmp_path / "B" / "4.png", 0)
    with pytest.raises(ValueError, match="without a counterpart in A or B: 1, 3, 4"):
        load(f"paired:{tmp_path}")
    for name in ("1", "3"):
        save(tmp_path / "B" / f"{name}.png", 0)
    save(tmp_path / "A" / "4.png", 0)
    assert len(load(f"paired:{tmp_path}")) == 3
    save(tmp_path / "B" / "4.png", 0, (8, 8, 3))
    with pytest.raises(ValueError, match=r"images (differ in size|of A have 4×6 pixels, of B 8×8)"):
        for split in ("train", "test"):
            load(f"paired:{tmp_path}", split)
    save(tmp_path / "odd" / "1.png", 0, (4, 5, 3))
    save(tmp_path / "odd" / "2.png", 0, (4, 5, 3))
    with pytest.raises(ValueError, match="images of 4×5 pixels have no halves"):
        load(f"paired:{tmp_path / 'odd'}")
    with pytest.raises(ValueError, match=r"no split 'val'"):
        load(f"paired:{tmp_path}", "val")
    for i, folder in enumerate(("train/A", "train/B", "val/A")):
        save(tmp_path / "apart" / folder / "1.png", i)
    with pytest.raises(ValueError, match=r"there is no folder .*val/B"):
        load(f"paired:{tmp_path / 'apart'}", "test")
    save(tmp_path / "apart" / "val" / "B" / "1.png", 9)
    assert values(load(f"paired:{tmp_path / 'apart'}", "test").arrays["target"]) == [9]


def test_domains_without_pairs(tmp_path):
    for i in range(5):
        save(tmp_path / "trainA" / f"{i}.png", i)
    for i in range(3):
        save(tmp_path / "trainB" / f"{i}.png", 100 + i, (8, 8))
        save(tmp_path / "testA" / f"{i}.png", 50 + i, (8, 8, 3))
    data = load(f"unpaired:{tmp_path}", image_size=4)
    assert {name: x.shape for name, x in data.example.items()} == {"a": (4, 4, 3), "b": (4, 4, 3)}  # grey became RGB
    assert (len(data), data.unpaired) == (5, True)
    assert values(data.arrays["b"]) == [100, 101, 102]
    both = load(f"unpaired:{tmp_path}", "all", image_size=4)
    assert values(both.arrays["a"]) == [0, 1, 2, 3, 4, 50, 51, 52]
    assert values(both.arrays["b"]) == [100, 101, 102]
    with pytest.raises(ValueError, match=r"no image \(.*\) in a folder testB"):
        load(f"unpaired:{tmp_path}", "test", image_size=4)
    with pytest.raises(ValueError, match="images of a exceed 100 bytes; give a smaller image size"):
        load(f"unpaired:{tmp_path}", image_size=4, memory_limit=100)
    with pytest.raises(ValueError, match=r"batch size is 4, but domain b of .* has 3 examples"):
        data.spec(4)
