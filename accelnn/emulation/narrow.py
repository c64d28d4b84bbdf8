"""Float types that numpy lacks, as the bits that lie in memory: bfloat16 in uint16, four kinds of float8 in uint8. All arithmetic is done in float32
and rounded to nearest, halves to even, as the hardware's conversions do."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np


class Float8(NamedTuple):
    """An 8-bit format. finite_only: no infinity, and one pattern (or two, with a sign) for NaN; unsigned_zero: 0x80 is that NaN."""

    exponent: int
    mantissa: int
    bias: int
    finite_only: bool
    unsigned_zero: bool


FLOAT8 = {
    "float8e4nv": Float8(4, 3, 7, True, False),
    "float8e5": Float8(5, 2, 15, False, False),
    "float8e4b8": Float8(4, 3, 8, True, True),
    "float8e5b16": Float8(5, 2, 16, True, True),
}


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def round_bfloat16(x: np.ndarray, toward_zero: bool = False) -> np.ndarray:
    """The bits of the nearest bfloat16; a NaN keeps the upper bits of its payload."""
    x = np.ascontiguousarray(x, np.float32)
    bits = x.view(np.uint32)
    upper = (bits >> 16).astype(np.uint16)
    if toward_zero:
        rounded = upper
    else:
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), upper | np.uint16(0x40), rounded)


@cache
def float8_table(name: str) -> np.ndarray:
    """The 256 numbers of a format as float32."""
    form = FLOAT8[name]
    bits = np.arange(256)
    exponent, mantissa = bits >> form.mantissa & (1 << form.exponent) - 1, bits & (1 << form.mantissa) - 1
    fraction = mantissa / (1 << form.mantissa)
    value = np.where(exponent == 0, fraction * 2.0 ** (1 - form.bias), (1 + fraction) * 2.0 ** (exponent - form.bias))
    if form.unsigned_zero:
        value[0x80] = np.nan
    elif form.finite_only:
        value[(bits & 0x7F) == 0x7F] = np.nan
    else:
        top = exponent == (1 << form.exponent) - 1
        value[top] = np.where(mantissa[top] == 0, np.inf, np.nan)
    return np.where(bits & 0x80, -value, value).astype(np.float32)


@cache
def _float8_steps(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The finite numbers from 0 up, and where one gives way to the next."""
    positive = float8_table(name)[:128]
    finite = positive[np.isfinite(positive)].astype(np.float64)
    return finite, (finite[1:] + finite[:-1]) / 2


def round_float8(x: np.ndarray, name: str) -> np.ndarray:
    """The bits of the nearest number of the format; what lies beyond the largest becomes the largest (cvt.rn.satfinite)."""
    form = FLOAT8[name]
    x = np.asarray(x, np.float32)
    size = np.abs(x).astype(np.float64)
    finite, middle = _float8_steps(name)
    below = np.searchsorted(middle, size, side="left")
    tie = np.take(np.append(middle, np.inf), below) == size
    index = np.minimum(below + (tie & (below % 2 == 1)), len(finite) - 1).astype(np.uint8)
    negative = np.signbit(x) & ((index > 0) | (not form.unsigned_zero))
    out = index | (negative.astype(np.uint8) << 7)
    return np.where(np.isnan(x), np.uint8(0x80 if form.unsigned_zero else 0x7F), out)
