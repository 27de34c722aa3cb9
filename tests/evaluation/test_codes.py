import jax.numpy as jnp
import numpy as np

from jaxgen.data import Dataset
from jaxgen.evaluation import code_evaluator


def data(values, labels):
    image = np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    return Dataset({"image": image, "label": np.array(labels, np.int32)}, ("a", "b", "c"))


def test_a_category_stands_for_the_class_that_it_most_often_meets():
    """The code is the pixel's value. In training 0 meets a, 1 meets c twice and b once, and 2 meets b."""
    train = data([0, 1, 1, 1, 2], [0, 2, 1, 2, 1])
    test = data([0, 1, 2, 2], [0, 2, 1, 0])  # one of four is wrong
    evaluate = code_evaluator(lambda state, image: (image[:, 0, 0, 0] + state) % 3, 3, train, test)
    assert evaluate(jnp.uint8(0)).figures == {"code_error": 0.25}
    assert evaluate(jnp.uint8(1)).figures == {"code_error": 0.25}  # the names of the categories do not matter
