"""`npz:FILE[@VALUES]`: arrays in a file of NumPy, as `np.savez` writes it, Keras' mnist.npz included."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.arrays import check_labels, to_images
from jaxgen.data.dataset import Dataset
from jaxgen.data.images import first_line, resize
from jaxgen.data.options import Options
from jaxgen.data.splits import check_split, hold_out

__all__ = ["load"]

NAMES = {"image": ("image", "label"), "train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
KNOWN = {"label_names"}.union(*NAMES.values())


def load(argument: str, split: str, options: Options) -> Dataset:
    """Returns the images and labels of a file, held in memory.

    - Arrays: `image` and maybe `label`; or `x_train`, `x_test` and maybe `y_train`, `y_test`. `label_names` may name
      the classes. Shapes and types are those of `Dataset.from_arrays`.
    - VALUES says what floats mean: `npz:faces.npz@unit` for [0, 1], `@symmetric` for [-1, 1]. Integers from 0 to 255
      need none.
    - Splits: where the file has no `x_test`, a tenth of the images, the same in every run, is "test" and the rest
      "train". "all" has the images of both.

    Raises `ValueError`, on one line, for a file that cannot be read or has other arrays, for arrays that
    `Dataset.from_arrays` refuses, and where float images are to be resized.
    """
    name = f"npz:{argument}"
    check_split(split, name)
    path, _, values = argument.partition("@")
    arrays = _read(Path(path).expanduser(), name)
    label_names = tuple(map(str, arrays.get("label_names", ())))
    image_key, label_key = NAMES["image" if "image" in arrays else "train"]
    parts = [(arrays[image_key], arrays.get(label_key))]
    if image_key == "x_train" and "x_test" in arrays:
        parts.append((arrays["x_test"], arrays.get("y_test")))
    images = [to_images(image, values or "uint8", name=name) for image, _ in parts]
    shapes = sorted({image.shape[1:] for image in images})
    if len(shapes) > 1:
        raise ValueError(f"{name}: x_train and x_test have images of shapes {shapes[0]} and {shapes[1]}")
    labels, label_names = _labels(parts, label_names, name)

    if len(parts) == 2:
        border = len(images[0])
        rows = {"train": slice(border), "test": slice(border, None), "all": slice(None)}[split]
    else:
        rows = hold_out(len(images[0]), split)
    image = np.concatenate(images)[rows]
    if image.dtype != np.uint8 and (options.image_size is not None or options.channels is not None):
        raise ValueError(f"{name}: only uint8 images can be resized or change their channels; these are {image.dtype}")
    if not len(image):
        raise ValueError(f"{name} has no images in the split {split!r}")
    found = {"image": resize(image, options.image_size, options.channels) if image.dtype == np.uint8 else image}
    if labels is not None:
        found["label"] = labels[rows]
    return Dataset(found, label_names, name=name)


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            there = list(file.files)
            arrays = {key: file[key] for key in there if key in KNOWN}
    except FileNotFoundError as error:
        raise ValueError(f"{name}: there is no such file") from error
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} cannot be read as .npz: {first_line(error)}") from error
    if "image" not in arrays and "x_train" not in arrays:
        raise ValueError(f"{name} has no array 'image' or 'x_train', but {', '.join(there) or 'none at all'}")
    return arrays


def _labels(
    parts: list[tuple[Any, Any]], label_names: tuple[str, ...], name: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The labels of all parts, one after the other, and the names of the classes."""
    given = [label for _, label in parts if label is not None]
    if not given:
        return None, ()
    if len(given) < len(parts):
        raise ValueError(f"{name}: only one of y_train and y_test is there; needed are both or none")
    most = max((int(label.max()) + 1 for label in given if label.size and label.dtype.kind in "ui"), default=0)
    label_names = label_names or tuple(map(str, range(most)))
    labels = [check_labels(label, len(image), label_names, f"{name} labels")[0] for image, label in parts]
    return np.concatenate(labels), label_names
