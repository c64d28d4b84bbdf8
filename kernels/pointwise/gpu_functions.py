"""The instructions of pointwise programs, in Triton: f_<opcode>, with the edges that functions.h has."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

ALL = tl.constexpr(tl.PropagateNan.ALL)


@triton.jit
def nearest(x):
    """The nearest whole number, halves to even; whole already from 2^23 on."""
    big = tl.full(x.shape, 8388608.0, tl.float32)
    magnitude = tl.abs(x)
    whole = (magnitude + big) - big
    return tl.where(magnitude < big, tl.where(x < 0, -whole, whole), x)


@triton.jit
def exp_of(x):
    """e^x within 2 ulp: 2^k p(r), x = k ln 2 + r, |r| <= ln 2 / 2; 2^k in two factors, for k up to 128. 0 below -87.34."""
    y = tl.minimum(tl.maximum(x, -100.0), 100.0)
    k = nearest(y * 1.4426950408889634)
    r = tl.fma(k, tl.full(x.shape, -0.693145751953125, tl.float32), y)
    r = tl.fma(k, tl.full(x.shape, -1.42860677e-6, tl.float32), r)
    p = 1.0 / 5040 * r + 1.0 / 720
    p = p * r + 1.0 / 120
    p = p * r + 1.0 / 24
    p = p * r + 1.0 / 6
    p = p * r + 0.5
    p = (p * r) * r + r + 1.0
    low = tl.floor(k * 0.5)
    y = p * power_of_two(low) * power_of_two(k - low)
    y = tl.where(x < -87.33654, 0.0, y)
    return tl.where(x != x, x, y)


@triton.jit
def power_of_two(k):
    """2^k for whole k of a normal number, made of its bits."""
    return ((k.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def f_copy(a):
    return a


@triton.jit
def f_neg(a):
    return -a


@triton.jit
def f_abs(a):
    return tl.abs(a)


@triton.jit
def f_add(a, b):
    return a + b


@triton.jit
def f_sub(a, b):
    return a - b


@triton.jit
def f_mul(a, b):
    return a * b


@triton.jit
def f_div(a, b):
    return tl.div_rn(a, b)


@triton.jit
def f_min(a, b):
    return tl.minimum(a, b, propagate_nan=ALL)


@triton.jit
def f_max(a, b):
    return tl.maximum(a, b, propagate_nan=ALL)


@triton.jit
def f_fma(a, b, c):
    return tl.fma(a, b, c)


@triton.jit
def f_sqrt(a):
    return tl.sqrt_rn(a)


@triton.jit
def f_rsqrt(a):
    return tl.div_rn(tl.full(a.shape, 1.0, tl.float32), tl.sqrt_rn(a))


@triton.jit
def f_exp(a):
    return exp_of(a)


@triton.jit
def f_log(a):
    return tl.log(a)


@triton.jit
def f_log1p(a):
    """Kahan's: log(u) a / (u - 1), u = 1 + a; a itself where u is 1."""
    u = 1.0 + a
    y = tl.log(u) * tl.div_rn(a, u - 1.0)
    return tl.where((u == 1.0) | (a == float("inf")), a, tl.where(u == 0.0, -float("inf"), y))


@triton.jit
def f_expm1(a):
    """Near 0 its series, elsewhere e^a - 1."""
    p = 1.0 / 5040 * a + 1.0 / 720
    p = p * a + 1.0 / 120
    p = p * a + 1.0 / 24
    p = p * a + 1.0 / 6
    p = p * a + 0.5
    return tl.where(tl.abs(a) < 0.35, (p * a) * a + a, exp_of(a) - 1.0)


@triton.jit
def f_tanh(a):
    """em / (em + 2), em = e^(2|a|) - 1; 1 from 10 on."""
    m = tl.minimum(tl.abs(a), 10.0)
    e = f_expm1(m + m)
    y = tl.div_rn(e, e + 2.0)
    return tl.where(a != a, a, tl.where(a < 0, -y, tl.where(a == 0, a, y)))


@triton.jit
def f_sigmoid(a):
    return tl.div_rn(tl.full(a.shape, 1.0, tl.float32), 1.0 + exp_of(-a))


@triton.jit
def f_erf(a):
    return tl.erf(a)


@triton.jit
def f_relu(a):
    return tl.maximum(a, tl.full(a.shape, 0.0, tl.float32), propagate_nan=ALL)


@triton.jit
def f_square(a):
    return a * a


@triton.jit
def f_reciprocal(a):
    return tl.div_rn(tl.full(a.shape, 1.0, tl.float32), a)


@triton.jit
def f_floor(a):
    return tl.floor(a)


@triton.jit
def f_rint(a):
    return nearest(a)


@triton.jit
def f_sign(a):
    return tl.where(a < 0, -1.0, tl.where(a > 0, 1.0, a))


@triton.jit
def f_eq(a, b):
    return (a == b).to(tl.float32)


@triton.jit
def f_ne(a, b):
    return (a != b).to(tl.float32)


@triton.jit
def f_lt(a, b):
    return (a < b).to(tl.float32)


@triton.jit
def f_le(a, b):
    return (a <= b).to(tl.float32)


@triton.jit
def f_gt(a, b):
    return (a > b).to(tl.float32)


@triton.jit
def f_ge(a, b):
    return (a >= b).to(tl.float32)


@triton.jit
def f_select(a, b, c):
    return tl.where(a != 0, b, c)


@triton.jit
def f_pow(a, b):
    """exp(b log|a|), with pow's edges."""
    whole = nearest(b) == b
    odd = whole & (nearest(b * 0.5) != b * 0.5)
    y = exp_of(b * tl.log(tl.abs(a)))
    negative = (a < 0) | ((a == 0) & (tl.div_rn(tl.full(a.shape, 1.0, tl.float32), a) < 0))
    y = tl.where(negative & odd, -y, y)
    y = tl.where((a < 0) & (whole == 0), float("nan"), y)
    y = tl.where((a != a) | (b != b), a + b, y)
    return tl.where((b == 0) | (a == 1.0), 1.0, y)


@triton.jit
def f_sin(a):
    return tl.sin(a)


@triton.jit
def f_cos(a):
    return tl.cos(a)


@triton.jit
def f_gelu(a):
    y = a * (0.5 * (1.0 + tl.erf(a * 0.7071067811865476)))
    return tl.where(a < -5.25, 0.0, y)


@triton.jit
def f_gelu_slope(a):
    y = 0.5 * (1.0 + tl.erf(a * 0.7071067811865476)) + a * 0.3989422804014327 * exp_of(-0.5 * a * a)
    return tl.where(a < -5.75, 0.0, tl.where(a > 20.0, 1.0, y))


@triton.jit
def f_silu(a):
    return tl.div_rn(a, 1.0 + exp_of(-a))


@triton.jit
def f_silu_slope(a):
    s = f_sigmoid(a)
    return a * s * (1.0 - s) + s


@triton.jit
def f_clamp(a, b, c):
    return tl.minimum(tl.maximum(a, b, propagate_nan=ALL), c, propagate_nan=ALL)


@triton.jit
def f_hardsigmoid(a):
    return f_clamp(a * (1.0 / 6.0) + 0.5, tl.full(a.shape, 0.0, tl.float32), tl.full(a.shape, 1.0, tl.float32))


@triton.jit
def f_hardswish(a):
    return a * f_hardsigmoid(a)


@triton.jit
def f_hardswish_slope(a):
    return tl.where(a <= -3.0, 0.0, tl.where(a >= 3.0, 1.0, a * (1.0 / 3.0) + 0.5))


@triton.jit
def f_leaky(a, b, c):
    return tl.where(a > 0, b, b * c)


@triton.jit
def f_within(a, b, c):
    return ((a > b) & (a < c)).to(tl.float32)


@triton.jit
def f_gate(a, b):
    return tl.where(a > 0, b, 0.0)


@triton.jit
def to_byte(a):
    """Truncated toward zero, saturated; NaN gives 0."""
    return tl.where(a != a, 0.0, tl.minimum(tl.maximum(a, 0.0), 255.0)).to(tl.int32).to(tl.uint8)


FUNCTIONS: dict[str, Any] = {name: f for name, f in list(globals().items()) if name.startswith("f_") or name == "to_byte"}
