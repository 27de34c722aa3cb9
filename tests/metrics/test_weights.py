"""The files are written here by hand, byte by byte, as PyTorch and safetensors lay them out."""

import json
import pickle
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.metrics import read_weights

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
COUNT = np.int64(7)


def value(x):
    """The opcodes that push x."""
    return pickle.dumps(x, 2)[2:-1]


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def tensor(kind, key, numel, offset, shape, strides, view=b""):
    """The opcodes of a call of torch._utils._rebuild_tensor_v2 on a storage given by its persistent identity."""
    storage = b"(" + value("storage") + name("torch", kind) + value(key) + value("cpu") + value(numel) + view + b"tQ"
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = storage + value(offset) + value(shape) + value(strides) + value(False) + hooks
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def state_dict(view=b"", **more):
    """An OrderedDict as `Module.state_dict` gives it: with the attribute `_metadata`."""
    entries = {
        "a.weight": tensor("FloatStorage", "0", 12, 0, (3, 4), (4, 1), view),
        "a.transposed": tensor("FloatStorage", "0", 12, 1, (4, 2), (1, 4), view),  # a view of the same storage
        "count": tensor("LongStorage", "1", 1, 0, (), (), view),
        **more,
    }
    items = b"".join(value(key) + entry for key, entry in entries.items())
    dictionary = name("collections", "OrderedDict") + b")R(" + items + b"u"
    return b"\x80\x02" + dictionary + value({"_metadata": {"": {"version": 1}}}) + b"b."


def zipped(path, state, byteorder=b"little", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", state)
        archive.writestr("archive/byteorder", byteorder)
        archive.writestr("archive/data/0", MATRIX.tobytes())
        archive.writestr("archive/data/1", COUNT.tobytes())
        archive.writestr("archive/version", b"3\n")
    return path


def legacy(path, state, magic=0x1950A86A20F9469CFC6C):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    heads = b"".join(pickle.dumps(x, 2) for x in (magic, 1001, system))
    storages = b"".join(len(x).to_bytes(8, "little") + x.tobytes() for x in (COUNT.reshape(1), MATRIX.ravel()))
    path.write_bytes(heads + state + pickle.dumps(["1", "0"], 2) + storages)
    return path


def safetensors(path, header, values):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)
    return path


FILES = {
    "zip": lambda path, *state: zipped(path / "a.pth", *state or (state_dict(),)),
    "legacy": lambda path, *state: legacy(path / "a.pt", *state or (state_dict(value(None)),)),
}
both = pytest.mark.parametrize("write", FILES.values(), ids=FILES)


@both
def test_reads_pytorch_files(tmp_path, write):
    found = read_weights(write(tmp_path))
    assert list(found) == ["a.weight", "a.transposed", "count"]
    np.testing.assert_array_equal(found["a.weight"], MATRIX)
    np.testing.assert_array_equal(found["a.transposed"], [[1, 5], [2, 6], [3, 7], [4, 8]])
    assert found["count"] == COUNT and found["count"].shape == () and found["count"].dtype == np.int64


def test_reads_safetensors(tmp_path):
    arrays = {
        "half": np.arange(6, dtype=np.float16).reshape(2, 3),
        "brain": np.asarray(jnp.linspace(-3, 3, 4, dtype=jnp.bfloat16)),
        "double": np.float64(0.1).reshape(()),
        "flags": np.array([True, False]),
    }
    kinds, header, values = {"half": "F16", "brain": "BF16", "double": "F64", "flags": "BOOL"}, {}, b""
    for key, array in arrays.items():
        offsets = [len(values), len(values) + array.nbytes]
        header[key] = {"dtype": kinds[key], "shape": list(array.shape), "data_offsets": offsets}
        values += array.tobytes()
    found = read_weights(safetensors(tmp_path / "a.safetensors", {"__metadata__": {"format": "pt"}, **header}, values))
    assert set(found) == set(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array)
        assert found[key].dtype == array.dtype


@both
@pytest.mark.parametrize(
    ("module", "attribute"),
    [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("numpy", "load"), ("torch._utils", "_rebuild_xla")],
)
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path, write, module, attribute):
    mark = tmp_path / "mark"
    call = name(module, attribute) + b"(" + value(f"touch {mark}") + b"tR"
    with pytest.raises(ValueError, match=rf"it names {module}\.{attribute}") as raised:
        read_weights(write(tmp_path, state_dict(evil=call)))
    assert "\n" not in str(raised.value) and not mark.exists()


def test_the_attack_would_work(tmp_path):
    """So that the test above tests something."""
    mark = tmp_path / "mark"
    pickle.loads(b"\x80\x02" + name("os", "system") + b"(" + value(f"touch {mark}") + b"tR.")
    assert mark.exists()


@both
@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (13,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2, 2), (1,)), (9, (4,), (1,)), (0, (-1,), (1,))],
)
def test_tensors_reach_no_further_than_their_storage(tmp_path, write, offset, shape, strides):
    view = value(None) if write is FILES["legacy"] else b""
    wild = tensor("FloatStorage", "0", 12, offset, shape, strides, view)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_weights(write(tmp_path, state_dict(view, wild=wild)))


@both
def test_anything_but_tensors_by_name_is_refused(tmp_path, write):
    for state, reason in [
        (pickle.dumps([1, 2], 2), "holds a list"),
        (pickle.dumps({"epoch": 3}, 2), "'epoch' is no tensor, but a int"),
        (pickle.dumps({"model": {}}, 2), "'model' is no tensor, but a dict"),
    ]:
        with pytest.raises(ValueError, match=reason):
            read_weights(write(tmp_path, state))


@both
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, write):
    path = write(tmp_path)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="cannot be read as weights") as raised:
            read_weights(path)
        assert "\n" not in str(raised.value)


def test_other_damage_is_refused(tmp_path):
    good = state_dict()
    flipped = zipped(tmp_path / "flipped.pth", good)
    content = bytearray(flipped.read_bytes())
    content[content.index(MATRIX.tobytes()) + 5] ^= 1
    flipped.write_bytes(content)
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    for path, reason in [
        (flipped, "CRC"),
        (zipped(tmp_path / "big.pth", good, b"big"), "little-endian"),
        (zipped(tmp_path / "packed.pth", good, compression=zipfile.ZIP_DEFLATED), "not one of PyTorch"),
        (legacy(tmp_path / "magic.pth", good, magic=1), "neither of PyTorch's formats"),
        (safetensors(tmp_path / "short.safetensors", {"a": entry}, b"1234567"), "a lies outside of the file"),
        (safetensors(tmp_path / "shape.safetensors", {"a": {**entry, "shape": [3]}}, b"12345678"), "a lies outside"),
        (safetensors(tmp_path / "kind.safetensors", {"a": {**entry, "dtype": "X"}}, b"12345678"), "KeyError"),
        (safetensors(tmp_path / "list.safetensors", [entry], b"12345678"), "cannot be read"),
        (tmp_path / "absent.pth", "No such file"),
        (tmp_path / "a.h5", "weights are read from .safetensors, .pth, .pt files"),
        (tmp_path, "weights are read from"),
    ]:
        with pytest.raises(ValueError, match=reason) as raised:
            read_weights(path)
        assert "\n" not in str(raised.value) and str(path) in str(raised.value)
