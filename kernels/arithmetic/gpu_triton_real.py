"""What each kind of arithmetic is for two float64 numbers on a device: IEEE 754's operations, and from integer ones what Triton leaves to the chip."""

from __future__ import annotations

import triton
import triton.language as tl

from ..copy.gpu_triton_convert import nearest

SIGN = tl.constexpr(-(2**63))
MAGNITUDE = tl.constexpr(2**63 - 1)
FRACTION = tl.constexpr(2**52 - 1)
AT_ONCE = tl.constexpr(10)  # bits of a quotient: a remainder of 53 bits moved up by them is still positive


@triton.jit
def _bits(x):
    return x.to(tl.int64, bitcast=True)


@triton.jit
def _real(bits):
    return bits.to(tl.float64, bitcast=True)


@triton.jit
def _signed_as(x, sign):
    return _real((_bits(x) & MAGNITUDE) | (_bits(sign) & SIGN))


@triton.jit
def _power_of_two(n):
    return _real((n + 1023) << 52)


@triton.jit
def _scaled(x, n):
    """x 2^n in two steps: 2^n itself may not be a normal number."""
    half = n >> 1
    return x * _power_of_two(half) * _power_of_two(n - half)


@triton.jit
def remainder(a, b):
    """fmod: exact, by a long division of the two fractions. frem is a - trunc(a / b) b, wrong once the quotient has more than 53 bits."""
    p, q = _bits(a) & MAGNITUDE, _bits(b) & MAGNITUDE
    INFINITY: tl.constexpr = 2047 << 52
    undefined = (p >= INFINITY) | (q > INFINITY) | (q == 0)
    divides = (p >= q) & (undefined == 0)
    ep, eq = p >> 52, q >> 52
    mp, mq = (p & FRACTION) | tl.where(ep > 0, FRACTION + 1, 0), (q & FRACTION) | tl.where(eq > 0, FRACTION + 1, 0)
    ep, eq = tl.maximum(ep, 1), tl.maximum(eq, 1)
    mq = tl.where(divides, mq, 1)
    left = tl.where(divides, ep - eq, 0)
    rest = mp % mq
    for _ in range((tl.max(left, axis=0) + AT_ONCE - 1) // AT_ONCE):
        some = tl.minimum(left, AT_ONCE)
        rest = (rest << some) % mq
        left -= some
    y = tl.where(divides, _signed_as(_scaled(rest.to(tl.float64), eq - 1075), a), a)
    return tl.where(undefined, float("nan"), y)


@triton.jit
def exponential(x):
    """x = n log 2 + r; the series of e^r to r^13: the next term is 4e-18 of it."""
    inside = tl.where((x < 709.79) & (x > -745.2), x, 0.0)
    n = nearest(inside * 1.4426950408889634)
    r = (inside - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    total = tl.full(x.shape, 1.0, tl.float64)
    for k in tl.static_range(13):
        total = 1.0 + total * (r * (1.0 / (13 - k)))
    y = _scaled(total, n.to(tl.int64))
    return tl.where(x >= 709.79, float("inf"), tl.where(x <= -745.2, 0.0, tl.where(x == x, y, x)))


@triton.jit
def logarithm(x):
    """x = 2^n m, m in [0.7, 1.42): log m = 2 artanh f, f = (m - 1) / (m + 1), f^2 < 0.03."""
    tiny = x < 2.2250738585072014e-308
    bits = _bits(tl.where(tiny, x * 18014398509481984.0, x))
    n = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = _real(bits - (n << 52))
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    e = (n - tl.where(tiny, 54, 0)).to(tl.float64)
    total = tl.zeros(x.shape, tl.float64)
    for k in tl.static_range(11):
        total = (total + 1.0 / (23 - 2 * k)) * s
    y = e * 0.6931471803691238 + (2.0 * f + (2.0 * f * total + e * 1.9082149292705877e-10))
    y = tl.where(x == 0.0, float("-inf"), tl.where(x < 0.0, float("nan"), y))
    return tl.where((x == x) & (x < float("inf")), y, x)


@triton.jit
def of_reals(a, b, KIND: tl.constexpr):
    if KIND == "add":
        y = a + b
    elif KIND == "sub":
        y = a - b
    elif KIND == "mul":
        y = a * b
    elif KIND == "div":
        y = a / b
    elif KIND == "fmod":
        y = remainder(a, b)
    elif KIND == "mod":
        r = remainder(a, b)
        y = tl.where(r == 0.0, _signed_as(r, b), tl.where((r < 0.0) != (b < 0.0), r + b, r))
    elif KIND == "max":
        y = tl.where((a > b) | (a != a), a, b)
    elif KIND == "min":
        y = tl.where((a < b) | (a != a), a, b)
    elif KIND == "neg":
        y = _real(_bits(a) ^ SIGN)
    elif KIND == "abs":
        y = _real(_bits(a) & MAGNITUDE)
    elif KIND == "sign":
        y = tl.where(a > 0.0, 1.0, tl.where(a < 0.0, -1.0, a))
    elif KIND == "sqrt":
        y = tl.sqrt(a)
    elif KIND == "exp":
        y = exponential(a)
    elif KIND == "log":
        y = logarithm(a)
    elif KIND == "floor":
        y = tl.floor(a)
    elif KIND == "ceil":
        y = tl.ceil(a)
    else:
        y = _signed_as(nearest(a), a)
    return y
