"""`digits`: scikit-learn's 1,797 real handwritten digits, 8×8 grey: the embedded default."""

import numpy as np

from jaxgen.data.dataset import Dataset
from jaxgen.data.images import resize
from jaxgen.data.options import Options
from jaxgen.data.ordering import order

__all__ = ["load"]


def load(_: str, split: str, options: Options) -> Dataset:
    """1,497 digits to train and 300 to test, the classes in equal parts in both; the same split always."""
    from sklearn.datasets import load_digits  # here, because it takes a second

    if split not in ("train", "test"):
        raise ValueError(f"digits has no split {split!r}; allowed are 'train' and 'test'")
    data = load_digits()
    image = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., None]
    label = data.target.astype(np.int32)

    shuffled = order(0, 0, len(label), len(label))
    by_class = shuffled[np.argsort(label[shuffled], kind="stable")]
    chosen = by_class[::6] if split == "test" else np.delete(by_class, np.s_[::6])
    return Dataset(
        {"image": resize(image[chosen], options.image_size, options.channels), "label": label[chosen]},
        label_names=tuple("0123456789"),
        name="digits",
    )
