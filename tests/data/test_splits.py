import numpy as np
import pytest

from jaxgen.data import order
from jaxgen.data.splits import check_split, hold_out


@pytest.mark.parametrize(("size", "held_out"), [(0, 0), (1, 0), (2, 1), (9, 1), (30, 3), (1999, 199)])
def test_the_parts_are_the_whole(size, held_out):
    train, test = hold_out(size, "train"), hold_out(size, "test")
    assert len(test) == held_out
    assert sorted([*train, *test]) == hold_out(size, "all").tolist() == list(range(size))
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


def test_the_choice_stays_the_same_for_ever():
    """A model trained before an update must not have seen the test images of after."""
    assert hold_out(30, "test").tolist() == sorted(order(0, 0, 30, 30)[:3].tolist()) == [3, 11, 20]


def test_unknown_splits():
    with pytest.raises(ValueError, match=r"^here has no split 'valid'; allowed are 'train', 'test' and 'all'$"):
        check_split("valid", "here")
    with pytest.raises(ValueError, match=r"^here has no split 'all'; allowed are 'train' and 'test'$"):
        check_split("all", "here", ("train", "test"))
