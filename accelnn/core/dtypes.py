"""Element types. The numbers are those of csrc/runtime/dtype.h."""

from __future__ import annotations

import enum

import numpy as np

from .errors import DTypeError


class DType(enum.IntEnum):
    """Element type of a tensor. bfloat16 has no numpy type: its storage is uint16. From float64 on (SELDOM) they are moved, cast, summed and calculated
    with elementwise (ops/arithmetic.py), in models that count or convert in them; layers compute in the others."""

    float32 = 0
    float16 = 1
    bfloat16 = 2
    int8 = 3
    uint8 = 4
    int32 = 5
    int64 = 6
    bool = 7
    float64 = 8
    int16 = 9
    uint16 = 10
    uint32 = 11
    uint64 = 12

    @property
    def storage(self) -> np.dtype:
        """The numpy dtype of the memory (uint16 for bfloat16)."""
        return _STORAGE[self]

    @property
    def itemsize(self) -> int:
        return _STORAGE[self].itemsize

    @property
    def is_float(self) -> int:
        return self <= DType.bfloat16 or self == DType.float64

    def __repr__(self) -> str:
        return f"accelnn.{self.name}"

    __str__ = __repr__


SELDOM = (DType.float64, DType.int16, DType.uint16, DType.uint32, DType.uint64)
_STORAGE = tuple(np.dtype(c) for c in ("f4", "f2", "u2", "i1", "u1", "i4", "i8", "?", "f8", "i2", "u2", "u4", "u8"))
_BY_NUMPY = {d: DType(i) for i, d in enumerate(_STORAGE) if i != DType.bfloat16}
# numpy has no bfloat16. An array of this type holds its bits and cannot be taken for uint16.
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
_BY_NUMPY[BFLOAT16] = DType.bfloat16
_BY_SHORT_NAME = dict(zip(("f32", "f16", "bf16", "i8", "u8", "i32", "i64", "bool", "f64", "i16", "u16", "u32", "u64"), DType))


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of float32 numbers, halves to even."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FC0), rounded).astype(np.uint16).view(BFLOAT16)


def from_bfloat16(x: np.ndarray) -> np.ndarray:
    """float32 of bfloat16, or of its bits as uint16."""
    return (x.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def as_dtype(what: object) -> DType:
    """DType from a DType, its name ("float32", "f32") or a numpy dtype."""
    if isinstance(what, DType):
        return what
    if isinstance(what, str) and what in DType.__members__:
        return DType[what]
    if isinstance(what, str) and what in _BY_SHORT_NAME:
        return _BY_SHORT_NAME[what]
    if getattr(what, "name", "") == "bfloat16":  # of the package ml_dtypes, which onnx and jax use
        return DType.bfloat16
    try:
        return _BY_NUMPY[np.dtype(what)]  # type: ignore[call-overload]
    except (TypeError, KeyError):
        raise DTypeError(f"{what!r} is not a dtype of accelnn; expected one of {', '.join(DType.__members__)}") from None
