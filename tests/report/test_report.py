import numpy as np
import pytest
from PIL import Image

from jaxgen.report import image_grid, plot_curves, plot_scatter, save_image, write_page


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


def test_page_shows_figures_settings_and_every_picture_escaped(tmp_path):
    save_image(tmp_path / "latent_scatter.png", solid(0)[0])
    write_page(tmp_path, "vae <1>", {"source": "folder:<b>&co"}, {"test_elbo": -104.31234})
    text = (tmp_path / "report.html").read_text()
    assert "<h1>vae &lt;1&gt;</h1>" in text and "folder:&lt;b&gt;&amp;co" in text
    assert "<td>test elbo<td>-104.31" in text
    assert '<h2>latent scatter</h2><img src="latent_scatter.png"' in text
