"""Where the elements of a tensor lie: what kernels of all families that move elements share."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_of(BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """The numbers of a program's elements, int32 or int64."""
    if WIDE:
        return tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    else:
        return tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def place(i, sizes, strides, RANK: tl.constexpr):
    """The offset of element number i, the fastest dimension first. The slowest takes what is left: a number that is too large goes on past the end."""
    at = i * 0
    for d in tl.static_range(RANK - 1):
        at += (i % sizes[d]) * strides[d]
        i = i // sizes[d]
    return at + i * strides[RANK - 1]
