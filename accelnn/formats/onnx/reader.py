"""The file: protobuf by the package `onnx`, checked for what a hostile one may claim."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...core.dtypes import BFLOAT16, DType
from ...core.errors import DTypeError, FormatError, UnsupportedError
from ...core.optional import need

MOST_ELEMENTS = 1 << 40

# ONNX's numbers of element types that have kernels
_DTYPES = {1: DType.float32, 10: DType.float16, 16: DType.bfloat16, 11: DType.float64, 3: DType.int8, 5: DType.int16, 6: DType.int32, 7: DType.int64,
           2: DType.uint8, 4: DType.uint16, 12: DType.uint32, 13: DType.uint64, 9: DType.bool}  # fmt: skip


def open_model(path: str | os.PathLike[str]) -> Any:
    """The ModelProto of a file. External data stays in its files until a tensor is read."""
    onnx = need("onnx", "onnx")
    raw = Path(path).read_bytes()
    return parse(raw, os.fspath(path), onnx)


def parse(raw: bytes, what: str = "model", onnx: Any = None) -> Any:
    onnx = onnx or need("onnx", "onnx")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(raw)
    except Exception as problem:  # google.protobuf.message.DecodeError, whose module differs between versions
        raise FormatError(f"{what}: not an ONNX file ({problem})") from problem
    if not model.graph.output:
        raise FormatError(f"{what}: not an ONNX model: its graph has no outputs")
    return model


def dtype_of(number: int, what: str) -> DType:
    """The element type, or DTypeError."""
    if number in _DTYPES:
        return _DTYPES[number]
    onnx = need("onnx", "onnx")
    known = number in onnx.TensorProto.DataType.values() and number
    raise DTypeError(f"{what} has elements of type {onnx.TensorProto.DataType.Name(number) if known else number}, for which accelnn has no kernels")


def to_numpy(t: Any, folder: str = "") -> np.ndarray:
    """The numbers of a TensorProto; bfloat16 as core.dtypes.BFLOAT16. External data is read from `folder`, and from nowhere outside of it."""
    onnx = need("onnx", "onnx")
    n = 1
    for d in t.dims:
        if d < 0:
            raise FormatError(f"the constant {t.name!r} has a dimension of {d}")
        n *= d
    if n > MOST_ELEMENTS:
        raise FormatError(f"the constant {t.name!r} claims {n} elements")
    if t.data_location == 1:
        t = _external(t, folder, n, onnx)
    elif t.HasField("raw_data") and t.data_type in _ITEM and len(t.raw_data) != n * _ITEM[t.data_type]:
        raise FormatError(f"the constant {t.name!r} has {len(t.raw_data)} bytes for {n} elements")
    try:
        array = np.asarray(onnx.numpy_helper.to_array(t))
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as problem:
        raise FormatError(f"the constant {t.name!r} is broken: {problem}") from problem
    if t.data_type == 16:
        array = array.view(np.uint16).view(BFLOAT16) if array.dtype.itemsize == 2 else _narrowed(array)
    return array


_ITEM = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}


def _narrowed(x: np.ndarray) -> np.ndarray:
    from ...core.dtypes import to_bfloat16

    return to_bfloat16(x)


def _external(t: Any, folder: str, n: int, onnx: Any) -> Any:
    """A copy of the TensorProto with the bytes of its file."""
    entry = {e.key: e.value for e in t.external_data}
    base = Path(folder or ".").resolve()
    path = (base / entry.get("location", "")).resolve()
    if not path.is_relative_to(base) or not path.is_file():
        raise FormatError(f"the constant {t.name!r} lies in {entry.get('location')!r}, which is no file beside the model")
    if t.data_type not in _ITEM:
        raise UnsupportedError(f"the constant {t.name!r}: external data of type {t.data_type}")
    try:
        offset, length = int(entry.get("offset", 0)), int(entry.get("length", n * _ITEM[t.data_type]))
    except ValueError as problem:
        raise FormatError(f"the constant {t.name!r}: {problem}") from problem
    if offset < 0 or length != n * _ITEM[t.data_type] or offset + length > path.stat().st_size:
        raise FormatError(f"the constant {t.name!r}: bytes {offset} to {offset + length} of {path.name}, which has {path.stat().st_size}; "
                          f"{n * _ITEM[t.data_type]} expected")  # fmt: skip
    with path.open("rb") as f:
        f.seek(offset)
        raw = f.read(length)
    return onnx.TensorProto(name=t.name, data_type=t.data_type, dims=list(t.dims), raw_data=raw)


def attributes(node: Any, folder: str = "") -> dict[str, Any]:
    """Python values of a node's attributes: numbers, strings, arrays for tensors, GraphProtos."""
    onnx = need("onnx", "onnx")
    found: dict[str, Any] = {}
    kinds = onnx.AttributeProto
    for a in node.attribute:
        if a.type == kinds.TENSOR:
            found[a.name] = to_numpy(a.t, folder)
        elif a.type == kinds.STRING:
            found[a.name] = a.s.decode("utf-8", "replace")
        elif a.type == kinds.STRINGS:
            found[a.name] = [s.decode("utf-8", "replace") for s in a.strings]
        elif a.type == kinds.GRAPH:
            found[a.name] = a.g
        elif a.type in (kinds.INT, kinds.FLOAT, kinds.INTS, kinds.FLOATS):
            found[a.name] = onnx.helper.get_attribute_value(a)
        elif not a.ref_attr_name:
            raise UnsupportedError(f"{node.op_type} {node.name!r}: its attribute {a.name!r} is of a kind ({a.type}) that accelnn does not read")
    return found
