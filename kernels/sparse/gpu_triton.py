"""Products with block-sparse weights on devices: a program for some rows and one strip of 16 columns gathers what the strip's blocks ask for.

`first` and `index` are data. What is read is bounded whatever stands in them; a strip whose blocks are not where they can be becomes NaN, since a kernel
has no other way to say so."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..dynamic_qmatmul.gpu_triton import bytes_of_rows, ends_of_rows
from ..launch import Call, ceil_div, count, power_of_two, row
from ..matmul.gpu_epilogue import added

BLOCK = 1024  # numbers of a row that become bytes at a time


@triton.jit
def blocks_of(first, strip, B):
    """The strip's blocks, and 1 if it cannot have them."""
    low, high = tl.load(first + strip), tl.load(first + strip + 1)
    wrong = (low < 0) | (high > B) | (low > high)
    return tl.where(wrong, 0, low), tl.where(wrong, 0, high), wrong.to(tl.int32)


@triton.jit
def sparse_product(a, first, index, values, bias, y, M, N, K, B, BM: tl.constexpr, BK: tl.constexpr):
    strip = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), strip * 16 + tl.arange(0, 16)
    inner = tl.arange(0, BK)
    left = a + rows.to(tl.int64)[:, None] * K
    low, high, wrong = blocks_of(first, strip, B)
    bad = wrong + tl.zeros((BK,), tl.int32)
    total = tl.zeros((BM, 16), tl.float32)
    for b in range(low, high, BK):
        here = inner < high - b
        k = tl.load(index + b + inner, mask=here, other=0)
        bad |= ((k < 0) | (k >= K)).to(tl.int32)
        there = here & (k >= 0) & (k < K)
        x = tl.load(left + k[None, :], mask=(rows[:, None] < M) & there[None, :], other=0.0)
        w = tl.load(values + (b + inner).to(tl.int64)[:, None] * 16 + tl.arange(0, 16)[None, :], mask=there[:, None], other=0.0)
        total = tl.dot(x, w, total, input_precision="ieee")
    if bias is not None:
        total += tl.load(bias + columns, mask=columns < N, other=0.0)[None, :]
    total = tl.where(tl.max(bad, 0) != 0, float("nan"), total)
    tl.store(y + rows.to(tl.int64)[:, None] * N + columns[None, :], total, mask=(rows[:, None] < M) & (columns[None, :] < N))


@triton.jit
def sparse_bytes_product(q, step, zero, first, index, values, scale, sums, bias, y, M, N, K, B, BM: tl.constexpr, BK: tl.constexpr):
    """q: bytes less 128. A number beyond K counts as 0: its byte is the row's zero point. BK: four k of a block each."""
    strip = tl.program_id(1)
    rows, columns = tl.program_id(0) * BM + tl.arange(0, BM), strip * 16 + tl.arange(0, 16)
    inner = tl.arange(0, BK)
    left = q + rows.to(tl.int64)[:, None] * K
    at = tl.load(zero + rows, mask=rows < M, other=0)
    low, high, wrong = blocks_of(first, strip, B)
    bad = wrong + tl.zeros((BK,), tl.int32)
    total, held = tl.zeros((BM, 16), tl.int32), tl.zeros((16,), tl.int32)
    for b in range(low, high, BK // 4):
        block = b + inner // 4
        here = block < high
        quad = tl.load(index + block, mask=here, other=0)
        fits = (quad >= 0) & (quad < (K + 3) // 4)
        bad |= (here & (quad < 0)).to(tl.int32) | (here & (quad >= (K + 3) // 4)).to(tl.int32)
        k = quad * 4 + inner % 4
        there = (rows[:, None] < M) & (here & fits & (k < K))[None, :]
        x = tl.where(there, tl.load(left + k[None, :], mask=there, other=0), (at - 128).to(tl.int8)[:, None])
        place = values + block.to(tl.int64)[:, None] * 64 + 4 * tl.arange(0, 16)[None, :] + (inner % 4)[:, None]
        w = tl.load(place, mask=(here & fits)[:, None], other=0)
        total = tl.dot(x, w, total, out_dtype=tl.int32)
        held += tl.sum(w.to(tl.int32), 0)
    total += (128 * held)[None, :] - at[:, None] * tl.load(sums + columns, mask=columns < N, other=0)[None, :]
    by = tl.load(scale + columns, mask=columns < N, other=0.0)[None, :] * tl.load(step + rows, mask=rows < M, other=0.0)[:, None]
    found = total.to(tl.float32) * by
    if bias is not None:
        found = added(found, tl.load(bias + columns, mask=columns < N, other=0.0)[None, :])
    found = tl.where(tl.max(bad, 0) != 0, float("nan"), found)
    tl.store(y + rows.to(tl.int64)[:, None] * N + columns[None, :], found, mask=(rows[:, None] < M) & (columns[None, :] < N))


def _sizes(a: Any, y: Any, index: Any) -> tuple[int, int, int, int]:
    return count(a.shape[:-1]), y.shape[-1], a.shape[-1], index.shape[0]


@row()
def matmul_sparse(call: Call) -> None:
    (a, first, index, values, bias), (y,) = (*call.inputs, None)[:5], call.outputs
    m, n, k, blocks = _sizes(a, y, index)
    bm = power_of_two(m, 16, 64)
    call.launch(sparse_product, (ceil_div(m, bm), ceil_div(n, 16)), a, first, index, values, bias, y, m, n, k, blocks, BM=bm, BK=32)


@row()
def matmul_sparse_int8(call: Call) -> None:
    """Rows become bytes as dynamic_qmatmul's do."""
    (a, first, index, values, scale, sums, bias), (y,) = (*call.inputs, None)[:7], call.outputs
    m, n, k, blocks = _sizes(a, y, index)
    dtypes, block, bm = type(a.dtype), power_of_two(k, 32, BLOCK), power_of_two(m, 16, 64)
    ends, q = call.scratch((m, 3), dtypes["float32"]), call.scratch((m, k), dtypes["int8"])
    step, zero = call.scratch((m,), dtypes["float32"]), call.scratch((m,), dtypes["int32"])
    places = (1, m, 0, 0, k, 1)  # rows that follow each other, as three dims
    call.launch(ends_of_rows, (m,), a, ends, k, *places, BLOCK=block)
    call.launch(bytes_of_rows, (m, max(1, ceil_div(k, block))), a, ends, q, step, zero, k, *places, WHOLE=0, BLOCK=block)
    call.launch(sparse_bytes_product, (ceil_div(m, bm), ceil_div(n, 16)), q, step, zero, first, index, values, scale, sums, bias, y, m, n, k, blocks, BM=bm,
                BK=64)  # fmt: skip
