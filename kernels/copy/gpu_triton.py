"""copy and cast on a device: any dtypes, any strides."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row
from .gpu_triton_convert import convert
from .gpu_triton_places import block_of, place
from .strides import collapse, eight, reach, row_major, wide

BLOCK, TILE = 1024, 32


@triton.jit
def _walk(x, y, elements, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7,
          RANK: tl.constexpr, FLAT: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    i = block_of(BLOCK, WIDE)
    if FLAT:
        at = i
    else:
        at = place(i, (n0, n1, n2, n3, n4, n5, n6, n7), (s0, s1, s2, s3, s4, s5, s6, s7), RANK)
    v = tl.load(x + at, mask=i < elements)
    tl.store(y + i, convert(v, y.dtype.element_ty), mask=i < elements)


@triton.jit
def _turn(x, y, rows, columns, pitch, y_pitch, row_tiles, column_tiles, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7,
          t0, t1, t2, t3, t4, t5, t6, t7, RANK: tl.constexpr, TILE: tl.constexpr):  # fmt: skip
    tile = tl.program_id(0).to(tl.int64)
    r = (tile % row_tiles) * TILE + tl.arange(0, TILE)
    rest = tile // row_tiles
    c = (rest % column_tiles) * TILE + tl.arange(0, TILE)
    plane = rest // column_tiles
    sizes = (n0, n1, n2, n3, n4, n5, n6, n7)
    source = x + place(plane, sizes, (s0, s1, s2, s3, s4, s5, s6, s7), RANK)
    to = y + place(plane, sizes, (t0, t1, t2, t3, t4, t5, t6, t7), RANK)
    there = (r < rows)[:, None] & (c < columns)[None, :]
    v = tl.load(source + r[:, None] + c[None, :] * pitch, mask=there)
    tl.store(to + r[:, None] * y_pitch + c[None, :], convert(v, y.dtype.element_ty), mask=there)


def _turned(sizes: list[int], stride: list[int]) -> int | None:
    """The dimension that lies without gaps in x, where it is another one than in y: read by a walk through y, each element would be a transaction."""
    return next((d for d in range(1, len(sizes)) if stride[d] == 1 and min(sizes[0], sizes[d]) >= TILE // 4), None) if stride[0] > 1 else None


def _run(call: Call) -> None:
    (x,), (y,) = call.inputs, call.outputs
    sizes, (stride,) = collapse(x.shape, x.stride)
    along, n = _turned(sizes, stride), count(y.shape)
    if along is None:
        flat = len(sizes) == 1 and stride[0] == 1
        call.launch(_walk, (ceil_div(n, BLOCK),), x, y, n, *eight(sizes), *eight(stride),
                    RANK=len(sizes), FLAT=flat, WIDE=wide(n, reach(sizes, stride)), BLOCK=BLOCK)  # fmt: skip
        return
    out = row_major(sizes[::-1])[::-1]
    others = [d for d in range(1, len(sizes)) if d != along]
    tiles = ceil_div(sizes[along], TILE), ceil_div(sizes[0], TILE)
    outer: list[Any] = [eight([of[d] for d in others]) for of in (sizes, stride, out)]
    planes = count([sizes[d] for d in others])
    call.launch(_turn, (tiles[0] * tiles[1] * planes,), x, y, sizes[along], sizes[0], stride[0], out[along], *tiles, *outer[0], *outer[1], *outer[2],
                RANK=max(len(others), 1), TILE=TILE)  # fmt: skip


@row()
def copy(call: Call) -> None:
    """The same elements, contiguous."""
    _run(call)


@row()
def cast(call: Call) -> None:
    """The same elements in y's dtype, contiguous."""
    _run(call)
