"""dynamic_quantize on devices: the ends of parts of the tensor, the ends of those, then bytes."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row
from .gpu_bytes import byte_of, not_finite, step_of

BLOCK, PARTS = 1024, 1024


@triton.jit
def ends_of_parts(x, ends, count, ROUNDS, BLOCK: tl.constexpr):
    """min(0, x), max(0, x) and whether anything is not finite, of ROUNDS blocks: ends [3, parts]."""
    part, parts = tl.program_id(0), tl.num_programs(0)
    low, high, bad = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.int32)
    for i in range(ROUNDS):
        at = (part.to(tl.int64) * ROUNDS + i) * BLOCK + tl.arange(0, BLOCK)
        v = tl.load(x + at, mask=at < count, other=0.0)
        bad |= not_finite(v).to(tl.int32)
        v = tl.where(not_finite(v), 0.0, v)
        low, high = tl.minimum(low, v), tl.maximum(high, v)
    tl.store(ends + part, tl.min(low, 0))
    tl.store(ends + parts + part, tl.max(high, 0))
    tl.store(ends + 2 * parts + part, tl.max(bad, 0).to(tl.float32))


@triton.jit
def step_of_tensor(ends, step, zero, parts, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    low = tl.min(tl.load(ends + i, mask=i < parts, other=0.0), 0)
    high = tl.max(tl.load(ends + parts + i, mask=i < parts, other=0.0), 0)
    bad = tl.max(tl.load(ends + 2 * parts + i, mask=i < parts, other=0.0), 0)
    one = tl.zeros((1,), tl.float32)
    by, at = step_of(one + low, one + high, one + bad)
    tl.store(step + tl.arange(0, 1), by)
    tl.store(zero + tl.arange(0, 1), at.to(zero.dtype.element_ty))


@triton.jit
def bytes_of_tensor(x, step, zero, q, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < count, other=0.0)
    by = tl.load(step + tl.zeros((BLOCK,), tl.int32))
    first = tl.load(zero + tl.zeros((BLOCK,), tl.int32)).to(tl.int32)
    tl.store(q + at, byte_of(v, by, first).to(tl.uint8), mask=at < count)


def tensor_step(call: Call, x: Any, step: Any, zero: Any) -> None:
    """Launches what writes the step and zero point of a contiguous tensor. Parts depend on the size alone; ends are the same in any order."""
    n, f32 = count(x.shape), type(x.dtype)["float32"]
    rounds = max(1, ceil_div(n, BLOCK * PARTS))
    parts = max(1, ceil_div(n, BLOCK * rounds))
    ends = call.scratch((3, parts), f32)
    call.launch(ends_of_parts, (parts,), x, ends, n, rounds, BLOCK=BLOCK)
    call.launch(step_of_tensor, (1,), ends, step, zero, parts, BLOCK=PARTS)


@row()
def dynamic_quantize(call: Call) -> None:
    (x,), (q, step, zero) = call.inputs, call.outputs
    tensor_step(call, x, step, zero)
    n = count(x.shape)
    if n:
        call.launch(bytes_of_tensor, (ceil_div(n, BLOCK),), x, step, zero, q, n, BLOCK=BLOCK)
