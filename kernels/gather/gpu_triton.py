"""take, gather and gather_nd on a device. A kernel cannot report an index that is outside: it reads nothing there, y is 0."""

from __future__ import annotations

import triton
import triton.language as tl

from ..copy.gpu_triton_places import block_of, place
from ..copy.strides import collapse, eight, row_major, wide
from ..launch import Call, ceil_div, count, row

BLOCK = 1024


@triton.jit
def inside(index, at, mask, size):
    """The number that stands at `at`, counted from the front, and whether there is such a place."""
    a = tl.load(index + at, mask=mask, other=0).to(tl.int64)
    a = tl.where(a < 0, a + size, a)
    return a, mask & (a >= 0) & (a < size)


@triton.jit
def slice_of(index, j, mask, sizes, strides, K: tl.constexpr):
    """Where the slice that the K components of index[j] name begins, and whether it is inside."""
    at = j.to(tl.int64) * 0
    for k in tl.static_range(K):
        a, mask = inside(index, j.to(tl.int64) * K + k, mask, sizes[k])
        at += a * strides[k]
    return at, mask


@triton.jit
def _take(x, index, y, elements, size, indices, inner, skip, SKIP: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    i = block_of(BLOCK, WIDE)
    line = i // inner
    a, there = inside(index, line % indices, i < elements, size)
    if SKIP:
        there = there & (a != skip)
    v = tl.load(x + ((line // indices) * size + a.to(i.dtype)) * inner + i % inner, mask=there, other=0)
    tl.store(y + i, v, mask=i < elements)


@row()
def take(call: Call) -> None:
    (x, index), (y,), axis, skip = call.inputs, call.outputs, call.attrs["axis"], call.attrs["skip"]
    n = count(y.shape)
    call.launch(_take, (ceil_div(n, BLOCK),), x, index, y, n, x.shape[axis], count(index.shape), count(x.shape[axis + 1 :]), skip,
                SKIP=skip >= 0, WIDE=wide(n, count(x.shape)), BLOCK=BLOCK)  # fmt: skip


@triton.jit
def _gather(x, index, y, elements, size, stride, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7,
            RANK: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    i = block_of(BLOCK, WIDE)
    a, there = inside(index, i, i < elements, size)
    at = place(i, (n0, n1, n2, n3, n4, n5, n6, n7), (s0, s1, s2, s3, s4, s5, s6, s7), RANK)
    tl.store(y + i, tl.load(x + at + a.to(i.dtype) * stride, mask=there, other=0), mask=i < elements)


@row()
def gather(call: Call) -> None:
    (x, index), (y,), axis = call.inputs, call.outputs, call.attrs["axis"]
    strides, n = row_major(x.shape), count(y.shape)
    sizes, (walk,) = collapse(index.shape, [0 if d == axis else s for d, s in enumerate(strides)])
    call.launch(_gather, (ceil_div(n, BLOCK),), x, index, y, n, x.shape[axis], strides[axis], *eight(sizes), *eight(walk),
                RANK=len(sizes), WIDE=wide(n, count(x.shape)), BLOCK=BLOCK)  # fmt: skip


@triton.jit
def _gather_nd(x, index, y, elements, inner, indices, batch, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7,
               K: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    i = block_of(BLOCK, WIDE)
    j = i // inner
    at, there = slice_of(index, j, i < elements, (n0, n1, n2, n3, n4, n5, n6, n7), (s0, s1, s2, s3, s4, s5, s6, s7), K)
    v = tl.load(x + (j // indices).to(tl.int64) * batch + at + i % inner, mask=there, other=0)
    tl.store(y + i, v, mask=i < elements)


@row()
def gather_nd(call: Call) -> None:
    (x, index), (y,), b = call.inputs, call.outputs, call.attrs["batch"]
    k, n, strides = index.shape[-1], count(y.shape), row_major(x.shape)
    call.launch(_gather_nd, (ceil_div(n, BLOCK),), x, index, y, n, count(x.shape[b + k :]), count(index.shape[b:-1]), count(x.shape[b:]),
                *eight(x.shape[b : b + k]), *eight(strides[b : b + k]), K=k, WIDE=wide(n), BLOCK=BLOCK)  # fmt: skip
