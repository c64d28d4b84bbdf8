"""matmul_pack on devices: panels of 16 columns in which 32 bits of neighbours along k lie together."""

from __future__ import annotations

import triton
import triton.language as tl

from ..launch import Call, ceil_div, row
from .gpu_problem import PAIRS

ROWS = 32  # of a panel, a program


@triton.jit
def pack(b, p, K, N, b_k, b_column, ROWS_OF_PANEL, HAS_SUMS: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr):
    """p[q, r, PAIRS j + i] = b[PAIRS r + i, 16 q + j], zero outside; with HAS_SUMS the last row is pack_sums'."""
    panel = tl.program_id(0).to(tl.int64)
    r = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    e = tl.arange(0, 16 * PAIRS)
    k = (r * PAIRS)[:, None] + (e % PAIRS)[None, :]
    column = (panel * 16 + e // PAIRS)[None, :]
    x = tl.load(b + k.to(tl.int64) * b_k + column * b_column, mask=(k < K) & (column < N), other=0)
    filled = ROWS_OF_PANEL - 1 if HAS_SUMS else ROWS_OF_PANEL
    tl.store(p + (panel * ROWS_OF_PANEL + r[:, None]) * (16 * PAIRS) + e[None, :], x, mask=(r < filled)[:, None])


@triton.jit
def pack_sums(b, p, K, N, b_k, b_column, ROWS_OF_PANEL, BLOCK: tl.constexpr):
    """The last row of an int8 panel: its columns' sums as int32, lowest byte first."""
    panel = tl.program_id(0).to(tl.int64)
    column = panel * 16 + tl.arange(0, 16)
    inner = tl.arange(0, BLOCK)
    sums = tl.zeros((16,), tl.int32)
    for k0 in range(0, K, BLOCK):
        k = (k0 + inner).to(tl.int64)
        x = tl.load(b + k[:, None] * b_k + column[None, :] * b_column, mask=(k < K)[:, None] & (column < N)[None, :], other=0)
        sums += tl.sum(x.to(tl.int32), 0)
    byte = tl.arange(0, 4)
    at = (panel * ROWS_OF_PANEL + ROWS_OF_PANEL - 1) * 64 + 4 * tl.arange(0, 16)[:, None] + byte[None, :]
    tl.store(p + at, ((sums[:, None] >> (8 * byte)[None, :]) & 255).to(tl.int8))


@row()
def matmul_pack(call: Call) -> None:
    """A program for 32 rows of a panel; int8 panels get their sums by a second launch."""
    (b,), (p,) = call.inputs, call.outputs
    (k, n), (b_k, b_column), (panels, rows, _) = b.shape, b.stride, p.shape
    sums = b.dtype.name == "int8"
    call.launch(pack, (panels, ceil_div(rows, ROWS)), b, p, k, n, b_k, b_column, rows, HAS_SUMS=sums, PAIRS=PAIRS[b.dtype.name], BLOCK=ROWS)
    if sums:
        call.launch(pack_sums, (panels,), b, p, k, n, b_k, b_column, rows, BLOCK=64)
