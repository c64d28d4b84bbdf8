"""matmul_int4 on devices, on the stream that all CPU rows read (kernels/weight_only/matmul_int4.h)."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..configs import nearest
from ..launch import Call, ceil_div, count, power_of_two, row
from ..matmul.gpu_epilogue import added
from ..matmul.gpu_triton import tile_of
from ..pointwise.gpu_functions import nearest as rounded

LEAST = tl.constexpr(2.0**-100)  # a group whose largest activation is smaller counts as zeros


@triton.jit
def scales_of(strips, columns, GROUP: tl.constexpr):
    """Float16 scales of a group, from two bytes each: strips may start at any byte. strips: where the columns' strips hold the group."""
    at = strips + GROUP * 8 + columns % 16 * 2
    bits = tl.load(at).to(tl.int32) | (tl.load(at + 1).to(tl.int32) << 8)
    return bits.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def zeros_of(strips, columns, GROUP: tl.constexpr, ZEROS: tl.constexpr):
    if ZEROS:
        return tl.load(strips + GROUP * 8 + 32 + columns % 16).to(tl.int32)
    return tl.full(columns.shape, 8, tl.int32)


@triton.jit
def int4_product(a, w, bias, y, M, N, K, G, GROUP: tl.constexpr, ZEROS: tl.constexpr, PARTS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                 BK: tl.constexpr, BAND: tl.constexpr):  # fmt: skip
    """One tile of y, or with PARTS > 1 of a partial sum in y [PARTS, M, N]. BK numbers of a group at a time; the low and the high halves of the same
    bytes are two products, since a sum over k may take them in any order: no byte is read twice, nothing is shuffled."""
    tiles = tl.cdiv(M, BM) * tl.cdiv(N, BN)
    part = tl.program_id(0) // tiles
    tile_m, tile_n = tile_of(tl.program_id(0) % tiles, M, N, BM, BN, BAND)
    rows, columns = tile_m * BM + tl.arange(0, BM), tile_n * BN + tl.arange(0, BN)
    # Columns past the last strip read the last one's bytes; their sums are not stored.
    held = tl.minimum(columns, tl.cdiv(N, 16) * 16 - 1)
    BYTES: tl.constexpr = GROUP * 8 + 32 + 16 * ZEROS
    strips = w + (held // 16).to(tl.int64) * G * BYTES
    half = tl.arange(0, BK // 2)
    low = half // 4 * 8 + half % 4
    body = (half // 4 * 64 + half % 4)[:, None] + (held % 16 * 4)[None, :]
    left = a + rows.to(tl.int64)[:, None] * K
    total = tl.zeros((BM, BN), tl.float32)
    share = tl.cdiv(G, PARTS)
    for g in range(part * share, tl.minimum(G, (part + 1) * share)):
        group = strips + g * BYTES
        scale, zero = scales_of(group, held, GROUP), zeros_of(group, held, GROUP, ZEROS)
        for inside in tl.static_range(0, GROUP, BK):
            k = g * GROUP + inside + low
            bytes_ = tl.load((group + inside * 8)[None, :] + body).to(tl.int32)
            x = tl.load(left + k[None, :], mask=(rows[:, None] < M) & (k[None, :] < K), other=0.0)
            total = tl.dot(x, ((bytes_ & 15) - zero[None, :]).to(tl.float32) * scale[None, :], total, input_precision="ieee")
            x = tl.load(left + k[None, :] + 4, mask=(rows[:, None] < M) & (k[None, :] + 4 < K), other=0.0)
            total = tl.dot(x, ((bytes_ >> 4) - zero[None, :]).to(tl.float32) * scale[None, :], total, input_precision="ieee")
    if PARTS == 1 and bias is not None:
        total += tl.load(bias + columns, mask=columns < N, other=0.0)[None, :]
    at = (part * M + rows).to(tl.int64)[:, None] * N + columns[None, :]
    tl.store(y + at, total, mask=(rows[:, None] < M) & (columns[None, :] < N))


@triton.jit
def add_int4_parts(parts, bias, y, count, N, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """y from partial sums, added in their order."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.load(parts + at, mask=at < count, other=0.0)
    for part in range(1, PARTS):
        total += tl.load(parts + part * count.to(tl.int64) + at, mask=at < count, other=0.0)
    if bias is not None:
        total += tl.load(bias + at % N, mask=at < count, other=0.0)
    tl.store(y + at, total, mask=at < count)


@triton.jit
def int8_groups(a, x, scale, start, K, G, GROUP: tl.constexpr):
    """A group of a row as int8: a = scale x; start = sum of x. Infinity or NaN makes the scale NaN."""
    r, g = tl.program_id(0).to(tl.int64), tl.program_id(1)
    inner = tl.arange(0, GROUP)
    k = g * GROUP + inner
    v = tl.load(a + r * K + k, mask=k < K, other=0.0)
    size = tl.abs(v)
    bad = tl.max(((size == float("inf")) | (v != v)).to(tl.int32), 0)
    v = tl.where((size == float("inf")) | (v != v), 0.0, v)
    top = tl.max(tl.abs(v), 0) + tl.zeros((1,), tl.float32)
    used = top >= LEAST
    factor = tl.where(used, tl.div_rn(tl.full((1,), 127.0, tl.float32), tl.where(used, top, 1.0)), 0.0)
    q = rounded(v * factor).to(tl.int32)
    tl.store(x + (r * G + g) * GROUP + inner, q.to(tl.int8))
    one = tl.arange(0, 1)
    by = tl.where(used, tl.div_rn(top, tl.full((1,), 127.0, tl.float32)), 0.0)
    tl.store(scale + r * G + g + one, tl.where(bad != 0, float("nan"), by))
    tl.store(start + r * G + g + one, tl.sum(q, 0) + tl.zeros((1,), tl.int32))


@triton.jit
def int4_int8_product(x, w, bias, scale, start, y, M, N, G, GROUP: tl.constexpr, ZEROS: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                      BAND: tl.constexpr):  # fmt: skip
    """Groups in their order: the integers of each are exact, then its float is added. A nibble's byte is read for both halves: an int8 product of 16 k,
    a half of the smallest group, is less than tensor cores take."""
    tile_m, tile_n = tile_of(tl.program_id(0), M, N, BM, BN, BAND)
    rows, columns = tile_m * BM + tl.arange(0, BM), tile_n * BN + tl.arange(0, BN)
    held = tl.minimum(columns, tl.cdiv(N, 16) * 16 - 1)
    BYTES: tl.constexpr = GROUP * 8 + 32 + 16 * ZEROS
    strips = w + (held // 16).to(tl.int64) * G * BYTES
    inner = tl.arange(0, GROUP)
    body = (inner // 8 * 64 + inner % 4)[:, None] + (held % 16 * 4)[None, :]
    shift = (inner % 8 // 4 * 4)[:, None]
    total = tl.zeros((BM, BN), tl.float32)
    for g in range(G):
        group = strips + g * BYTES
        at = rows.to(tl.int64) * G + g
        left = tl.load(x + at[:, None] * GROUP + inner[None, :], mask=rows[:, None] < M, other=0)
        nibbles = (tl.load(group[None, :] + body).to(tl.int32) >> shift) & 15
        exact = tl.dot(left, nibbles.to(tl.int8), out_dtype=tl.int32)
        zero = zeros_of(group, held, GROUP, ZEROS)
        exact -= tl.load(start + at, mask=rows < M, other=0)[:, None] * zero[None, :]
        by = tl.load(scale + at, mask=rows < M, other=0.0)[:, None] * scales_of(group, held, GROUP)[None, :]
        total = added(exact.to(tl.float32) * by, total)
    if bias is not None:
        total += tl.load(bias + columns, mask=columns < N, other=0.0)[None, :]
    tl.store(y + rows.to(tl.int64)[:, None] * N + columns[None, :], total, mask=(rows[:, None] < M) & (columns[None, :] < N))


def _sizes(call: Call) -> tuple[int, int, int, int, dict[str, int]]:
    a, w, y = call.inputs[0], call.inputs[1], call.outputs[0]
    m, k, n = count(a.shape[:-1]), a.shape[-1], y.shape[-1]
    name = "int4_int8" if call.attrs["compute"] else "int4"
    config = nearest(__file__, name, call.device.arch, (m, n, k))
    config["BM"], config["BN"] = power_of_two(m, 16, config["BM"]), power_of_two(n, 16, config["BN"])
    return m, n, k, w.shape[1], config


def _operands(call: Call) -> tuple[Any, Any, Any, Any]:
    a, w, bias = (*call.inputs, None)[:3]
    return a, w, bias, call.outputs[0]


@row(refuse=lambda call: None if call.attrs["compute"] == 0 else "activations in int8 are asked for")
def matmul_int4(call: Call) -> None:
    """float32 activations. Where tiles are few, programs share the groups of a sum, and their parts are added in order."""
    a, w, bias, y = _operands(call)
    m, n, k, groups, config = _sizes(call)
    tiles = ceil_div(m, config["BM"]) * ceil_div(n, config["BN"])
    parts = max(1, min(2 * call.device.units // tiles, groups // 4, 32))
    parts = ceil_div(groups, ceil_div(groups, parts)) if groups else 1
    target = y if parts == 1 else call.scratch((parts, m, n), y.dtype)
    group = call.attrs["group"]
    call.launch(int4_product, (tiles * parts,), a, w, bias, target, m, n, k, groups, GROUP=group, ZEROS=call.attrs["zero_points"], PARTS=parts,
                BM=config["BM"], BN=config["BN"], BK=min(group, config["BK"]), BAND=config["GROUP"], warps=config["warps"],
                stages=config["stages"])  # fmt: skip
    if parts > 1:
        call.launch(add_int4_parts, (ceil_div(m * n, 256),), target, bias, y, m * n, n, PARTS=parts, BLOCK=256)


@row(refuse=lambda call: None if call.attrs["compute"] == 1 else "activations as they are were asked for")
def matmul_int4_int8(call: Call) -> None:
    """Activations in int8, a scale for each row and group."""
    a, w, bias, y = _operands(call)
    m, n, k, groups, config = _sizes(call)
    group, dtypes = call.attrs["group"], type(y.dtype)
    x = call.scratch((m, groups * group), dtypes["int8"])
    scale, start = call.scratch((m, groups), dtypes["float32"]), call.scratch((m, groups), dtypes["int32"])
    if groups:
        call.launch(int8_groups, (m, groups), a, x, scale, start, k, groups, GROUP=group, warps=1)
    grid = ceil_div(m, config["BM"]) * ceil_div(n, config["BN"])
    call.launch(int4_int8_product, (grid,), x, w, bias, scale, start, y, m, n, groups, GROUP=group, ZEROS=call.attrs["zero_points"], BM=config["BM"],
                BN=config["BN"], BAND=config["GROUP"], warps=config["warps"], stages=config["stages"])  # fmt: skip
