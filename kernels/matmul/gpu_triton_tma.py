"""matmul on chips whose tensor memory accelerator copies tiles: one thread asks for a tile by its place, no registers hold addresses."""

from __future__ import annotations

import triton
import triton.language as tl

from ..configs import nearest
from ..launch import Call, ceil_div, row
from .gpu_epilogue import finish
from .gpu_problem import Product, product_of
from .gpu_triton import tile_of

CHIPS = ("sm_90", "sm_100", "sm_103", "sm_120")


@triton.jit
def product_by_descriptors(a, b, bias, residual, y, M, N, K, a_row, b_row, scale, TURNED: tl.constexpr, HOW: tl.constexpr, BM: tl.constexpr,
                           BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr):  # fmt: skip
    """As many programs as the chip has units, each of which goes from tile to tile: the loads of the next one start while this one is stored.
    TURNED: b lies as [N, K]. What lies outside is read as zeros."""
    left = tl.make_tensor_descriptor(a, shape=[M, K], strides=[a_row, 1], block_shape=[BM, BK])
    if TURNED:
        right = tl.make_tensor_descriptor(b, shape=[N, K], strides=[b_row, 1], block_shape=[BN, BK])
    else:
        right = tl.make_tensor_descriptor(b, shape=[K, N], strides=[b_row, 1], block_shape=[BK, BN])
    tiles = tl.cdiv(M, BM) * tl.cdiv(N, BN)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        tile_m, tile_n = tile_of(tile, M, N, BM, BN, GROUP)
        total = tl.zeros((BM, BN), tl.float32)
        for k in range(0, K, BK):
            x = left.load([tile_m * BM, k])
            if TURNED:
                total = tl.dot(x, right.load([tile_n * BN, k]).T, total)
            else:
                total = tl.dot(x, right.load([k, tile_n * BN]), total)
        rows, columns = tile_m * BM + tl.arange(0, BM), tile_n * BN + tl.arange(0, BN)
        inside = (rows[:, None] < M) & (columns[None, :] < N)
        at = rows.to(tl.int64)[:, None] * N + columns[None, :]
        total = finish(total, at, columns[None, :], inside, bias, residual, scale, HOW)
        tl.store(y + at, total.to(y.dtype.element_ty), mask=inside)


def _rows_apart(p: Product) -> tuple[int, int, bool]:
    """Elements between rows of a, of b as it lies, and whether that is [N, K]; 0 where the elements of a row are not neighbours."""
    turned = p.b_k == 1 and p.b_column != 1
    b_row = p.b_column if turned else p.b_k if p.b_column == 1 else 0
    return (p.a_row if p.a_k == 1 else 0), b_row, turned


def _refuse(call: Call) -> str | None:
    if call.device.arch not in CHIPS:
        return f"{call.device.arch} has no tensor memory accelerator"
    p = product_of(call)
    if isinstance(p, str):
        return p
    if call.attrs["packed"] or p.items > 1 or not p.k:
        return "one matrix against one that is not packed is wanted"
    a_row, b_row, _ = _rows_apart(p)
    a, b = p.windows[:2]
    if a_row < 8 or b_row < 8 or a_row % 8 or b_row % 8 or a.address % 16 or b.address % 16:
        return "rows have to start at multiples of 16 bytes"
    return None if p.m > 64 and p.n > 64 and p.k >= 256 else "descriptors take longer to make than the product"


@row(refuse=_refuse)
def matmul_by_descriptors(call: Call) -> None:
    p = product_of(call)
    assert isinstance(p, Product)
    a, b, bias, residual = p.windows
    a_row, b_row, turned = _rows_apart(p)
    config = nearest(__file__, "matmul_descriptors", call.device.arch, (p.m, p.n, p.k))
    bm, bn = config["BM"], config["BN"]
    grid = min(call.device.units, ceil_div(p.m, bm) * ceil_div(p.n, bn))
    call.launch(product_by_descriptors, (grid,), a, b, bias, residual, call.outputs[0], p.m, p.n, p.k, a_row, b_row, float(call.attrs["scale"]),
                TURNED=turned, HOW=call.attrs["activation"], BM=bm, BN=bn, BK=config["BK"], GROUP=config["GROUP"], warps=config["warps"],
                stages=config["stages"])  # fmt: skip
