"""`digits`: the 1,797 real handwritten digits that come with scikit-learn, 8×8 pixels, grey."""

import numpy as np

from jaxgen.data.dataset import Dataset
from jaxgen.data.images import resize
from jaxgen.data.options import Options
from jaxgen.data.ordering import order
from jaxgen.data.splits import check_split
from jaxgen.optional import require

__all__ = ["load"]


def load(_: str, split: str, options: Options) -> Dataset:
    """Returns 1,497 digits to train and 300 to test, the classes in equal parts in both; "all" has both.

    The split is the same in every run: of each class, shuffled, every sixth digit is for the test.
    """
    check_split(split, "digits")
    data = require("sklearn.datasets", "the source digits", "scikit-learn").load_digits()
    image = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., None]
    label = data.target.astype(np.int32)

    chosen = np.arange(len(label))
    if split != "all":
        shuffled = order(0, 0, len(label), len(label))
        by_class = shuffled[np.argsort(label[shuffled], kind="stable")]
        chosen = by_class[::6] if split == "test" else np.delete(by_class, np.s_[::6])
    return Dataset(
        {"image": resize(image[chosen], options.image_size, options.channels), "label": label[chosen]},
        label_names=tuple("0123456789"),
        name="digits",
    )
