import jax
import numpy as np
import pytest

from jaxgen.data import Dataset, StreamedDataset, load
from jaxgen.data.options import Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, "2 channels asked for; allowed are 1 .* and 3"),
        ({"image_size": 0}, "the image size is 0"),
        ({"image_size": -8}, "the image size is -8"),
        ({"corrupt": "ignore"}, "corrupt is 'ignore'; allowed are 'skip' and 'fail'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)
    if "corrupt" not in options:  # its type is checked first
        with pytest.raises(ValueError, match=message):
            load("digits", **options)


def test_what_fits_is_read_into_memory():
    """10 examples of 4·4·1 + 4 bytes each."""
    source = [{"image": np.full((4, 4, 1), i, np.uint8), "label": np.int32(i)} for i in range(10)]
    example = {"image": jax.ShapeDtypeStruct((4, 4, 1), np.uint8), "label": jax.ShapeDtypeStruct((), np.int32)}
    data = StreamedDataset(source, example)
    assert isinstance(Options(memory_limit=200).settle(data), Dataset)
    assert Options(memory_limit=199).settle(data) is data
