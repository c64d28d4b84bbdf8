"""One element of any dtype into another on a device, with the values of cast.h."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def odd(x):
    """The float32 next to a float64, but odd where it is not exact: rounding that to 16 bits gives what rounding the float64 gives."""
    f = x.to(tl.float32)
    back = f.to(tl.float64)
    beyond = tl.abs(back) > tl.abs(x)
    bits = f.to(tl.int32, bitcast=True)
    return tl.where(back == x, bits, (bits - beyond.to(tl.int32)) | 1).to(tl.float32, bitcast=True)


@triton.jit
def truncated(x, TO: tl.constexpr):
    """float32 or float64 to an integer: toward zero, saturated, NaN gives 0. The conversion sees numbers inside the range only: outside it is undefined."""
    BITS: tl.constexpr = TO.primitive_bitwidth
    NATURAL: tl.constexpr = TO.is_int_unsigned()
    LEAST: tl.constexpr = 0 if NATURAL else -(2 ** (BITS - 1))
    MOST: tl.constexpr = 2**BITS - 1 if NATURAL else 2 ** (BITS - 1) - 1
    bottom = tl.full(x.shape, -1.0 if NATURAL else -(2.0 ** (BITS - 1)) - 1.0, x.dtype)
    top = tl.full(x.shape, 2.0**BITS if NATURAL else 2.0 ** (BITS - 1), x.dtype)
    inside = tl.where((x > bottom) & (x < top), x, 0.0)
    if BITS < 32:
        i = inside.to(tl.int32).to(TO)
    elif BITS == 32:
        i = inside.to(tl.int64).to(TO)
    else:
        i = inside.to(TO)
    return tl.where(x >= top, tl.full(x.shape, MOST, TO), tl.where(x <= bottom, tl.full(x.shape, LEAST, TO), i))


@triton.jit
def nearest(x):
    """The nearest whole number, halves to even; 0 for -0."""
    below = tl.floor(x)
    rest = x - below
    uneven = tl.floor(below * 0.5) * 2.0 != below
    return tl.where((rest > 0.5) | ((rest == 0.5) & uneven), below + 1.0, below)


@triton.jit
def convert(x, TO: tl.constexpr):
    FROM: tl.constexpr = x.dtype
    if FROM == TO:
        y = x
    elif TO == tl.int1:
        y = x != 0
    elif FROM.is_floating():
        if TO.is_floating():
            if FROM == tl.float64 and TO.primitive_bitwidth == 16:
                y = odd(x).to(TO)
            elif FROM.primitive_bitwidth == 16:
                y = x.to(tl.float32).to(TO)
            else:
                y = x.to(TO)
        elif FROM == tl.float64:
            y = truncated(x, TO)
        else:
            y = truncated(x.to(tl.float32), TO)
    elif TO.is_floating() and TO.primitive_bitwidth == 16:
        y = x.to(tl.float32).to(TO)
    else:
        y = x.to(TO)
    return y
