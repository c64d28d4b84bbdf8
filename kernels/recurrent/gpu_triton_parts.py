"""What the recurrent kernels share: products of rows and weights, packed weights as rows, the functions of cells."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, power_of_two
from ..pointwise.gpu_functions import exp_of, f_relu, f_sigmoid, f_tanh

UNITS = 16  # of a panel: recurrent.h


@triton.jit
def _product(a, b, bias, c, m, n, k, a_split, am0, am1, k_split, ak0, ak1, bk0, bk1, bn, cm, cn, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """c[m, n] = sum_k a[m, k] b[k, n] (+ bias[n]); m and k may each be two dims of memory."""
    rows = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    columns = tl.program_id(1).to(tl.int64) * BN + tl.arange(0, BN)
    from_a, from_b = a + rows // a_split * am0 + rows % a_split * am1, b + columns * bn
    acc = tl.zeros((BM, BN), tl.float32)
    for k0 in range(0, k, BK):
        at = (k0 + tl.arange(0, BK)).to(tl.int64)
        outer, inner = at // k_split, at % k_split
        x = tl.load(from_a[:, None] + (outer * ak0 + inner * ak1)[None, :], mask=(rows[:, None] < m) & (at[None, :] < k), other=0.0)
        y = tl.load(from_b[None, :] + (outer * bk0 + inner * bk1)[:, None], mask=(columns[None, :] < n) & (at[:, None] < k), other=0.0)
        acc = tl.dot(x, y, acc, input_precision="ieee")
    if bias is not None:
        acc += tl.load(bias + columns, mask=columns < n, other=0.0)[None, :]
    tl.store(c + rows[:, None] * cm + columns[None, :] * cn, acc, mask=(rows[:, None] < m) & (columns[None, :] < n))


def product(call: Any, a: Any, b: Any, bias: Any, c: Any, sizes: tuple[int, int, int], *strides: int) -> None:
    m, n, k = sizes
    if m and n:
        bm, bn = power_of_two(m, least=16, most=64), power_of_two(n, least=16, most=64)
        call.launch(_product, (ceil_div(m, bm), ceil_div(n, bn)), a, b, bias, c, m, n, k, *strides, BM=bm, BN=bn, BK=power_of_two(k, least=16, most=32))


@triton.jit
def _unpack(panels, w, units, columns, depth, n, GATES: tl.constexpr, DEEP: tl.constexpr, BLOCK: tl.constexpr):
    """recurrent_pack's panels of f32, bf16 (DEEP 2) and bytes (DEEP 4) as rows [GATES units, columns]."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    g, u, c = at // columns // units, at // columns % units, at % columns
    place = ((u // 16 * depth + c // DEEP) * GATES + g) * (16 * DEEP) + u % 16 * DEEP + c % DEEP
    tl.store(w + at, tl.load(panels + place, mask=at < n).to(w.dtype.element_ty), mask=at < n)


@triton.jit
def _unpack_scales(panels, scales, units, depth, n, GATES: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    g, u = at // units, at % units
    place = ((u // 16 * depth + depth - 2) * GATES + g) * 64 + u % 16 * 4
    bits = tl.zeros((BLOCK,), tl.int32)
    for r in tl.static_range(4):
        bits |= (tl.load(panels + place + r, mask=at < n, other=0).to(tl.int32) & 255) << (8 * r)
    tl.store(scales + at, bits.to(tl.float32, bitcast=True), mask=at < n)


def unpacked(call: Any, panels: Any, gates: int, units: int, columns: int, f32: Any) -> tuple[Any, Any]:
    """Packed weights as rows, and the scales of bytes or None. As many bytes are written as a step reads: with tens of steps it is nothing."""
    n, deep = gates * units * columns, panels.shape[3] // UNITS
    w = call.scratch((gates * units, columns), panels.dtype if deep == 4 else f32)
    if n:
        call.launch(_unpack, (ceil_div(n, 1024),), panels, w, units, columns, panels.shape[1], n, GATES=gates, DEEP=deep, BLOCK=1024)
    if deep != 4:
        return w, None
    scales = call.scratch((gates * units,), f32)
    if gates * units:
        call.launch(_unpack_scales, (ceil_div(gates * units, 128),), panels, scales, units, panels.shape[1], gates * units, GATES=gates, BLOCK=128)
    return w, scales


@triton.jit
def function(x, CODE: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr):
    """cell_function of recurrent.h."""
    if CODE == 0:
        return f_sigmoid(x)
    elif CODE == 1:
        return f_tanh(x)
    elif CODE == 2:
        return f_relu(x)
    elif CODE == 3:
        return x * ALPHA + BETA
    elif CODE == 4:
        return tl.where(x < 0.0, x * ALPHA, x)
    elif CODE == 5:
        return tl.where(x < ALPHA, 0.0, x)
    elif CODE == 6:
        return f_tanh(x * BETA) * ALPHA
    elif CODE == 7:
        line = x * ALPHA + BETA
        return tl.where(line < 0.0, 0.0, tl.where(line > 1.0, 1.0, line))
    elif CODE == 8:
        return tl.where(x < 0.0, ALPHA * (exp_of(x) - 1.0), x)
    elif CODE == 9:
        return x / (1.0 + tl.abs(x))
    else:
        return tl.where(x < 0.0, 0.0, x) + tl.log(exp_of(-tl.abs(x)) + 1.0)


@triton.jit
def cut(x, limit, CLIP: tl.constexpr):
    if CLIP:
        x = tl.where(x > limit, limit, tl.where(x < -limit, -limit, x))
    return x


@triton.jit
def _states(x, y, n, BLOCK: tl.constexpr):
    """First states, 0 where they are left out, as last ones: a sequence without steps."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.zeros((BLOCK,), tl.float32)
    if x is not None:
        value = tl.load(x + at, mask=at < n, other=0.0)
    tl.store(y + at, value, mask=at < n)


def pass_states(call: Any, first: Any, last: Any) -> None:
    n = 1
    for s in last.shape:
        n *= s
    if n:
        call.launch(_states, (ceil_div(n, 1024),), first, last, n, BLOCK=1024)
