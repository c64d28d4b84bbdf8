"""Protocol buffers, as far as ONNX files need them: bytes -> messages with the names and defaults of onnx.proto.

The package `onnx` would do, and costs more than many models: 0.15 s and 13 MB to import, and three copies of every weight (the file's bytes, the
message's, and the `bytes` that each look at raw_data makes). Here large tensors stay where the file is mapped. Of a hostile file nothing is believed:
lengths, depths and counts are checked, what is not known is skipped."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.errors import FormatError

MOST_DEPTH = 64  # of messages in messages
SMALL = 1 << 16  # bytes: what is smaller is copied, so that the file need not stay

Buffer = memoryview
Field = tuple[str, str, Any]  # name, kind, message type; a kind that begins with * may come many times


class Message:
    """Fields that the file did not give have their defaults."""

    FIELDS: dict[int, Field] = {}
    ONE_OF: tuple[str, ...] = ()

    def HasField(self, name: str) -> bool:  # noqa: N802 (the name in protobuf, whose messages the importer takes too)
        return name in vars(self)

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802
        return next((n for n in self.ONE_OF if n in vars(self)), None)

    def __getattr__(self, name: str) -> Any:
        for field, kind, message in self.FIELDS.values():
            if field == name:
                default = [] if kind[0] == "*" else message() if message else DEFAULTS[kind]
                if kind[0] == "*":
                    setattr(self, name, default)
                return default
        raise AttributeError(f"{type(self).__name__} has no {name}")


DEFAULTS: dict[str, Any] = {"int": 0, "float": 0.0, "double": 0.0, "text": "", "bytes": b""}


def _type(name: str, one_of: tuple[str, ...] = (), /, **fields: Any) -> type[Message]:
    """A message type; fields: name=(number, kind) or (number, kind, message type)."""
    table = {f[0]: (n, f[1], f[2] if len(f) > 2 else None) for n, f in fields.items()}
    return type(name, (Message,), {"ONE_OF": one_of, "FIELDS": table})


Entry = _type("Entry", key=(1, "text"), value=(2, "text"))
Opset = _type("Opset", domain=(1, "text"), version=(2, "int"))
Dimension = _type("Dimension", ("dim_value", "dim_param"), dim_value=(1, "int"), dim_param=(2, "text"))
Shape = _type("Shape", dim=(1, "*message", Dimension))
TensorType = _type("TensorType", elem_type=(1, "int"), shape=(2, "message", Shape))
Other = _type("Other")
ValueType = _type("ValueType", ("tensor_type", "sequence_type", "map_type", "opaque_type", "sparse_tensor_type", "optional_type"),
                  tensor_type=(1, "message", TensorType), sequence_type=(4, "message", Other), map_type=(5, "message", Other),
                  opaque_type=(7, "message", Other), sparse_tensor_type=(8, "message", Other), optional_type=(9, "message", Other))  # fmt: skip
ValueInfo = _type("ValueInfo", name=(1, "text"), type=(2, "message", ValueType))
Tensor = _type("Tensor", dims=(1, "*int"), data_type=(2, "int"), float_data=(4, "*f4"), int32_data=(5, "*varints"), string_data=(6, "*bytes"),
               int64_data=(7, "*varints"), name=(8, "text"), raw_data=(9, "raw"), double_data=(10, "*f8"), uint64_data=(11, "*varints"),
               external_data=(13, "*message", Entry), data_location=(14, "int"))  # fmt: skip
DEFAULTS["raw"] = b""
Attribute = _type("Attribute", name=(1, "text"), f=(2, "float"), i=(3, "int"), s=(4, "bytes"), t=(5, "message", Tensor), floats=(7, "*float"),
                  ints=(8, "*int"), strings=(9, "*bytes"), type=(20, "int"), ref_attr_name=(21, "text"))  # fmt: skip
Node = _type("Node", input=(1, "*text"), output=(2, "*text"), name=(3, "text"), op_type=(4, "text"), attribute=(5, "*message", Attribute), domain=(7, "text"))
Graph = _type("Graph", node=(1, "*message", Node), name=(2, "text"), initializer=(5, "*message", Tensor), input=(11, "*message", ValueInfo),
              output=(12, "*message", ValueInfo))  # fmt: skip
Attribute.FIELDS[6] = ("g", "message", Graph)
Function = _type("Function", name=(1, "text"), input=(4, "*text"), output=(5, "*text"), attribute=(6, "*text"), node=(7, "*message", Node),
                 opset_import=(9, "*message", Opset), domain=(10, "text"), attribute_proto=(11, "*message", Attribute))  # fmt: skip
Model = _type("Model", graph=(7, "message", Graph), opset_import=(8, "*message", Opset), functions=(25, "*message", Function))


def parse(raw: Any) -> Message:
    """The Model in bytes (anything with a buffer). Its large tensors are windows on them."""
    buffer = memoryview(raw).cast("B")
    return _message(Model, buffer, 0, len(buffer), 0)


def _varint(b: Buffer, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = b[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            break
    raise FormatError(f"a number at byte {at} does not end")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def varints(b: Buffer) -> np.ndarray:
    """int64[n]: numbers that lie one after the other."""
    raw = np.frombuffer(b, np.uint8)
    last = np.flatnonzero(raw < 0x80)
    if len(raw) and (not len(last) or last[-1] != len(raw) - 1):
        raise FormatError("a list of numbers is cut short")
    first = np.concatenate(([0], last[:-1] + 1)) if len(last) else last
    length = last - first + 1
    if length.max(initial=0) > 10:
        raise FormatError("a number in a list does not end")
    value = np.zeros(len(last), np.uint64)
    for k in range(int(length.max(initial=0))):
        has = length > k
        value[has] |= (raw[first[has] + k] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * k)
    return value.view(np.int64)


def _text(b: Buffer) -> str:
    try:
        return str(b, "utf-8")
    except UnicodeDecodeError as problem:
        raise FormatError(f"a name is not UTF-8: {problem}") from None


def _raw(b: Buffer) -> Any:
    return bytes(b) if len(b) < SMALL else b


# Of fields that come with a length. Lists of numbers may come packed, each on its own, or both.
SIZED: dict[str, Callable[[Buffer], Any]] = {"text": _text, "bytes": bytes, "raw": _raw}
PACKED: dict[str, Callable[[Buffer], np.ndarray]] = {"int": varints, "varints": varints, "float": lambda b: np.frombuffer(b, "<f4"),
                                                     "f4": lambda b: np.frombuffer(b, "<f4"), "f8": lambda b: np.frombuffer(b, "<f8")}  # fmt: skip
WIRE = {"int": 0, "varints": 0, "float": 5, "f4": 5, "double": 1, "f8": 1}
FIXED = {5: ("<f", 4), 1: ("<d", 8)}


def _message(kind: type[Message], b: Buffer, at: int, end: int, depth: int) -> Message:
    if depth > MOST_DEPTH:
        raise FormatError(f"messages lie more than {MOST_DEPTH} deep in each other")
    made = kind()
    values = vars(made)
    fields = kind.FIELDS
    while at < end:
        tag, at = _varint(b, at, end)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise FormatError(f"byte {at}: a field without a number")
        start = at
        if wire == 0:
            value, at = _varint(b, at, end)
        elif wire == 2:
            size, start = _varint(b, at, end)
            at = start + size
        elif wire in FIXED:
            at += FIXED[wire][1]
        else:
            raise FormatError(f"byte {at}: a field of kind {wire}, which ONNX files do not have")
        if at > end:
            raise FormatError(f"a field that begins at byte {start} reaches {at - end} bytes too far")
        if number not in fields:
            continue
        name, what, inner = fields[number]
        many = what[0] == "*"
        what = what.lstrip("*")
        if wire == 2:
            if inner is not None:
                found: Any = _message(inner, b, start, at, depth + 1)
            elif what in SIZED:
                found = SIZED[what](b[start:at])
            elif many:
                try:
                    found = PACKED[what](b[start:at])
                except ValueError as problem:
                    raise FormatError(f"{kind.__name__}.{name}: {problem}") from None
                values.setdefault(name, []).extend(found.tolist() if what in ("int", "float") else (found,))
                continue
            else:
                raise FormatError(f"{kind.__name__}.{name}: bytes where a number is expected")
        elif WIRE.get(what) != wire:
            raise FormatError(f"{kind.__name__}.{name} is of another kind than ONNX says")
        else:
            found = _signed(value) if wire == 0 else struct.unpack_from(FIXED[wire][0], b, start)[0]
        if many:
            values.setdefault(name, []).append(found)
        else:
            values[name] = found
    return made


def together(parts: list[Any], dtype: Any) -> np.ndarray:
    """The numbers of a tensor's list field, whose parts are arrays and single numbers."""
    arrays = [np.atleast_1d(p if isinstance(p, np.ndarray) else np.asarray(p, np.float64 if isinstance(p, float) else np.int64)) for p in parts]
    return np.concatenate(arrays).astype(dtype, copy=False) if arrays else np.zeros(0, dtype)
