"""The integer product that qmatmul and dynamic_qmatmul share: bytes times int8 in int32, exact."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def panel_sums(b, columns, N, PANEL):
    """The column sums in the last row of matmul_pack's int8 panels of PANEL bytes."""
    at = b + (columns // 16).to(tl.int64) * PANEL + (PANEL - 64) + columns % 16 * 4
    sums = tl.zeros(columns.shape, tl.int32)
    for byte in tl.static_range(4):
        sums |= (tl.load(at + byte, mask=columns < N, other=0).to(tl.int32) & 255) << (8 * byte)
    return sums


@triton.jit
def int8_tile(a, b, rows, columns, M, N, K, a_row, a_k, b_k, b_column, PACKED: tl.constexpr, UNSIGNED: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
              BK: tl.constexpr):  # fmt: skip
    """sum_k (a - 128) b, and sum_k b by columns. With UNSIGNED a holds bytes 0..255, otherwise they are made signed already: tensor cores want both
    operands of one sign. Panels hold the columns' sums; without them they are summed on the way."""
    inner = tl.arange(0, BK)
    left = a + rows.to(tl.int64)[:, None] * a_row + inner[None, :].to(tl.int64) * a_k
    if PACKED:
        right = b + (inner // 4 * 64 + inner % 4)[:, None] + ((columns // 16).to(tl.int64) * b_column + columns % 16 * 4)[None, :]
        step = BK * 16
    else:
        right = b + inner[:, None].to(tl.int64) * b_k + columns[None, :].to(tl.int64) * b_column
        step = BK * b_k
    total = tl.zeros((BM, BN), tl.int32)
    sums = tl.zeros((BN,), tl.int32)
    for k in range(0, K, BK):
        x = tl.load(left, mask=(rows[:, None] < M) & (inner[None, :] < K - k), other=0)
        w = tl.load(right, mask=(columns[None, :] < N) & (inner[:, None] < K - k), other=0)
        if UNSIGNED:
            x = (x ^ 128).to(tl.int8, bitcast=True)
        total = tl.dot(x, w, total, out_dtype=tl.int32)
        if not PACKED:
            sums += tl.sum(w.to(tl.int32), 0)
        left += BK * a_k
        right += step
    if PACKED:
        sums = panel_sums(b, columns, N, b_column)
    return total, sums
