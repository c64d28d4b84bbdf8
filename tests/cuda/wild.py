"""A kernel that does what it is told, whoever's memory that is."""

import triton
import triton.language as tl


@triton.jit
def fill(x, n, BLOCK: tl.constexpr):  # noqa: N803
    i = tl.arange(0, BLOCK)
    tl.store(x + i, 1.0, mask=i < n)
