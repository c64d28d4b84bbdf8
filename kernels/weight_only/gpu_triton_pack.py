"""matmul_int4_pack on devices (kernels/weight_only/matmul_int4.h)."""

from __future__ import annotations

import triton
import triton.language as tl

from ..launch import Call, row


@triton.jit
def pack(q, s, z, w, N, K, G, GROUP: tl.constexpr, NIBBLES: tl.constexpr):
    """One group of one strip. NIBBLES: q holds two numbers a byte [N, G, GROUP / 2], otherwise one [N, K]."""
    strip, g = tl.program_id(0).to(tl.int64), tl.program_id(1)
    ZEROS: tl.constexpr = z is not None
    target = w + (strip * G + g) * (GROUP * 8 + 32 + 16 * ZEROS)
    e = tl.arange(0, GROUP * 8)
    column = strip * 16 + e % 64 // 4
    filling = tl.full((GROUP * 8,), 8, tl.int32)
    if ZEROS:
        filling = tl.load(z + column * G + g, mask=column < N, other=8).to(tl.int32) & 15
    low = e // 64 * 8 + e % 4  # of the group: what the low nibble holds; the high one holds the number 4 behind it
    if NIBBLES:
        at = q + (column * G + g) * (GROUP // 2)
        first = (tl.load(at + low // 2, mask=column < N, other=0).to(tl.int32) >> (low % 2 * 4)) & 15
        second = (tl.load(at + low // 2 + 2, mask=column < N, other=0).to(tl.int32) >> (low % 2 * 4)) & 15
        first, second = tl.where(column < N, first, filling), tl.where(column < N, second, filling)
    else:
        k = g * GROUP + low
        first = tl.load(q + column * K + k, mask=(column < N) & (k < K), other=0).to(tl.int32) & 15
        second = tl.load(q + column * K + k + 4, mask=(column < N) & (k + 4 < K), other=0).to(tl.int32) & 15
        first = tl.where((column < N) & (k < K), first, filling)
        second = tl.where((column < N) & (k + 4 < K), second, filling)
    tl.store(target + e, (first | (second << 4)).to(tl.uint8))
    e = tl.arange(0, 32)
    column = strip * 16 + e // 2
    scale = tl.load(s + column * G + g, mask=column < N, other=0.0).to(tl.float16).to(tl.int16, bitcast=True).to(tl.int32)
    tl.store(target + GROUP * 8 + e, ((scale >> (e % 2 * 8)) & 255).to(tl.uint8))
    if ZEROS:
        e = tl.arange(0, 16)
        column = strip * 16 + e
        tl.store(target + GROUP * 8 + 32 + e, tl.load(z + column * G + g, mask=column < N, other=8))


@row()
def matmul_int4_pack(call: Call) -> None:
    """A program for each group of a strip."""
    (q, s, z), (w,) = (*call.inputs, None)[:3], call.outputs
    n, groups = s.shape
    call.launch(pack, w.shape[:2], q, s, z, w, n, q.shape[1], groups, GROUP=call.attrs["group"], NIBBLES=len(q.shape) == 3)
