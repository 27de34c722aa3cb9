"""Weights from files of other libraries, as data: nothing in a file is executed.

A PyTorch file is a pickle, which may call any function it names. Here it may name only what tensors are made of, and
even those names mean functions of this file.
"""

import io
import json
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

__all__ = ["read_weights"]

SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file of PyTorch before 1.6; the second is the version
VERSION = 1001


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the tensors by name of a `.safetensors` file, or of a state dict in a `.pth` or `.pt` file.

    PyTorch's files of the zip format (since 1.6) and of the one before are read. The arrays are read-only.

    Raises:
        ValueError: another suffix, no such file, a damaged one, or one that holds anything but tensors by name.
    """
    path = Path(path)
    readers: dict[str, Callable[..., Any]] = {".safetensors": _safetensors, ".pth": _torch, ".pt": _torch}
    if path.suffix not in readers:
        raise ValueError(f"{path}: weights are read from {', '.join(readers)} files")
    try:
        return readers[path.suffix](path.read_bytes())
    except Exception as error:  # a damaged file may raise any, says the documentation of pickle
        reason = str(error) if isinstance(error, ValueError | OSError) else repr(error)
        raise ValueError(f"{path}: cannot be read as weights: {' '.join(reason.split())}") from error


def _safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Eight bytes with the length of a JSON header, the header, and the values to which its offsets point."""
    start = 8 + int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8:start]), memoryview(data)[start:]
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        dtype, shape, (begin, end) = jnp.dtype(SAFETENSORS[entry["dtype"]]), entry["shape"], entry["data_offsets"]
        if not 0 <= begin <= end <= len(values) or end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} lies outside of the file, which may be truncated")
        arrays[name] = np.ndarray(shape, dtype, values[begin:end])
    return arrays


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


class _Storage(NamedTuple):
    """A tensor's memory, read later: its key is where."""

    dtype: str
    key: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, memory: bytes) -> np.ndarray:
        """Returns the values in `memory`; NumPy checks that they lie within it."""
        dtype = jnp.dtype(self.storage.dtype)
        size = dtype.itemsize
        return np.ndarray(self.shape, dtype, memory, self.offset * size, [stride * size for stride in self.strides])


class _Unpickler(pickle.Unpickler):
    """Knows the names that a dictionary of tensors needs, each as a harmless thing of this file."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        known = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": self.parameter,
            **{f"torch.{storage}": dtype for storage, dtype in STORAGES.items()},
        }
        if f"{module}.{name}" not in known:
            raise ValueError(f"it names {module}.{name}, and a file of weights has no need of that")
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, _numel, *view = pid
        if kind != "storage" or dtype not in STORAGES.values() or any(view):
            raise ValueError(f"unknown kind of storage {pid!r:.80}")
        self.storages[key] = _Storage(dtype, key)
        return self.storages[key]

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_gradient: Any) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise ValueError("it holds a tensor without a storage")
        return _Tensor(storage, offset, shape, strides)

    def parameter(self, tensor: Any, *_gradient: Any) -> Any:
        return tensor


def _torch(data: bytes) -> dict[str, np.ndarray]:
    return _zip(data) if data.startswith(b"PK") else _legacy(data)


def _zip(data: bytes) -> dict[str, np.ndarray]:
    """An uncompressed archive NAME/data.pkl, NAME/data/KEY for each storage."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1 or any(entry.compress_type for entry in archive.infolist()):
            raise ValueError("the archive is not one of PyTorch")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are not little-endian")
        tensors = _tensors(_Unpickler(io.BytesIO(archive.read(pickles[0]))).load())
        return {
            name: tensor.array(archive.read(f"{root}data/{tensor.storage.key}")) for name, tensor in tensors.items()
        }


def _legacy(data: bytes) -> dict[str, np.ndarray]:
    """Five pickles (magic number, version, system, object, keys of storages), then each storage after its length."""
    file = io.BytesIO(data)
    magic, version, system = (_Unpickler(file).load() for _ in range(3))
    if magic != MAGIC or version != VERSION or not system["little_endian"]:
        raise ValueError("it is neither of PyTorch's formats")
    unpickler = _Unpickler(file)
    tensors = _tensors(unpickler.load())
    memory = {}
    for key in _Unpickler(file).load():
        numel = int.from_bytes(file.read(8), "little")
        memory[key] = file.read(numel * jnp.dtype(unpickler.storages[key].dtype).itemsize)
    return {name: tensor.array(memory[tensor.storage.key]) for name, tensor in tensors.items()}


def _tensors(state: Any) -> Mapping[str, _Tensor]:
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__} instead of tensors by name")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise ValueError(f"entry {name!r:.80} is no tensor, but a {type(value).__name__}")
    return state
