"""qmatmul on devices."""

from __future__ import annotations

import triton
import triton.language as tl

from ..configs import nearest
from ..launch import Call, ceil_div, count, power_of_two, row
from ..pointwise.gpu_functions import nearest as rounded
from .gpu_int8 import int8_tile
from .gpu_triton import tile_of


@triton.jit
def quantized_product(a, a_zero, b, scale, bias, out_zero, y, M, N, K, a_row, a_k, b_k, b_column, RELU: tl.constexpr, PACKED: tl.constexpr,
                      BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr):  # fmt: skip
    tile_m, tile_n = tile_of(tl.program_id(0), M, N, BM, BN, GROUP)
    rows, columns = tile_m * BM + tl.arange(0, BM), tile_n * BN + tl.arange(0, BN)
    total, sums = int8_tile(a, b, rows, columns, M, N, K, a_row, a_k, b_k, b_column, PACKED, True, BM, BN, BK)
    start = (128 - tl.load(a_zero).to(tl.int32)) * sums
    if bias is not None:
        start += tl.load(bias + columns, mask=columns < N, other=0)
    total += start[None, :]
    if RELU:
        total = tl.maximum(total, 0)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    at = y + rows.to(tl.int64)[:, None] * N + columns[None, :]
    if y.dtype.element_ty == tl.int32:
        tl.store(at, total, mask=inside)
    else:
        scaled = total.to(tl.float32) * tl.load(scale + columns, mask=columns < N, other=0.0)[None, :]
        if out_zero is not None:
            # The comparison sends NaN to the lower end.
            whole = rounded(tl.where(scaled > -512.0, tl.where(scaled < 512.0, scaled, 512.0), -512.0)).to(tl.int32) + tl.load(out_zero).to(tl.int32)
            tl.store(at, tl.minimum(tl.maximum(whole, 0), 255).to(tl.uint8), mask=inside)
        else:
            tl.store(at, scaled, mask=inside)


@row()
def qmatmul(call: Call) -> None:
    """A program for each tile of y."""
    (a, a_zero, b, scale, bias, out_zero), (y,) = (*call.inputs, None, None)[:6], call.outputs
    (m, k), n, packed = a.shape, scale.shape[0], call.attrs["packed"]
    b_k, b_column = (0, count(b.shape[1:])) if packed else b.stride
    config = nearest(__file__, "int8", call.device.arch, (m, n, k))
    bm, bn = power_of_two(m, 16, config["BM"]), power_of_two(n, 16, config["BN"])
    call.launch(quantized_product, (ceil_div(m, bm) * ceil_div(n, bn),), a, a_zero, b, scale, bias, out_zero, y, m, n, k, *a.stride, b_k, b_column,
                RELU=call.attrs["relu"], PACKED=packed, BM=bm, BN=bn, BK=config["BK"], GROUP=config["GROUP"], warps=config["warps"],
                stages=config["stages"])  # fmt: skip
