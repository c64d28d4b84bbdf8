"""A call of matmul taken apart for a device: batch dims merged, strides as the kernels want them. Shapes and strides alone; imports no triton."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..launch import Call, count

PAIRS = {"float32": 1, "bfloat16": 2, "int8": 4}  # neighbours along k that lie together in matmul_pack's panels
BATCH_DIMS = 3  # of a kernel, after merging


@dataclass(frozen=True)
class Product:
    """y[batch..., m, n] = a[batch..., m, k] b[batch..., k, n]; all strides in elements."""

    windows: tuple[Any, ...]  # a, b, bias, residual
    m: int
    n: int
    k: int
    batch: tuple[int, int, int]
    a_batch: tuple[int, int, int]
    b_batch: tuple[int, int, int]
    a_row: int
    a_k: int
    b_k: int
    b_column: int
    wide: bool  # offsets within an item pass 2^31

    @property
    def items(self) -> int:
        return count(self.batch)


def _against(x: Any, batch: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of x's leading dims along those of the result; 0 where x has none or is repeated."""
    shape, stride = x.shape[:-2], x.stride[:-2]
    own = tuple(0 if size == 1 else s for size, s in zip(shape, stride, strict=True))
    return (0,) * (len(batch) - len(own)) + own


def merged(dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Dims as (size, stride, stride, ...), outermost first: neighbours that all strides step through alike become one, dims of one go."""
    found: list[tuple[int, ...]] = []
    for size, *strides in dims:
        if size == 1:
            continue
        if found and all(outer == inner * size for outer, inner in zip(found[-1][1:], strides, strict=True)):
            found[-1] = (found[-1][0] * size, *strides)
        else:
            found.append((size, *strides))
    return found


def product_of(call: Call) -> Product | str:
    """The product that a call asks for, or why these kernels do not take it."""
    (a, b, bias, residual), y = (*call.inputs, None, None)[:4], call.outputs[0]
    m, k, n = a.shape[-2], a.shape[-1], y.shape[-1]
    a_row, a_k = a.stride[-2:]
    batch = tuple(y.shape[:-2])
    if call.attrs["packed"]:
        b_k, b_column, b_strides = 0, count(b.shape[1:]), (0,) * len(batch)
    else:
        b_k, b_column, b_strides = *b.stride[-2:], _against(b, batch)
    dims = merged(list(zip(batch, _against(a, batch), b_strides, strict=True)))
    # Rows of items that share b are rows of one product: tiles then run across items.
    while dims and dims[-1][2] == 0 and (m == 1 or dims[-1][1] == m * a_row):
        size, a_stride, _ = dims.pop()
        a_row, m = a_stride if m == 1 else a_row, m * size
    if len(dims) > BATCH_DIMS:
        return f"{len(dims)} batch dims that strides do not merge; {BATCH_DIMS} at most"
    dims = [(1, 0, 0)] * (BATCH_DIMS - len(dims)) + dims
    sizes, a_batch, b_batch = zip(*dims, strict=True)
    wide = max(m * abs(a_row) + k * abs(a_k), k * max(abs(b_k), 16) + n * max(abs(b_column), 1)) >= 2**31 - 2**20
    return Product((a, b, bias, residual), m, n, k, sizes, a_batch, b_batch, a_row, a_k, b_k, b_column, wide)
