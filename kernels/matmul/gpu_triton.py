"""matmul on devices: a tiled product for any strides, and one that shares a long sum among programs where the results are few."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..configs import nearest
from ..launch import Call, ceil_div, power_of_two, row
from .gpu_epilogue import finish
from .gpu_problem import PAIRS, Product, product_of


@triton.jit
def tile_of(pid, M, N, BM: tl.constexpr, BN: tl.constexpr, GROUP: tl.constexpr):
    """Tile number -> its place. GROUP rows of tiles are walked column by column: the tiles in flight at a time then share operands in L2."""
    across = tl.cdiv(N, BN)
    band = GROUP * across
    first = pid // band * GROUP
    high = tl.minimum(tl.cdiv(M, BM) - first, GROUP)
    return first + pid % band % high, pid % band // high


@triton.jit
def item_offset(item, D1, D2, s0, s1, s2):
    """Where an item of the (up to three) batch dims starts."""
    item = item.to(tl.int64)
    return item // (D1 * D2) * s0 + item // D2 % D1 * s1 + item % D2 * s2


@triton.jit
def product(a, b, bias, residual, y, M, N, K, ITEMS, D1, D2, a0, a1, a2, b0, b1, b2, a_row, a_k, b_k, b_column, scale,
            PAIRS: tl.constexpr, HOW: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr,
            PARTS: tl.constexpr, EVEN: tl.constexpr, WIDE: tl.constexpr):  # fmt: skip
    """One tile of y, or with PARTS > 1 of one of the partial sums [PARTS, ITEMS, M, N] in y.

    PAIRS: 0 where b has strides; otherwise b is matmul_pack's panels of 16 columns and PAIRS neighbours along k lie together: b_column is then the size
    of a panel. EVEN: K is a multiple of BK. WIDE: an operand spans more than 2^31 elements."""
    pid = tl.program_id(0)
    tiles = tl.cdiv(M, BM) * tl.cdiv(N, BN)
    item = pid // tiles % ITEMS
    part = pid // (tiles * ITEMS)
    tile_m, tile_n = tile_of(pid % tiles, M, N, BM, BN, GROUP)
    rows, columns, inner = tile_m * BM + tl.arange(0, BM), tile_n * BN + tl.arange(0, BN), tl.arange(0, BK)
    steps = tl.cdiv(tl.cdiv(K, BK), PARTS)
    low = part * steps * BK
    high = tl.minimum(K, low + steps * BK)
    wide_rows, wide_columns, wide_inner = rows, columns, inner + low
    if WIDE:
        wide_rows, wide_columns, wide_inner = rows.to(tl.int64), columns.to(tl.int64), (inner + low).to(tl.int64)
    left = a + item_offset(item, D1, D2, a0, a1, a2) + wide_rows[:, None] * a_row + wide_inner[None, :] * a_k
    right = b + item_offset(item, D1, D2, b0, b1, b2)
    if PAIRS == 0:
        right += wide_inner[:, None] * b_k + wide_columns[None, :] * b_column
        step = b_k * BK
    else:
        right += (wide_inner // PAIRS * (16 * PAIRS) + inner % PAIRS)[:, None] + (wide_columns // 16 * b_column + columns % 16 * PAIRS)[None, :]
        step = 16 * BK
    total = tl.zeros((BM, BN), tl.float32)
    for k in range(low, high, BK):
        if EVEN:
            x = tl.load(left, mask=rows[:, None] < M, other=0.0)
            w = tl.load(right, mask=columns[None, :] < N, other=0.0)
        else:
            x = tl.load(left, mask=(rows[:, None] < M) & (inner[None, :] < K - k), other=0.0)
            w = tl.load(right, mask=(columns[None, :] < N) & (inner[:, None] < K - k), other=0.0)
        total = tl.dot(x, w, total, input_precision="ieee")
        left += a_k * BK
        right += step
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    at = (part * ITEMS + item).to(tl.int64) * M * N + rows.to(tl.int64)[:, None] * N + columns[None, :]
    if PARTS == 1:
        total = finish(total, at, columns[None, :], inside, bias, residual, scale, HOW)
    tl.store(y + at, total.to(y.dtype.element_ty), mask=inside)


@triton.jit
def add_parts(parts, bias, residual, y, count, N, scale, HOW: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """y from partial sums, added in their order: the same bits in every run, where atomics would add in the order of arrival."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    total = tl.load(parts + at, mask=inside, other=0.0)
    for part in range(1, PARTS):
        total += tl.load(parts + part * count.to(tl.int64) + at, mask=inside, other=0.0)
    total = finish(total, at, at % N, inside, bias, residual, scale, HOW)
    tl.store(y + at, total.to(y.dtype.element_ty), mask=inside)


def _operands(p: Product, call: Call) -> tuple[Any, ...]:
    """The arguments that follow bias, residual and y."""
    return (p.m, p.n, p.k, p.items, *p.batch[1:], *p.a_batch, *p.b_batch, p.a_row, p.a_k, p.b_k, p.b_column, float(call.attrs["scale"]))


def _run(call: Call, p: Product, config: dict[str, int], parts: int) -> None:
    (a, b, bias, residual), (y,) = p.windows, call.outputs
    bm, bn, bk = (config[x] for x in ("BM", "BN", "BK"))
    bm, bn = power_of_two(p.m, 16, bm), power_of_two(p.n, 16, bn)
    # A sum is cut at whole blocks of k; no part is empty, so that none costs a launch of zeros.
    parts = ceil_div(ceil_div(p.k, bk), ceil_div(ceil_div(p.k, bk), parts)) if p.k else 1
    how, pairs = call.attrs["activation"], PAIRS[a.dtype.name] if call.attrs["packed"] else 0
    target = y if parts == 1 else call.scratch((parts, p.items, p.m, p.n), type(y.dtype)["float32"])
    grid = ceil_div(p.m, bm) * ceil_div(p.n, bn) * p.items * parts
    call.launch(product, (grid,), a, b, bias, residual, target, *_operands(p, call), PAIRS=pairs, HOW=how, BM=bm, BN=bn, BK=bk, GROUP=config["GROUP"],
                PARTS=parts, EVEN=p.k % bk == 0, WIDE=p.wide, warps=config["warps"], stages=config["stages"])  # fmt: skip
    if parts > 1:
        count = p.items * p.m * p.n
        call.launch(add_parts, (ceil_div(count, 256),), target, bias, residual, y, count, p.n, float(call.attrs["scale"]), HOW=how, PARTS=parts, BLOCK=256)


def _config(call: Call, p: Product) -> dict[str, int]:
    return nearest(__file__, f"matmul_{call.inputs[0].dtype.name}", call.device.arch, (p.m, p.n, p.k))


def parts_of(p: Product, config: dict[str, int], units: int) -> int:
    """How many programs share a sum: enough for two on each unit, none with less than 4 blocks of k."""
    tiles = ceil_div(p.m, power_of_two(p.m, 16, config["BM"])) * ceil_div(p.n, power_of_two(p.n, 16, config["BN"])) * p.items
    return max(1, min(2 * units // max(tiles, 1), p.k // (4 * config["BK"]), 32))


def _enough(call: Call) -> str | None:
    p = product_of(call)
    if isinstance(p, str):
        return p
    return None if parts_of(p, _config(call, p), call.device.units) > 1 else "there are tiles enough for all units, or k is short"


def _fits(call: Call) -> str | None:
    p = product_of(call)
    return p if isinstance(p, str) else None


@row(refuse=_enough)
def matmul_parts(call: Call) -> None:
    """Few results of long sums: parts of k in scratch, then added in order."""
    p = product_of(call)
    assert isinstance(p, Product)
    config = _config(call, p)
    _run(call, p, config, parts_of(p, config, call.device.units))


@row(refuse=_fits)
def matmul(call: Call) -> None:
    """Any product: a program for each tile of y."""
    p = product_of(call)
    assert isinstance(p, Product)
    _run(call, p, _config(call, p), 1)
