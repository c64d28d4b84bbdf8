"""PTX types as numpy arrays: how the bits of a register are read as numbers, and numbers become bits again.

A register holds unsigned bits (bool for a predicate). `decode` gives numbers to compute with: bf16 and 8-bit floats widen to float32, f16 stays float16, packed
types (`f16x2`) get a last axis. `encode` rounds to nearest even, as the hardware does without a rounding modifier."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
UNSIGNED: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
SIGNED: dict[int, Any] = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
FLOAT: dict[int, Any] = {2: np.float16, 4: np.float32, 8: np.float64}
SPECIAL = {"pred": 1, "bf16": 2, "tf32": 4, "e4m3": 1, "e5m2": 1, "f16x2": 4, "bf16x2": 4, "e4m3x2": 2, "e5m2x2": 2}
TYPE = re.compile(r"(pred|[usb](8|16|32|64|128)|s16x2|u16x2|f(16|32|64)|f16x2|bf16|bf16x2|tf32|e4m3|e5m2|e4m3x2|e5m2x2)")


def is_type(word: str) -> bool:
    return TYPE.fullmatch(word) is not None


def size_of(kind: str) -> int:
    """Bytes of a type."""
    if kind in SPECIAL:
        return SPECIAL[kind]
    return 4 if kind.endswith("x2") else int(kind[1:]) // 8


def is_float(kind: str) -> bool:
    return kind[0] == "f" or kind in SPECIAL and kind != "pred"


@lru_cache
def number_type(kind: str) -> Any:
    """The numpy type in which `decode` gives numbers of an unpacked type."""
    if kind in ("bf16", "tf32", "e4m3", "e5m2"):
        return np.float32
    if kind[0] == "f":
        return FLOAT[size_of(kind)]
    return (SIGNED if kind[0] == "s" else UNSIGNED)[size_of(kind)]


def _fp8_table(exponent: int, mantissa: int, bias: int, e4m3: bool) -> Array:
    """All 256 values of an 8-bit float: e4m3 has no infinity and one NaN a sign, e5m2 is an IEEE format."""
    code = np.arange(128)
    e, m = code >> mantissa, code & ((1 << mantissa) - 1)
    value = np.where(e > 0, np.ldexp(1 + m / (1 << mantissa), e - bias), np.ldexp(m / (1 << mantissa), 1 - bias))
    if e4m3:
        value[127] = np.nan
    else:
        top = (1 << exponent) - 1
        value = np.where(e == top, np.where(m == 0, np.inf, np.nan), value)
    return np.concatenate([value, -value]).astype(np.float32)


FP8 = {"e4m3": _fp8_table(4, 3, 7, True), "e5m2": _fp8_table(5, 2, 15, False)}
FP8_LARGEST = {"e4m3": 126, "e5m2": 123}  # codes of 448 and 57344


def to_fp8(value: Array, kind: str) -> Array:
    """Nearest even; what is too large becomes the largest finite number, as cvt's `.satfinite` (the only form there is)."""
    table, top = FP8[kind], FP8_LARGEST[kind]
    positive = table[: top + 1].astype(np.float64)
    middle = (positive[1:] + positive[:-1]) / 2
    magnitude = np.abs(value).astype(np.float64)
    low = np.searchsorted(middle, magnitude, side="left")
    tie = (low < top) & (magnitude == middle[np.minimum(low, top - 1)]) & (low % 2 == 1)
    code = (low + tie).astype(np.uint8)
    code = np.where(np.isnan(value), 0x7F, code)
    out: Array = (code | (np.signbit(value).astype(np.uint8) << 7)).astype(np.uint8)
    return out


def to_bf16(value: Array) -> Array:
    """float32 -> bf16 bits, nearest even, NaN stays NaN."""
    bits = np.ascontiguousarray(value, dtype=np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
    out: Array = np.where(np.isnan(value), np.uint16(0x7FFF), rounded)
    return out


def from_bf16(bits: Array) -> Array:
    out: Array = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return out


def tf32(value: Array) -> Array:
    """What the tensor core reads of a float32: the low 13 bits are not there."""
    return (np.ascontiguousarray(value).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def decode(bits: Array, kind: str) -> Array:
    """bits: an unsigned array as wide as `kind`."""
    if kind[0] in "ub" and kind != "bf16" and not kind.endswith("x2"):
        return bits
    if kind == "f32":
        return bits.view(np.float32)
    if kind == "bf16":
        return from_bf16(bits)
    if kind == "tf32":
        return tf32(bits)
    if kind.endswith("x2"):
        half = kind[:-2]
        return decode(bits[..., None].view(UNSIGNED[size_of(half)]), half)
    if kind in FP8:
        out: Array = FP8[kind][bits]
        return out
    return bits.view(number_type(kind))


def encode(value: Array, kind: str) -> Array:
    """Numbers -> unsigned bits as wide as `kind`."""
    if kind == "bf16":
        return to_bf16(value)
    if kind == "tf32":
        # cvt.rna: to nearest, ties away from zero
        nearest: Array = (np.ascontiguousarray(value, dtype=np.float32).view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
        return nearest
    if kind.endswith("x2"):
        parts = np.ascontiguousarray(encode(value, kind[:-2]))
        packed: Array = parts.view(UNSIGNED[size_of(kind)])[..., 0]
        return packed
    if kind in FP8:
        return to_fp8(value, kind)
    width = size_of(kind)
    out = np.asarray(value).astype(number_type(kind), copy=False)
    bits: Array = np.ascontiguousarray(out).view(UNSIGNED[width]) if out.ndim else out.view(UNSIGNED[width])
    return bits
