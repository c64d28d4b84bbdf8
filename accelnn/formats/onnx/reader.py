"""The file: its tensors and attributes as Python values, checked for what a hostile one may claim."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.dtypes import BFLOAT16, DType
from ...core.errors import DTypeError, FormatError, UnsupportedError
from ...core.optional import need
from . import wire

MOST_ELEMENTS = 1 << 40

# ONNX's numbers of element types that have kernels
_DTYPES = {1: DType.float32, 10: DType.float16, 16: DType.bfloat16, 11: DType.float64, 3: DType.int8, 5: DType.int16, 6: DType.int32, 7: DType.int64,
           2: DType.uint8, 4: DType.uint16, 12: DType.uint32, 13: DType.uint64, 9: DType.bool}  # fmt: skip


def open_model(path: str | os.PathLike[str]) -> Any:
    """The model in a file, whose large tensors stay where it is mapped: who replaces the file while the model lives writes beside it and renames.
    External data stays in its files until a tensor is read."""
    return parse(mapped(Path(path)), os.fspath(path))


def mapped(path: Path, offset: int = 0, length: int = 0) -> Any:
    """The bytes of a file, or of a part of it, mapped where that can be."""
    with path.open("rb") as f:
        start = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        try:
            if 0 < length < wire.SMALL:
                raise ValueError("not worth a mapping")
            whole = mmap.mmap(f.fileno(), length and offset - start + length, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=start)
        except (ValueError, OSError):  # empty, or no file that can be mapped
            f.seek(offset)
            return f.read(length or -1)
    return memoryview(whole)[offset - start :]


def parse(raw: Any, what: str = "model") -> Any:
    """The model in bytes."""
    try:
        model = wire.parse(raw)
    except FormatError as problem:
        raise FormatError(f"{what}: not an ONNX file ({problem})") from problem
    if not model.graph.output:
        raise FormatError(f"{what}: not an ONNX model: its graph has no outputs")
    return model


def model_of(proto: Any) -> Any:
    """The model, of one or of the package onnx's ModelProto."""
    return parse(proto.SerializeToString()) if hasattr(proto, "SerializeToString") else proto


def dtype_of(number: int, what: str) -> DType:
    """The element type, or DTypeError."""
    if number in _DTYPES:
        return _DTYPES[number]
    onnx = need("onnx", "onnx")
    known = number in onnx.TensorProto.DataType.values() and number
    raise DTypeError(f"{what} has elements of type {onnx.TensorProto.DataType.Name(number) if known else number}, for which accelnn has no kernels")


def storage_of(number: int) -> np.dtype[Any]:
    """numpy's type for elements of this type; those that numpy does not know come from the package onnx."""
    if number in _DTYPES:
        return BFLOAT16 if number == 16 else _DTYPES[number].storage
    onnx = need("onnx", "onnx")
    found: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(number)
    return found


def to_numpy(t: Any, folder: str = "") -> np.ndarray:
    """The numbers of a tensor; bfloat16 as core.dtypes.BFLOAT16. External data is read from `folder`, and from nowhere outside of it."""
    n = 1
    for d in t.dims:
        if d < 0:
            raise FormatError(f"the constant {t.name!r} has a dimension of {d}")
        n *= d
    if n > MOST_ELEMENTS:
        raise FormatError(f"the constant {t.name!r} claims {n} elements")
    if t.data_location == 1:
        array = np.frombuffer(_external(t, folder, n), _raw_type(t))
    elif t.HasField("raw_data") and t.data_type in _DTYPES:
        if len(t.raw_data) != n * _raw_type(t).itemsize:
            raise FormatError(f"the constant {t.name!r} has {len(t.raw_data)} bytes for {n} elements")
        array = np.frombuffer(t.raw_data, _raw_type(t))
    else:
        try:
            array = _listed(t) if t.data_type in _LISTS else _seldom(t)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, UnicodeDecodeError) as problem:
            raise FormatError(f"the constant {t.name!r} is broken: {problem}") from problem
    if array.size != n:
        raise FormatError(f"the constant {t.name!r} has {array.size} numbers for {n} elements")
    if len(t.dims) > 64:  # numpy's most
        raise FormatError(f"the constant {t.name!r} has {len(t.dims)} dims")
    return array.reshape(tuple(t.dims))


def _raw_type(t: Any) -> np.dtype[Any]:
    if t.data_type not in _DTYPES:
        raise UnsupportedError(f"the constant {t.name!r}: external data of type {t.data_type}")
    return BFLOAT16 if t.data_type == 16 else _DTYPES[t.data_type].storage.newbyteorder("<")


# Which field the numbers of a type are listed in, where they are not raw bytes, and how its elements hold them.
_LISTS = {1: ("float_data", "f4"), 11: ("double_data", "f8"), 7: ("int64_data", "i8"), 12: ("uint64_data", "u4"), 13: ("uint64_data", "u8"),
          **dict.fromkeys((2, 3, 4, 5, 6, 9, 10, 16), ("int32_data", ""))}  # fmt: skip


def _listed(t: Any) -> np.ndarray:
    field, dtype = _LISTS[t.data_type]
    found = wire.together(getattr(t, field), dtype or "i8")
    if dtype:
        return found
    if t.data_type in (10, 16):  # the bits of 16-bit floats
        return found.astype(np.uint16).view(storage_of(t.data_type))
    return found.astype(storage_of(t.data_type))


def _seldom(t: Any) -> np.ndarray:
    """Strings, complex numbers, floats of 8 bits, what is packed in less than a byte."""
    if t.data_type == 8:
        return np.asarray([s.decode("utf-8") for s in t.string_data], object)
    onnx = need("onnx", "onnx")
    if t.data_type not in onnx.TensorProto.DataType.values() or not t.data_type:
        raise DTypeError(f"the constant {t.name!r} has elements of type {t.data_type}, which ONNX does not have")
    proto = onnx.TensorProto(name=t.name, data_type=t.data_type, dims=list(t.dims))
    if t.HasField("raw_data"):
        proto.raw_data = bytes(t.raw_data)
    proto.int32_data.extend(wire.together(t.int32_data, "i4").tolist())
    proto.float_data.extend(wire.together(t.float_data, "f4").tolist())
    proto.double_data.extend(wire.together(t.double_data, "f8").tolist())
    return np.asarray(onnx.numpy_helper.to_array(proto))


def _external(t: Any, folder: str, n: int) -> Any:
    """The bytes in its file."""
    size = n * _raw_type(t).itemsize
    entry = {e.key: e.value for e in t.external_data}
    base = Path(folder or ".").resolve()
    try:
        path = (base / entry.get("location", "")).resolve()
        known = path.is_relative_to(base) and path.is_file()
    except (ValueError, OSError):  # a zero byte, a name that is too long
        known = False
    if not known:
        raise FormatError(f"the constant {t.name!r} lies in {entry.get('location')!r}, which is no file beside the model")
    try:
        offset, length = int(entry.get("offset", 0)), int(entry.get("length", size))
    except ValueError as problem:
        raise FormatError(f"the constant {t.name!r}: {problem}") from problem
    if offset < 0 or length != size or offset + length > path.stat().st_size:
        raise FormatError(f"the constant {t.name!r}: bytes {offset} to {offset + length} of {path.name}, which has {path.stat().st_size}; {size} expected")
    return mapped(path, offset, length) if length else b""


TENSOR, STRING, GRAPH, STRINGS = 4, 3, 5, 8  # of AttributeProto.AttributeType
_VALUES: dict[int, Callable[[Any], Any]] = {1: lambda a: a.f, 2: lambda a: a.i, 6: lambda a: list(a.floats), 7: lambda a: list(a.ints),
                                            STRING: lambda a: a.s.decode("utf-8", "replace"),
                                            STRINGS: lambda a: [s.decode("utf-8", "replace") for s in a.strings], GRAPH: lambda a: a.g}  # fmt: skip


def attributes(node: Any, folder: str = "", given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Python values of a node's attributes: numbers, strings, arrays for tensors, graphs. `given`: of the call of a function that the node is in."""
    return attributes_of(node.attribute, f"{node.op_type} {node.name!r}", folder, given)


def attributes_of(listed: Any, what: str, folder: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for a in listed:
        if a.ref_attr_name:
            if given is not None and a.ref_attr_name in given:
                found[a.name] = given[a.ref_attr_name]
        elif a.type == TENSOR:
            found[a.name] = to_numpy(a.t, folder)
        elif a.type in _VALUES:
            found[a.name] = _VALUES[a.type](a)
        else:
            raise UnsupportedError(f"{what}: its attribute {a.name!r} is of a kind ({a.type}) that accelnn does not read")
    return found
