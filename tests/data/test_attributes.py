import numpy as np
import pytest
from PIL import Image

from jaxgen.data import Dataset, StreamedDataset, factor_world, load


def save(path, value, shape=(4, 4, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


@pytest.fixture
def celebrities(tmp_path):
    """Twenty images; i has Young where i is even, and Black_Hair, Blond_Hair or neither by i mod 3."""
    rows = []
    for i in range(20):
        save(tmp_path / "images" / f"{i:02}.jpg", 10 * i)
        rows.append(f"{i:02}.jpg " + " ".join("1" if yes else "-1" for yes in (i % 3 == 0, i % 3 == 1, i % 2 == 0)))
    (tmp_path / "list.txt").write_text("\n".join(["20", "Black_Hair Blond_Hair Young", *rows]) + "\n")
    return tmp_path


def found(source, **options):
    """By image number its attributes, over both splits."""
    rows = {}
    for split in ("train", "test"):
        data = load(source, split, **options)
        batch = data.batch(np.arange(len(data)))
        for image, attributes in zip(batch["image"], batch["attributes"], strict=True):
            rows[round(int(image[0, 0, 0]) / 10)] = attributes.tolist()
    return rows


@pytest.mark.parametrize("memory_limit", [2 << 30, 0])
def test_a_table_in_the_form_of_celeba(celebrities, memory_limit):
    source = f"attributes:{celebrities}"
    data = load(source, memory_limit=memory_limit)
    assert isinstance(data, Dataset if memory_limit else StreamedDataset)
    assert [one.name for one in data.attributes] == ["Black_Hair", "Blond_Hair", "Young"]
    assert len(data) == 18 and len(load(source, "test")) == 2
    rows = found(source, memory_limit=memory_limit)
    assert rows == {i: [int(i % 3 == 0), int(i % 3 == 1), int(i % 2 == 0)] for i in range(20)}


def test_some_attributes_in_groups(celebrities):
    source = f"attributes:{celebrities}@Young,Blond_Hair/Black_Hair"
    with pytest.warns(UserWarning, match="images without exactly one of each are left out"):
        data = load(source)
    young, hair = data.attributes
    assert (young.columns, hair.columns) == (("Young",), ("Blond_Hair", "Black_Hair"))
    with pytest.warns(UserWarning):
        rows = found(source)
    assert rows == {i: [int(i % 2 == 0), int(i % 3 == 1), int(i % 3 == 0)] for i in range(20) if i % 3 != 2}


def test_a_csv_file(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", 10 * i)
    (tmp_path / "attributes.csv").write_text("image_id,Smiling\n0.png,1\n1.png,0\n2.png,-1\n")
    assert found(f"attributes:{tmp_path}") == {0: [1], 1: [0], 2: [0]}


def test_class_subfolders_are_one_attribute(tmp_path):
    for label, value in (("angry", 0), ("happy", 10), ("sad", 20)):
        for i in range(4):
            save(tmp_path / label / f"{i}.png", value)
    data = load(f"attributes:{tmp_path}")
    assert data.attributes[0].columns == ("angry", "happy", "sad")
    assert found(f"attributes:{tmp_path}") == {0: [1, 0, 0], 1: [0, 1, 0], 2: [0, 0, 1]}


def test_tables_that_do_not_fit(celebrities):
    source, table = f"attributes:{celebrities}", celebrities / "list.txt"
    with pytest.raises(ValueError, match="no attribute Bald; there are Black_Hair, Blond_Hair, Young"):
        load(f"{source}@Bald,Young")
    good = table.read_text()
    table.write_text(good + "99.jpg 1 1 1\n")
    with pytest.raises(ValueError, match=r"list.txt has images that are not there: 99.jpg"):
        load(source)
    table.write_text("\n".join(good.splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"list.txt does not have 19.jpg"):
        for split in ("train", "test"):
            load(source, split)
    table.write_text(good + "19.jpg 1 1\n")
    with pytest.raises(ValueError, match=r"the row '19.jpg' is not a name and 3 times 1, 0 or -1"):
        load(source)
    (celebrities / "more.csv").write_text("image_id,Smiling\n")
    with pytest.raises(ValueError, match=r"several tables: list.txt, more.csv"):
        load(source)
    for file in (table, celebrities / "more.csv"):
        file.unlink()
    with pytest.raises(ValueError, match=r"there is no table of attributes .* or two class subfolders"):
        load(source)


def test_sprites_are_what_their_attributes_say():
    data = load("sprites-attributes", "test")
    assert [one.columns for one in data.attributes] == [
        ("red", "green", "blue", "yellow"),
        ("square", "ellipse", "heart"),
        ("small", "large"),
    ]
    image, attributes = data.arrays["image"], data.arrays["attributes"]
    assert image.shape == (2000, 32, 32, 3)
    red, green, blue = (image[..., i].max((1, 2)) > 0 for i in range(3))
    columns = attributes.T.astype(bool)
    np.testing.assert_array_equal(red, columns[0] | columns[3])
    np.testing.assert_array_equal(green, columns[1] | columns[3])
    np.testing.assert_array_equal(blue, columns[2])
    area = (image.max(-1) > 0).sum((1, 2))
    assert area[columns[7]].max() < area[columns[8]].min()
    square, ellipse, heart = (area[columns[8] & columns[i]].mean() for i in (4, 5, 6))
    assert square == pytest.approx(ellipse, rel=0.05) and square == pytest.approx(heart, rel=0.08)
    assert (attributes[:, :4].sum(1) == 1).all() and attributes.mean(0) == pytest.approx(
        [0.25] * 4 + [1 / 3] * 3 + [0.5] * 2, abs=0.04
    )
    again = load("sprites-attributes", "test")
    np.testing.assert_array_equal(again.arrays["image"], image)
    assert factor_world("sprites-colour").names[:3] == tuple(one.name for one in data.attributes)


def test_joint_sources_know_their_own_attributes_only():
    source = "joint:sprites-attributes:colour+sprites-attributes:shape"
    data = load(source, "test", image_size=8)
    assert [(one.name, one.set) for one in data.attributes] == [("colour", 0), ("shape", 1)]
    which, attributes = data.arrays["set"], data.arrays["attributes"]
    assert np.bincount(which).tolist() == [2000, 2000]
    assert (attributes[which == 0, :4].sum(1) == 1).all() and not attributes[which == 0, 4:].any()
    assert (attributes[which == 1, 4:].sum(1) == 1).all() and not attributes[which == 1, :4].any()
    assert not np.array_equal(data.arrays["image"][:2000], data.arrays["image"][2000:])
    with pytest.raises(ValueError, match=r"at least two sources are needed"):
        load("joint:sprites-attributes")
    with pytest.raises(ValueError, match="digits is no source of images with attributes"):
        load("joint:sprites-attributes+digits")
    with pytest.raises(ValueError, match="no attribute x, y; allowed are colour, shape, scale"):
        load("sprites-attributes:y,x")
