"""recurrent_pack: weights in the panels that rows of every device read."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, count, power_of_two, row
from ..pointwise.gpu_functions import nearest
from .gpu_triton_parts import UNITS


@triton.jit
def _pack(w, panels, units, columns, depth, n, GATES: tl.constexpr, DEEP: tl.constexpr, BLOCK: tl.constexpr):
    """Floats (DEEP 1) and bfloat16 (DEEP 2), element by element."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    line, lane = at // (16 * DEEP), at % (16 * DEEP)
    g, k, u = line % GATES, line // GATES % depth * DEEP + lane % DEEP, line // GATES // depth * 16 + lane // DEEP
    value = tl.load(w + (g * units + u) * columns + k, mask=(at < n) & (u < units) & (k < columns), other=0.0)
    tl.store(panels + at, value.to(panels.dtype.element_ty), mask=at < n)


@triton.jit
def _pack_bytes(w, panels, units, columns, depth, GATES: tl.constexpr, BK: tl.constexpr):
    """A gate of 16 units: its numbers once for their scales and once for their bytes, then scales and sums in the last two rows, byte by byte."""
    q, g, lane = tl.program_id(0), tl.program_id(1), tl.arange(0, 16)
    u = q * 16 + lane
    rows = w + (g * units + u).to(tl.int64) * columns
    most, wrong = tl.zeros((16, BK), tl.float32), tl.zeros((16, BK), tl.int32)
    for k0 in range(0, columns, BK):
        k = k0 + tl.arange(0, BK)
        value = tl.abs(tl.load(rows[:, None] + k[None, :], mask=(u[:, None] < units) & (k[None, :] < columns), other=0.0))
        wrong = tl.where(value == value, wrong, 1)
        most = tl.where(value > most, value, most)
    scale = tl.div_rn(tl.max(most, 1), tl.full((16,), 127.0, tl.float32))
    scale = tl.where(tl.max(wrong, 1) > 0, float("nan"), scale)
    usable = (scale > 0.0) & (scale <= 3.4028234663852886e38)
    divisor = tl.where(usable, scale, 1.0)[:, None] + tl.zeros((16, BK), tl.float32)
    total = tl.zeros((16, BK), tl.int32)
    to = panels + ((q * depth).to(tl.int64) * GATES + g) * 64 + lane * 4
    for k0 in range(0, 4 * (depth - 2), BK):
        k = k0 + tl.arange(0, BK)
        value = tl.load(rows[:, None] + k[None, :], mask=(u[:, None] < units) & (k[None, :] < columns), other=0.0)
        whole = tl.where(usable[:, None], nearest(tl.div_rn(value, divisor)), 0.0).to(tl.int32)
        total += whole
        tl.store(to[:, None] + (k // 4 * GATES * 64 + k % 4)[None, :], whole.to(tl.int8), mask=(lane[:, None] < 16) & (k[None, :] < 4 * (depth - 2)))
    bits, sums = scale.to(tl.int32, bitcast=True), tl.sum(total, 1)
    for r in tl.static_range(4):
        tl.store(to + (depth - 2) * GATES * 64 + r, (bits >> (8 * r)).to(tl.int8))
        tl.store(to + (depth - 1) * GATES * 64 + r, (sums >> (8 * r)).to(tl.int8))


@row()
def recurrent_pack(call: Any) -> None:
    (w,), (panels,), gates = call.inputs, call.outputs, int(call.attrs["gates"])
    blocks, depth, _, wide = panels.shape
    units, columns, deep = w.shape[0] // gates, w.shape[1], wide // UNITS
    if deep == 4:
        call.launch(_pack_bytes, (blocks, gates), w, panels, units, columns, depth, GATES=gates, BK=power_of_two(columns, least=16, most=64))
    else:
        n = count(panels.shape)
        call.launch(_pack, (ceil_div(n, 1024),), w, panels, units, columns, depth, n, GATES=gates, DEEP=deep, BLOCK=1024)
