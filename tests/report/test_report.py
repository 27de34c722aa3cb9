import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from jaxgen.report import (
    image_grid,
    plot_curves,
    plot_heat_map,
    plot_kl_per_unit,
    plot_scatter,
    save_animation,
    save_image,
    write_page,
)


def solid(*values, size=32, channels=1):
    """One image of each grey value."""
    return np.stack([np.full((size, size, channels), value, np.uint8) for value in values])


def test_grid_goes_row_by_row_on_white_and_leaves_missing_places_white():
    grid = image_grid(solid(10, 20, 30), columns=2)
    assert grid.shape == (2 * 34 + 2, 2 * 34 + 2, 1)
    page = np.full(grid.shape, 255, np.uint8)
    page[2:34, 2:34], page[2:34, 36:68], page[36:68, 2:34] = 10, 20, 30
    np.testing.assert_array_equal(grid, page)


def test_grid_without_gap_is_the_images_side_by_side():
    images = np.random.default_rng(0).integers(0, 256, (4, 40, 32, 3)).astype(np.uint8)
    rows = [np.concatenate(images[i : i + 2], axis=1) for i in (0, 2)]
    np.testing.assert_array_equal(image_grid(images, 2, gap=0), np.concatenate(rows))


def test_small_images_are_enlarged_by_a_whole_factor():
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
    grid = image_grid(image, gap=0, smallest=20)
    np.testing.assert_array_equal(grid, np.kron(image[0, ..., 0], np.ones((3, 3), np.uint8))[..., None])


def test_float_images_are_clipped_and_rounded():
    images = np.stack([np.full((32, 32, 1), v, np.float32) for v in (-1, 0.003, 1, -7, 7)])
    grid = image_grid(images, columns=5, gap=0)
    assert list(grid[0, ::32, 0]) == [0, 128, 255, 0, 255]


@pytest.mark.parametrize("names", [("a", "b"), ("a", "a long\nname of it", "c", "d", "e")])
@pytest.mark.parametrize("row_names", [(), ("first", "second\nrow", "third")])
def test_names_stand_clear_of_the_images(names, row_names):
    values = (10, 20, 30, 40, 50)
    grid = image_grid(solid(*values), 2, names=names, row_names=row_names)[..., 0].copy()
    places = []
    for value in values:  # where its 32×32 pixels are, one block on white
        rows, columns = np.nonzero(grid == value)
        inside = (abs(rows - np.median(rows)) <= 16) & (abs(columns - np.median(columns)) <= 16)
        top, left = rows[inside].min(), columns[inside].min()
        assert (grid[top : top + 32, left : left + 32] == value).all()
        grid[top : top + 32, left : left + 32] = 255
        places.append((top, left))
    assert places[0][0] == places[1][0] < places[2][0] and places[0][1] == places[2][1] < places[1][1]
    for i, (top, left) in enumerate(places):
        above = grid[max(0, top - 17) : top, left : left + 32]
        assert (above.min() < 100) == (i < len(names))
        if i % 2 == 0:
            assert (grid[top : top + 32, :left].min(initial=255) < 100) == bool(row_names)
    edge = np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]])
    assert (edge == 255).all()  # no name is cut off


@pytest.mark.parametrize("channels", [1, 3])
def test_animation_goes_forth_and_back_without_end(tmp_path, channels):
    frames = [np.full((9, 7, channels), 60 * i, np.uint8) for i in range(4)]
    for i, frame in enumerate(frames):
        frame[i, 2] = (255, 0, 128)[:channels]
    path = tmp_path / "new" / "walk.gif"
    save_animation(path, frames, milliseconds=80)
    with Image.open(path) as film:
        assert film.n_frames == 6 and film.info["loop"] == 0
        for place, i in enumerate((0, 1, 2, 3, 2, 1)):
            film.seek(place)
            assert film.info["duration"] == 80
            shown = np.asarray(film.convert("RGB"))[..., :channels]
            np.testing.assert_array_equal(shown, frames[i])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_image_reads_back_the_same(tmp_path, channels):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    save_image(tmp_path / "new" / "folder" / "image.png", image)
    read = np.asarray(Image.open(tmp_path / "new" / "folder" / "image.png"))
    np.testing.assert_array_equal(read.reshape(image.shape), image)


def colours(path):
    """The distinct colours of a picture that are not grey."""
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    return {tuple(pixel) for pixel in pixels if np.ptp(pixel.astype(int)) > 100}


def test_curves_have_a_panel_for_each_metric_read_more_than_once_but_speed(tmp_path):
    records = [{"step": i, "loss": i**2, "steps_per_second": 100.0} for i in range(5)]
    plot_curves(tmp_path / "one.png", [*records, {"step": 5, "test_elbo": -3.0}])
    plot_curves(tmp_path / "two.png", [{**record, "kl": 1.0} for record in records])
    plot_curves(tmp_path / "none.png", records[:1])
    width = {name: Image.open(tmp_path / f"{name}.png").size[0] for name in ("two", "one", "none")}
    assert width["two"] == 2 * width["one"] == 2 * width["none"]
    assert colours(tmp_path / "two.png") and not colours(tmp_path / "none.png")


def test_scatter_gives_each_class_its_colour(tmp_path):
    points = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    plot_scatter(tmp_path / "all.png", points)
    plot_scatter(tmp_path / "classes.png", points, np.arange(300) % 3, ("a", "b", "c"))
    assert (31, 119, 180) in colours(tmp_path / "all.png")
    assert {(31, 119, 180), (255, 127, 14), (44, 160, 44)} <= colours(tmp_path / "classes.png")


def test_kl_has_a_bar_for_each_unit_the_used_ones_in_blue(tmp_path):
    blue, red, silver = (31, 119, 180), (255, 0, 0), (192, 192, 192)
    kl = np.array([0.001, 2.0, 0.0, 0.02], np.float32)
    plot_kl_per_unit(tmp_path / "kl.png", kl, 0.01)
    pixels = np.asarray(Image.open(tmp_path / "kl.png").convert("RGB"))

    def columns(colour):
        return np.flatnonzero((pixels == colour).all(-1).sum(0) > 5)

    bars = columns(blue)
    assert len(bars) and bars.max() < columns(silver).min()  # the largest first
    assert np.ptp(np.nonzero((pixels == red).all(-1))[1]) > 0.7 * pixels.shape[1]
    plot_kl_per_unit(tmp_path / "none.png", np.zeros(1, np.float32), 0.01)
    assert blue not in colours(tmp_path / "none.png")


def test_heat_map_has_a_colour_for_each_value(tmp_path):
    plot_heat_map(tmp_path / "map.png", np.array([[0.0, 2.0], [1.0, 0.0]]), ("a", "b"), ("x\n(1)", "y"), "t", "nats")
    plot_heat_map(tmp_path / "column.png", np.zeros((3, 1)), ("a", "b", "c"), ("x",))
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    low, half, high = (
        (pixels == colour).all(-1).sum() for colour in colormaps["viridis"]([0.0, 0.5, 1.0], bytes=True)[:, :3]
    )
    assert min(half, high) > 2000 and low > 1.8 * half


def test_page_shows_figures_settings_and_every_picture_escaped(tmp_path):
    save_image(tmp_path / "latent_scatter.png", solid(0)[0])
    save_animation(tmp_path / "walk.gif", list(solid(0, 9)))
    write_page(tmp_path, "vae <1>", {"source": "folder:<b>&co"}, {"test_elbo": -104.31234})
    text = (tmp_path / "report.html").read_text()
    assert "<h1>vae &lt;1&gt;</h1>" in text and "folder:&lt;b&gt;&amp;co" in text
    assert "<td>test elbo<td>-104.31" in text
    assert '<h2>latent scatter</h2><img src="latent_scatter.png"' in text
    assert '<h2>walk</h2><img src="walk.gif"' in text
