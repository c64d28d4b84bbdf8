"""Small kernels, right ones and ones with a bug planted. The bugs are of the kind that give the right numbers wherever they are tried, until a GPU runs
them in another order or somebody else's memory lies beside."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def copy(x, y, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.load(x + o, mask=o < n, other=0.0), mask=o < n)


@triton.jit
def store_without_mask(x, y, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.load(x + o, mask=o < n, other=0.0))


@triton.jit
def load_without_mask(x, y, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.load(x + o), mask=o < n)


@triton.jit
def mask_one_too_far(x, y, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.load(x + o, mask=o < n, other=0.0), mask=o <= n)


@triton.jit
def one_before(x, y, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + o, tl.load(x + o - 1, mask=o < n, other=0.0), mask=o < n)


@triton.jit
def sum_without_other(x, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(y, tl.sum(tl.load(x + o, mask=o < n), 0))


@triton.jit
def max_without_other(x, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(y, tl.max(tl.load(x + o, mask=o < n), 0))


@triton.jit
def relu_without_other(x, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(y, tl.sum(tl.maximum(tl.load(x + o, mask=o < n), 0.0), 0))


@triton.jit
def index_without_other(x, index, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    i = tl.load(index + o, mask=o < n)
    tl.store(y + o, tl.load(x + i), mask=o < n)


@triton.jit
def sum_without_atomics(x, y, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    s = tl.sum(tl.load(x + o, mask=o < n, other=0.0), 0)
    tl.store(y, tl.load(y) + s)


@triton.jit
def sum_with_atomics(x, y, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.atomic_add(y, tl.sum(tl.load(x + o, mask=o < n, other=0.0), 0))


@triton.jit
def chain(x):
    p = tl.program_id(0)
    tl.store(x + p + 1, tl.load(x + p) + 1)


@triton.jit
def in_place_shift(x, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(x + o, tl.load(x + o + 1, mask=o + 1 < n, other=0.0), mask=o < n)


@triton.jit
def overlapping_tiles(y, n, B: tl.constexpr):
    o = tl.program_id(0) * (B - 1) + tl.arange(0, B)
    tl.store(y + o, 1.0, mask=o < n)


@triton.jit
def two_lanes(x, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(x + o // 2, o.to(tl.float32))


@triton.jit
def reversed_through_memory(x, buffer, y, B: tl.constexpr, BARRIER: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(buffer + o, tl.load(x + o))
    if BARRIER:
        tl.debug_barrier()
    tl.store(y + o, tl.load(buffer + (B - 1 - o)))


@triton.jit
def last_one_sums(x, parts, count, y, n, B: tl.constexpr, SEM: tl.constexpr):
    p = tl.program_id(0)
    o = p * B + tl.arange(0, B)
    tl.store(parts + p, tl.sum(tl.load(x + o, mask=o < n, other=0.0), 0))
    if tl.atomic_add(count, 1, sem=SEM) == tl.num_programs(0) - 1:
        s = 0.0
        for i in range(tl.num_programs(0)):
            s += tl.load(parts + i)
        tl.store(y, s)


@triton.jit
def counter_read_plainly(count, y):
    tl.atomic_add(count, 1, sem="relaxed")
    tl.store(y + tl.program_id(0), tl.load(count))


@triton.jit
def odd_address(x, y):
    tl.store(y, tl.load((x.to(tl.pointer_type(tl.int8)) + 1).to(tl.pointer_type(tl.int32))))


@triton.jit
def address_from_nowhere(x, y):
    tl.store(y, tl.load(tl.full((), 64, tl.int64).to(tl.pointer_type(tl.float32))))


@triton.jit
def add_to_bfloat16(x):
    tl.atomic_add(x, tl.full((), 1.0, tl.bfloat16))


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr, BUG: tl.constexpr):
    rm, rn, rk = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN), tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        kk = k + rk
        x = tl.load(a + rm[:, None] * K + kk[None, :], mask=(rm[:, None] < M) & (kk[None, :] < K), other=0.0)
        y = tl.load(b + kk[:, None] * N + rn[None, :], mask=(kk[:, None] < K) & (rn[None, :] < N), other=0.0)
        if BUG == "swapped":
            acc = tl.dot(tl.trans(y), tl.trans(x), acc, input_precision=PRECISION)
        elif BUG == "narrow accumulator":
            acc = tl.dot(x, y, acc, input_precision=PRECISION).to(c.dtype.element_ty).to(tl.float32)
        else:
            acc = tl.dot(x, y, acc, input_precision=PRECISION)
    inside = (rm[:, None] < M) & (rn[None, :] < N)
    if BUG == "truncated":
        bits = (acc.to(tl.uint32, bitcast=True) >> 16).to(tl.uint16)
        tl.store(c + rm[:, None] * N + rn[None, :], bits.to(tl.bfloat16, bitcast=True), mask=inside)
    else:
        tl.store(c + rm[:, None] * N + rn[None, :], acc.to(c.dtype.element_ty), mask=inside)


@triton.jit
def arithmetic(x, y, z, B: tl.constexpr):
    """Seven results of bfloat16 arithmetic, B numbers each."""
    o = tl.arange(0, B)
    a, b = tl.load(x + o), tl.load(y + o)
    tl.store(z + o, a + b)
    tl.store(z + B + o, a * b)
    tl.store(z + 2 * B + o, a - b)
    tl.store(z + 3 * B + o, tl.where(a < b, a, b))
    tl.store(z + 4 * B + o, tl.maximum(a, b))
    tl.store(z + 5 * B + o, -a)
    tl.store(z + 6 * B + o, (a.to(tl.float32) / 3.0).to(tl.bfloat16))


@triton.jit
def cast(x, y, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(y + o, tl.load(x + o).to(y.dtype.element_ty))


@triton.jit
def row_sums(x, y, R: tl.constexpr, B: tl.constexpr):
    at = tl.arange(0, R)[:, None] * B + tl.arange(0, B)[None, :]
    tl.store(y + tl.arange(0, R), tl.sum(tl.load(x + at), 1))


@triton.jit
def larger(x, y, z, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(z + o, tl.maximum(tl.load(x + o), tl.load(y + o)))
