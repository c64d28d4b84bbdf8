"""Steps, zero points and bytes of float32 numbers on devices: dynamic_quantize's arithmetic (kernels/quantize/dynamic_quantize.h)."""

from __future__ import annotations

import triton
import triton.language as tl

from ..pointwise.gpu_functions import nearest

TINY = tl.constexpr(2.0**-126)  # the smallest normal number, and the smallest step


@triton.jit
def not_finite(x):
    return (x != x) | (tl.abs(x) == float("inf"))


@triton.jit
def width_of(low, high):
    """(high - low) / 255 without overflow."""
    return tl.div_rn(0.5 * high - 0.5 * low, tl.full(high.shape, 127.5, tl.float32))


@triton.jit
def step_of(low, high, bad):
    """Step and zero point of numbers from low <= 0 to high >= 0; the step is NaN where one of them was not finite."""
    width = width_of(low, high)
    step = tl.where(high == low, 1.0, tl.where(width > TINY, width, TINY))
    zero = nearest(tl.minimum(tl.div_rn(-low, step), 255.0)).to(tl.int32)
    return tl.where(bad != 0, float("nan"), step), tl.where(bad != 0, 0, zero)


@triton.jit
def byte_of(x, step, zero):
    """clamp(rint(x / step) + zero, 0, 255) as int32; 0 where the step is NaN."""
    q = nearest(tl.div_rn(x, step)) + zero.to(tl.float32)
    q = tl.where(q > 0.0, tl.where(q < 255.0, q, 255.0), 0.0)
    return tl.where(step == step, q, 0.0).to(tl.int32)
