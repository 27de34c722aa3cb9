import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxgen.metrics import InceptionV3, inception_extractor, load_inception
from jaxgen.metrics.inception import BlockA, BlockE, resize

ShapeDtype = jax.ShapeDtypeStruct


def blank(size=75):
    return jax.eval_shape(InceptionV3().init, jax.random.key(0), ShapeDtype((1, size, size, 3), jnp.float32))


def write(path, arrays):
    header, start = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array))
    return path


@pytest.fixture(scope="module")
def entries():
    """A file's worth of random weights, with PyTorch's names and axes."""
    random, arrays = np.random.default_rng(0), {}
    for path, leaf in flatten_dict(blank()["params"]).items():
        name = ".".join(path).replace(".kernel", ".weight")
        shape = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim]
        shape = tuple(leaf.shape[axis] for axis in shape)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        arrays[name] = random.standard_normal(shape, np.float32) * np.float32(scale)
        if name.endswith("running_var"):
            arrays[name] = 1 + np.abs(arrays[name])
    return arrays


def test_has_the_parameters_of_the_published_network():
    """21,785,568 of convolutions and normalisation, 2,049 x 1,008 of the last layer, and 34,432 running statistics."""
    leaves = flatten_dict(blank()["params"])
    statistics = sum(leaf.size for name, leaf in leaves.items() if name[-1].startswith("running"))
    assert statistics == 34_432
    assert sum(leaf.size for leaf in leaves.values()) == 21_785_568 + 2_049 * 1_008 + statistics == 23_885_392
    assert len(leaves) == 94 * 5 + 2


def test_names_and_shapes_are_those_of_the_weight_file(entries):
    """A few of the state dict of pt_inception-2015-12-05."""
    for name, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7dbl_2.conv.weight": (128, 128, 7, 1),
        "Mixed_6e.branch7x7_2.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_1.conv.weight": (448, 2048, 1, 1),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }.items():
        assert entries[name].shape == shape


def test_loads_extracts_and_refuses_other_networks(entries, tmp_path):
    """One light forward pass, at the smallest size."""
    path = write(tmp_path / "inception.safetensors", {**entries, "bn.num_batches_tracked": np.zeros(1, np.float32)})
    params = load_inception(path)["params"]
    kernel = params["Mixed_6b"]["branch7x7dbl_2"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel[2, 0, 5, 9], entries["Mixed_6b.branch7x7dbl_2.conv.weight"][9, 5, 2, 0])
    image = np.random.default_rng(1).uniform(-1, 1, (1, 75, 75, 3)).astype(np.float32)
    features, logits = jax.jit(InceptionV3().apply)({"params": params}, image)
    assert features.shape == (1, 2048) and logits.shape == (1, 1008) and np.isfinite(logits).all()
    np.testing.assert_allclose(logits, features @ entries["fc.weight"].T + entries["fc.bias"], rtol=1e-3, atol=1e-3)

    extractor = inception_extractor(path)
    assert jax.eval_shape(extractor.features, ShapeDtype((5, 32, 32, 1), jnp.uint8)).shape == (5, 2048)
    np.testing.assert_allclose(extractor.logits(features), logits - entries["fc.bias"], rtol=1e-3, atol=1e-3)
    assert extractor.name.startswith("inception-v3 2015-12-05 ")

    other = {name: array for name, array in entries.items() if not name.startswith("Mixed_7c.branch1x1.bn")}
    other["fc.weight"] = np.zeros((1000, 2048), np.float32)  # of today's libraries
    write(path, other)
    expected = (
        r"not the weights of the Inception-v3 of FID: Mixed_7c.branch1x1.bn.bias is missing, "
        r"Mixed_7c.branch1x1.bn.running_mean is missing, Mixed_7c.branch1x1.bn.running_var is missing and 2 more"
    )
    with pytest.raises(ValueError, match=expected):
        load_inception(path)
    write(path, {**entries, "fc.weight": other["fc.weight"]})
    with pytest.raises(ValueError, match=r"of FID: fc.weight has shape \(1000, 2048\)$"):
        load_inception(path)


def output(block, x):
    return np.asarray(jax.jit(block.init_with_output)(jax.random.key(0), x)[0])


def test_average_pools_do_not_count_the_padding():
    """So of a flat image their branch, the last, is flat."""
    flat = jnp.ones((1, 5, 5, 8))
    for block, channels in ((BlockA(pool=32), 32), (BlockE(max_pool=False), 192)):
        branch = output(block, flat)[..., -channels:]
        np.testing.assert_allclose(branch, np.broadcast_to(branch[:, :1, :1], branch.shape), rtol=1e-5)
        assert branch.max() > 0


def test_the_last_block_pools_by_the_maximum():
    """A bright point fills its 3×3 neighbourhood, undiminished."""
    point = jnp.zeros((1, 7, 7, 8)).at[0, 3, 3].set(1.0)
    branch = output(BlockE(max_pool=True), point)[0, ..., -192:]
    np.testing.assert_allclose(branch[2:5, 2:5], np.broadcast_to(branch[3, 3], (3, 3, 192)), rtol=1e-5)
    assert (branch[:2] == 0).all() and branch[3, 3].max() > 0


@pytest.mark.parametrize(("height", "width"), [(8, 5), (299, 299), (400, 310)])
def test_resize_is_bilinear_between_the_centres_of_pixels(height, width):
    image = np.random.default_rng(0).uniform(-1, 1, (1, height, width, 1)).astype(np.float32)

    def axis(x, size):
        at = np.clip((np.arange(299) + 0.5) * size / 299 - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        part = (at - low)[:, None]
        return x[low] * (1 - part) + x[np.minimum(low + 1, size - 1)] * part

    expected = axis(axis(image[0, ..., 0], height).T, width).T
    found = np.asarray(resize(jnp.asarray(image)))
    assert found.shape == (1, 299, 299, 3)
    for channel in range(3):
        np.testing.assert_allclose(found[0, ..., channel], expected, atol=1e-4)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        resize(jnp.asarray(image).repeat(2, axis=3))
