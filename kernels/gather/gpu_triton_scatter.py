"""scatter, scatter_nd and take_grad on a device. What lands in one place is brought together by sorting (place, number of the term), and added up by one
thread in the order of the terms: the same bits from run to run and as on the CPU. An index that is outside is left out."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ...core.dtypes import DType
from ..copy.gpu_triton_places import block_of, place
from ..copy.strides import collapse, eight, row_major, wide
from ..launch import Call, ceil_div, count, row
from .gpu_triton import inside, slice_of
from .gpu_triton_sort import sort

BLOCK = 256


@triton.jit
def _start(x, y, elements, ZEROS: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    i = block_of(BLOCK, WIDE)
    if ZEROS:
        v = tl.zeros([BLOCK], y.dtype.element_ty)
    else:
        v = tl.load(x + i, mask=i < elements)
    tl.store(y + i, v, mask=i < elements)


@triton.jit
def _keys_of_elements(index, keys, terms, places, size, stride, shift, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7,
                      RANK: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    e = block_of(BLOCK, True)
    a, there = inside(index, e, e < terms, size)
    at = place(e, (n0, n1, n2, n3, n4, n5, n6, n7), (s0, s1, s2, s3, s4, s5, s6, s7), RANK) + a * stride
    tl.store(keys + e, (tl.where(there, at, places) << shift) | e, mask=e < terms)


@triton.jit
def _keys_of_slices(index, keys, terms, places, skip, shift, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7,
                    K: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    e = block_of(BLOCK, True)
    at, there = slice_of(index, e, e < terms, (n0, n1, n2, n3, n4, n5, n6, n7), (s0, s1, s2, s3, s4, s5, s6, s7), K)
    tl.store(keys + e, (tl.where(there & (at != skip), at, places) << shift) | e, mask=e < terms)


@triton.jit
def _combined(a, b, REDUCE: tl.constexpr):
    if REDUCE == 1:
        y = a + b
    elif REDUCE == 2:
        y = a * b
    elif REDUCE == 3:
        y = tl.where((a >= b) | (a != a), a, b)
    else:
        y = tl.where((a <= b) | (a != a), a, b)
    return y


@triton.jit
def _apply(s, keys, y, terms, places, shift, columns, inner, y_outer, s_outer, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7,
           RANK: tl.constexpr, REDUCE: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """A lane a term and column. Of the terms of one place, which stand one behind the other, the first does the work for all (replace: the last)."""
    i = block_of(BLOCK, True)
    p, column = i // columns, i % columns
    valid = p < terms
    key = tl.load(keys + p, mask=valid, other=0)
    at = key >> shift
    beside = p + 1 if REDUCE == 0 else p - 1
    neighbour = tl.load(keys + beside, mask=valid & (beside >= 0) & (beside < terms), other=-1)
    mine = valid & (at < places) & ((neighbour >> shift) != at)
    to = y + at * inner + (column // inner) * y_outer + column % inner
    source = s + (column // inner) * s_outer + column % inner
    sizes, strides = (n0, n1, n2, n3, n4, n5, n6, n7), (s0, s1, s2, s3, s4, s5, s6, s7)
    term = key - (at << shift)
    if REDUCE == 0:
        tl.store(to, tl.load(source + place(term, sizes, strides, RANK), mask=mine), mask=mine)
    else:
        total = tl.load(to, mask=mine, other=0)
        active = mine
        while tl.max(active.to(tl.int32), axis=0) > 0:
            v = tl.load(source + place(term, sizes, strides, RANK), mask=active, other=0)
            total = tl.where(active, _combined(total, v, REDUCE), total)
            p += 1
            active = active & (p < terms)
            key = tl.load(keys + p, mask=active, other=-1)
            active = active & ((key >> shift) == at)
            term = key - (at << shift)
        tl.store(to, total, mask=mine)


def _too_large(call: Call) -> str | None:
    terms, places = count(call.inputs[1].shape), count(call.outputs[0].shape)
    return f"{terms} terms for {places} places: their numbers do not fit 62 bits" if terms.bit_length() + places.bit_length() > 62 else None


class _Terms:
    """The keys of a call, and what they are sorted with."""

    def __init__(self, call: Call, terms: int, places: int) -> None:
        self.call, self.terms, self.places, self.shift = call, terms, places, max(terms - 1, 1).bit_length()
        self.keys = call.scratch((max(terms, 1),), DType.int64)

    def apply(self, s: Any, y: Any, reduce: int, sizes: list[int], walk: list[int], inner: int = 1, outer: int = 1, y_outer: int = 0, s_outer: int = 0) -> None:
        """Term e lies at place(e) of s, goes to `inner` elements (`outer` times) of y."""
        columns = outer * inner
        keys = sort(self.call, self.keys, self.call.scratch((self.terms,), DType.int64), self.terms)
        self.call.launch(_apply, (ceil_div(self.terms * columns, BLOCK),), s, keys, y, self.terms, self.places, self.shift, columns, inner, y_outer, s_outer,
                         *eight(sizes), *eight(walk), RANK=len(sizes), REDUCE=reduce, BLOCK=BLOCK)  # fmt: skip


def _begin(call: Call, x: Any, y: Any) -> None:
    n = count(y.shape)
    call.launch(_start, (ceil_div(n, 1024),), x, y, n, ZEROS=x is None, WIDE=wide(n), BLOCK=1024)


@row(refuse=_too_large)
def scatter(call: Call) -> None:
    (x, index, s), (y,), axis = call.inputs, call.outputs, call.attrs["axis"]
    _begin(call, x, y)
    n, strides = count(index.shape), row_major(y.shape)
    if n == 0:
        return
    of = _Terms(call, n, count(y.shape))
    sizes, (walk, source) = collapse(index.shape, [0 if d == axis else t for d, t in enumerate(strides)], row_major(s.shape))
    call.launch(_keys_of_elements, (ceil_div(n, BLOCK),), index, of.keys, n, of.places, y.shape[axis], strides[axis], of.shift, *eight(sizes), *eight(walk),
                RANK=len(sizes), BLOCK=BLOCK)  # fmt: skip
    of.apply(s, y, call.attrs["reduce"], sizes, source)


@row(refuse=_too_large)
def scatter_nd(call: Call) -> None:
    (x, index, s), (y,), k = call.inputs, call.outputs, call.inputs[1].shape[-1]
    _begin(call, x, y)
    n, inner, places = count(index.shape[:-1]), count(y.shape[k:]), y.shape[:k]
    if n * inner == 0:
        return
    of = _Terms(call, n, count(places))
    call.launch(_keys_of_slices, (ceil_div(n, BLOCK),), index, of.keys, n, of.places, -1, of.shift, *eight(places), *eight(row_major(places)),
                K=k, BLOCK=BLOCK)  # fmt: skip
    of.apply(s, y, call.attrs["reduce"], [n], [inner], inner)


@row(refuse=_too_large)
def take_grad(call: Call) -> None:
    (dy, index), (dx,), axis, skip = call.inputs, call.outputs, call.attrs["axis"], call.attrs["skip"]
    _begin(call, None, dx)
    n, size, outer, inner = count(index.shape), dx.shape[axis], count(dx.shape[:axis]), count(dx.shape[axis + 1 :])
    if n == 0:
        return
    of = _Terms(call, n, size)
    call.launch(_keys_of_slices, (ceil_div(n, BLOCK),), index, of.keys, n, size, skip, of.shift, *eight([size]), *eight([1]), K=1, BLOCK=BLOCK)
    of.apply(dy, dx, 1, [n], [inner], inner, outer, size * inner, n * inner)
