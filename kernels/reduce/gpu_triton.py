"""Sums, means, maxima, minima and products over any axes of a tensor with any strides, for devices.

Dimensions that lie behind one another in memory are joined first, so that most calls have one kept and one reduced dimension. A program sees a tile
of reduced by kept elements and adds tiles up element by element; a reduction with few results is cut into parts whose results, in scratch, a second launch
reduces in the same way. How many parts depends on the shape alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, power_of_two, row

SUM, MEAN, MAX, MIN, PROD = range(5)
TILE = 4096  # elements: 16 a thread in 8 warps
PROGRAMS = 512  # wanted: two waves of blocks on a chip with 132 units and two blocks each


@triton.jit
def _times(a, b):
    return a * b


@triton.jit
def _offsets(i, n1, n2, n3, s0, s1, s2, s3, DIMS: tl.constexpr):
    """Where element i of up to four dimensions stands; the first one's size is not needed."""
    at = tl.zeros_like(i)
    if DIMS == 4:
        at += i % n3 * s3
        i = i // n3
    if DIMS >= 3:
        at += i % n2 * s2
        i = i // n2
    if DIMS >= 2:
        at += i % n1 * s1
        i = i // n1
    return at + i * s0


@triton.jit
def _start(KIND: tl.constexpr):
    if KIND == 2:
        return float("-inf")
    if KIND == 3:
        return float("inf")
    if KIND == 4:
        return 1.0
    return 0.0


@triton.jit
def _joined(a, b, KIND: tl.constexpr):
    if KIND == 2:
        return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    if KIND == 3:
        return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    if KIND == 4:
        return a * b
    return a + b


@triton.jit
def _together(v, KIND: tl.constexpr):
    """Along axis 0. tl.max passes NaN over, so NaN are looked for by themselves."""
    if KIND == 2 or KIND == 3:
        lost = tl.max((v != v).to(tl.int32), 0)
        best = tl.max(v, 0) if KIND == 2 else tl.min(v, 0)
        return tl.where(lost > 0, float("nan"), best)
    if KIND == 4:
        return tl.reduce(v, 0, _times)
    return tl.sum(v, 0)


@triton.jit
def _reduce(x, y, kept, terms, per_part, divisor, k1, k2, k3, ks0, ks1, ks2, ks3, r1, r2, r3, rs0, rs1, rs2, rs3,
            KIND: tl.constexpr, KEPT: tl.constexpr, REDUCED: tl.constexpr, INDEX: tl.constexpr, TERMS: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    k = tl.program_id(0).to(INDEX) * ACROSS + tl.arange(0, ACROSS)
    part = tl.program_id(1).to(INDEX)
    first = part * per_part
    end = tl.minimum(first + per_part, terms)
    at = _offsets(k, k1, k2, k3, ks0, ks1, ks2, ks3, KEPT)[None, :]
    found = tl.full((TERMS, ACROSS), _start(KIND), tl.float32)
    for begin in range(first, end, TERMS):
        r = begin + tl.arange(0, TERMS)
        where = at + _offsets(r, r1, r2, r3, rs0, rs1, rs2, rs3, REDUCED)[:, None]
        v = tl.load(x + where, mask=(r[:, None] < end) & (k[None, :] < kept), other=_start(KIND))
        found = _joined(found, v, KIND)
    result = _together(found, KIND)
    if KIND == 1:
        result = tl.div_rn(result, divisor)
    tl.store(y + part * kept + k, result, mask=k < kept)


def joined(shape: Sequence[int], stride: Sequence[int]) -> list[tuple[int, int]]:
    """(size, stride) of the fewest dimensions with the same elements in the same order."""
    dims: list[tuple[int, int]] = []
    for size, step in zip(shape, stride):
        if size == 1:
            continue
        if dims and dims[-1][1] == size * step:
            dims[-1] = dims[-1][0] * size, step
        else:
            dims.append((size, step))
    return dims or [(1, 0)]


def _arguments(dims: list[tuple[int, int]]) -> list[int]:
    sizes, steps = [d[0] for d in dims], [d[1] for d in dims]
    return [*(sizes[1:] + [1] * 3)[:3], *(steps + [0] * 4)[:4]]


def _dims(call: Call) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The kept and the reduced dimensions. Reduced ones may go in any order: the one with the smallest stride is the last, which neighbours share."""
    x, axes = call.inputs[0], set(call.attrs["axes"])
    kept = [i for i in range(len(x.shape)) if i not in axes]
    reduced = sorted(axes, key=lambda i: -x.stride[i])
    return (joined([x.shape[i] for i in kept], [x.stride[i] for i in kept]), joined([x.shape[i] for i in reduced], [x.stride[i] for i in reduced]))


def _why_not(call: Call) -> str | None:
    if call.attrs["kind"] in (MAX, MIN) and count(call.inputs[0].shape) == 0:
        return "a maximum or minimum of nothing"
    longest = max(map(len, _dims(call)))
    return f"{longest} dimensions that cannot be joined; at most 4" if longest > 4 else None


@row(refuse=_why_not)
def reduce(call: Call) -> None:
    (x, *_), (y,) = call.inputs, call.outputs
    kind = int(call.attrs["kind"])
    kept, reduced = _dims(call)
    outputs, terms = count([n for n, _ in kept]), count([n for n, _ in reduced])
    run(call, kind, x, y, kept, reduced, outputs, terms)


def run(call: Call, kind: int, x: Any, y: Any, kept: list[tuple[int, int]], reduced: list[tuple[int, int]], outputs: int, terms: int) -> None:
    # Neighbouring results side by side where they are neighbours in memory, terms where those are.
    along = outputs == 1 or reduced[-1][1] <= kept[-1][1]
    spare = max(TILE // power_of_two(terms, 1, TILE), 1)
    across = power_of_two(outputs, 1, spare if along else max(min(spare, 512), 64))
    block = power_of_two(terms, 1, TILE // across)
    blocks = ceil_div(outputs, across)
    parts = max(min(PROGRAMS // blocks, ceil_div(terms, 4 * block)), 1)
    per_part = max(ceil_div(ceil_div(terms, parts), block), 1) * block
    parts = max(ceil_div(terms, per_part), 1)
    to = y if parts == 1 else call.scratch((parts, outputs), y.dtype)
    divisor = float(terms) if parts == 1 else 1.0
    # Divisions of 64 bits are a hundred instructions: only where offsets need them.
    farthest = max(sum((n - 1) * s for n, s in kept) + sum((n - 1) * s for n, s in reduced), outputs * parts, terms + block)
    index = tl.int64 if farthest >= 1 << 31 else tl.int32
    launch = _launcher(call, kind, index)
    launch(x, to, outputs, terms, per_part, parts, kept, reduced, block, across, divisor)
    if parts > 1:
        across = power_of_two(outputs, 1, 64)
        block = power_of_two(parts, 1, TILE // across)
        launch(to, y, outputs, parts, parts, 1, [(outputs, 1)], [(parts, outputs)], block, across, float(terms))


def _launcher(call: Call, kind: int, index: Any) -> Any:
    def launch(x: Any, y: Any, outputs: int, terms: int, per_part: int, parts: int, kept: Any, reduced: Any, block: int, across: int, divisor: float) -> None:
        call.launch(_reduce, (ceil_div(outputs, across), parts), x, y, outputs, terms, per_part, divisor, *_arguments(kept), *_arguments(reduced),
                    KIND=kind, KEPT=len(kept), REDUCED=len(reduced), INDEX=index, TERMS=block, ACROSS=across,
                    warps=power_of_two(block * across // 512, 1, 8))  # fmt: skip

    return launch
