"""dynamic_qmatmul on devices: rows to bytes, then an exact product of integers, then float32 again, each operation rounded once."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..configs import nearest
from ..launch import Call, ceil_div, count, power_of_two, row
from ..matmul.gpu_epilogue import activate, added
from ..matmul.gpu_int8 import int8_tile
from ..matmul.gpu_problem import merged
from ..matmul.gpu_triton import item_offset, tile_of
from ..pointwise.gpu_functions import nearest as rounded
from ..quantize.gpu_bytes import TINY, byte_of, not_finite, step_of, width_of

ROW_DIMS = 3  # of a, after merging
BLOCK = 1024


@triton.jit
def ends_of_rows(a, ends, K, D1, D2, s0, s1, s2, a_k, BLOCK: tl.constexpr):
    """min(0, x), max(0, x) and whether anything is not finite, of each row: ends [rows, 3]."""
    r = tl.program_id(0)
    source = a + item_offset(r, D1, D2, s0, s1, s2)
    low, high, bad = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.int32)
    for k0 in range(0, K, BLOCK):
        k = k0 + tl.arange(0, BLOCK)
        v = tl.load(source + k.to(tl.int64) * a_k, mask=k < K, other=0.0)
        bad |= not_finite(v).to(tl.int32)
        v = tl.where(not_finite(v), 0.0, v)
        low, high = tl.minimum(low, v), tl.maximum(high, v)
    tl.store(ends + r * 3, tl.min(low, 0))
    tl.store(ends + r * 3 + 1, tl.max(high, 0))
    tl.store(ends + r * 3 + 2, tl.max(bad, 0).to(tl.float32))


@triton.jit
def ends_of_all(ends, together, rows, BLOCK: tl.constexpr):
    low, high, bad = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for r0 in range(0, rows, BLOCK):
        r = r0 + tl.arange(0, BLOCK)
        low = tl.minimum(low, tl.load(ends + r * 3, mask=r < rows, other=0.0))
        high = tl.maximum(high, tl.load(ends + r * 3 + 1, mask=r < rows, other=0.0))
        bad = tl.maximum(bad, tl.load(ends + r * 3 + 2, mask=r < rows, other=0.0))
    tl.store(together, tl.min(low, 0))
    tl.store(together + 1, tl.max(high, 0))
    tl.store(together + 2, tl.max(bad, 0))


@triton.jit
def bytes_of_rows(a, ends, q, step, zero, K, D1, D2, s0, s1, s2, a_k, WHOLE: tl.constexpr, BLOCK: tl.constexpr):
    """q - 128 of a block of a row, and by the first block its step and zero point."""
    r, k = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    source = a + item_offset(r, D1, D2, s0, s1, s2)
    v = tl.load(source + k.to(tl.int64) * a_k, mask=k < K, other=0.0)
    one = tl.zeros((1,), tl.float32)
    at = ends if WHOLE else ends + r * 3
    low, high, bad = one + tl.load(at), one + tl.load(at + 1), one + tl.load(at + 2)
    if WHOLE:
        by, first = step_of(low, high, bad)
        x = byte_of(v, tl.broadcast_to(by, (BLOCK,)), tl.broadcast_to(first, (BLOCK,)))
    else:
        width = width_of(low, high)
        by = tl.where(width > TINY, width, TINY)
        inverse = tl.div_rn(one + 1.0, by)
        first = rounded(-low * inverse).to(tl.int32)
        x = tl.where(not_finite(v), 0.0, v) * inverse
        x = tl.minimum(rounded(x) + first.to(tl.float32), 255.0).to(tl.int32)
        by = tl.where(bad != 0.0, float("nan"), by)
    tl.store(q + r.to(tl.int64) * K + k, (x - 128).to(tl.int8), mask=k < K)
    if tl.program_id(1) == 0:
        tl.store(step + r + tl.arange(0, 1), by)
        tl.store(zero + r + tl.arange(0, 1), first)


@triton.jit
def dynamic_product(q, b, scale, bias, step, zero, y, M, N, K, q_row, b_k, b_column, HOW: tl.constexpr, PACKED: tl.constexpr, BM: tl.constexpr,
                    BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr):  # fmt: skip
    tile_m, tile_n = tile_of(tl.program_id(0), M, N, BM, BN, GROUP)
    rows, columns = tile_m * BM + tl.arange(0, BM), tile_n * BN + tl.arange(0, BN)
    total, sums = int8_tile(q, b, rows, columns, M, N, K, q_row, 1, b_k, b_column, PACKED, False, BM, BN, BK)
    total += (128 - tl.load(zero + rows, mask=rows < M, other=0))[:, None] * sums[None, :]
    by = tl.load(scale + columns, mask=columns < N, other=0.0)[None, :] * tl.load(step + rows, mask=rows < M, other=0.0)[:, None]
    found = total.to(tl.float32) * by
    if bias is not None:
        found = added(found, tl.load(bias + columns, mask=columns < N, other=0.0)[None, :])
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(y + rows.to(tl.int64)[:, None] * N + columns[None, :], activate(found, HOW), mask=inside)


def _rows(a: Any) -> list[tuple[int, ...]]:
    return merged(list(zip(a.shape[:-1], a.stride[:-1], strict=True)))


def _fits(call: Call) -> str | None:
    dims = len(_rows(call.inputs[0]))
    return f"{dims} dims of rows that strides do not merge; {ROW_DIMS} at most" if dims > ROW_DIMS else None


@row(refuse=_fits)
def dynamic_qmatmul(call: Call) -> None:
    """Ends of each row, bytes, product: the bytes are read by every tile of columns, so they are made once."""
    (a, b, scale, bias), (y,) = (*call.inputs, None)[:4], call.outputs
    m, k, n, packed = count(a.shape[:-1]), a.shape[-1], scale.shape[0], call.attrs["packed"]
    dims = _rows(a)
    dims = [(1, 0)] * (ROW_DIMS - len(dims)) + dims
    places = (dims[1][0], dims[2][0], *(s for _, s in dims), a.stride[-1])
    dtypes = type(a.dtype)
    ends, q = call.scratch((m, 3), dtypes["float32"]), call.scratch((m, k), dtypes["int8"])
    step, zero = call.scratch((m,), dtypes["float32"]), call.scratch((m,), dtypes["int32"])
    block = power_of_two(k, 32, BLOCK)
    call.launch(ends_of_rows, (m,), a, ends, k, *places, BLOCK=block)
    if call.attrs["whole"]:
        ends, parts = call.scratch((3,), dtypes["float32"]), ends
        call.launch(ends_of_all, (1,), parts, ends, m, BLOCK=BLOCK)
    call.launch(bytes_of_rows, (m, max(1, ceil_div(k, block))), a, ends, q, step, zero, k, *places, WHOLE=call.attrs["whole"], BLOCK=block)
    config = nearest(__file__, "int8", call.device.arch, (m, n, k))
    bm, bn = power_of_two(m, 16, config["BM"]), power_of_two(n, 16, config["BN"])
    b_k, b_column = (0, count(b.shape[1:])) if packed else b.stride
    call.launch(dynamic_product, (ceil_div(m, bm) * ceil_div(n, bn),), q, b, scale, bias, step, zero, y, m, n, k, k, b_k, b_column,
                HOW=call.attrs["activation"], PACKED=packed, BM=bm, BN=bn, BK=config["BK"], GROUP=config["GROUP"], warps=config["warps"],
                stages=config["stages"])  # fmt: skip
