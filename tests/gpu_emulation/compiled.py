"""Kernels for the PTX emulator: the shapes of code that Triton makes of matmul, attention, reductions, scans, atomics and tensor descriptors."""

from __future__ import annotations

import numpy as np
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from accelnn.emulation.arguments import Pointer


def descriptor(array: np.ndarray, block: list[int]) -> TensorDescriptor:
    """Of the memory of an array, on the host."""
    return TensorDescriptor(Pointer.of(array), list(array.shape), [s // array.itemsize for s in array.strides], block)


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, ACC: tl.constexpr, B_ROWS: tl.constexpr = True):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    rk = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), dtype=ACC)
    for k in range(0, K, BK):
        kk = k + rk
        x = tl.load(a + rm[:, None] * K + kk[None, :], mask=(rm[:, None] < M) & (kk[None, :] < K), other=0)
        if B_ROWS:
            y = tl.load(b + kk[:, None] * N + rn[None, :], mask=(kk[:, None] < K) & (rn[None, :] < N), other=0)
        else:
            y = tl.load(b + rn[None, :] * K + kk[:, None], mask=(kk[:, None] < K) & (rn[None, :] < N), other=0)
        acc = tl.dot(x, y, acc, out_dtype=ACC)
    tl.store(c + rm[:, None] * N + rn[None, :], acc, mask=(rm[:, None] < M) & (rn[None, :] < N))


@triton.jit
def matmul_without_mask(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr):
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    rk = tl.arange(0, 32)
    x = tl.load(a + rm[:, None] * K + rk[None, :])
    y = tl.load(b + rk[:, None] * N + rn[None, :])
    tl.store(c + rm[:, None] * N + rn[None, :], tl.dot(x, y))


@triton.jit
def softmax(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * n + tl.arange(0, BLOCK)
    inside = tl.arange(0, BLOCK) < n
    v = tl.load(x + at, mask=inside, other=-float("inf")).to(tl.float32)
    e = tl.exp(v - tl.max(v, 0))
    tl.store(y + at, (e / tl.sum(e, 0)).to(y.dtype.element_ty), mask=inside)


@triton.jit
def attention(q, k, v, o, scale, N, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    h = tl.program_id(1) * N * D
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rd, rn = tl.arange(0, D), tl.arange(0, BN)
    Q = tl.load(q + h + rm[:, None] * D + rd[None, :], mask=rm[:, None] < N, other=0.0)
    m = tl.full((BM,), -float("inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, D), tl.float32)
    for s in range(0, tl.minimum((tl.program_id(0) + 1) * BM, N), BN):
        n = s + rn
        K = tl.load(k + h + n[:, None] * D + rd[None, :], mask=n[:, None] < N, other=0.0)
        V = tl.load(v + h + n[:, None] * D + rd[None, :], mask=n[:, None] < N, other=0.0)
        score = tl.dot(Q, tl.trans(K)) * (scale * 1.44269504)
        score = tl.where((n[None, :] < N) & (rm[:, None] >= n[None, :]), score, -1.0e30)
        top = tl.maximum(m, tl.max(score, 1))
        p = tl.exp2(score - top[:, None])
        fade = tl.exp2(m - top)
        total = total * fade + tl.sum(p, 1)
        acc = tl.dot(p.to(V.dtype), V, acc * fade[:, None])
        m = top
    tl.store(o + h + rm[:, None] * D + rd[None, :], (acc / total[:, None]).to(o.dtype.element_ty), mask=rm[:, None] < N)


@triton.jit
def scan_and_sort(x, y, z, BLOCK: tl.constexpr):
    o = tl.arange(0, BLOCK)
    v = tl.load(x + o)
    tl.store(y + o, tl.cumsum(v, 0))
    tl.store(z + o, tl.sort(v))


@triton.jit
def atomics(x, total, counters, n, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + o, mask=o < n, other=0.0)
    tl.atomic_add(total, tl.sum(v, 0))
    tl.atomic_max(counters, tl.max(tl.where(o < n, o, 0), 0))
    tl.atomic_add(counters + 1 + o % 2, 1, mask=o < n)


@triton.jit
def casts(x, y, n, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + o, mask=o < n, other=0.0)
    tl.store(y + o, v.to(y.dtype.element_ty), mask=o < n)


@triton.jit
def column_sums(x, y, rows, columns, R: tl.constexpr, C: tl.constexpr):
    rc = tl.program_id(0) * C + tl.arange(0, C)
    acc = tl.zeros((R, C), tl.float32)
    for start in range(0, rows, R):
        r = start + tl.arange(0, R)
        acc += tl.load(x + r[:, None] * columns + rc[None, :], mask=(r[:, None] < rows) & (rc[None, :] < columns), other=0.0)
    tl.store(y + rc, tl.sum(acc, 0), mask=rc < columns)


@triton.jit
def descriptor_matmul(ad, bd, cd, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m, n = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(ad.load([m, k]), bd.load([n, k]).T, acc)
    cd.store([m, n], acc.to(cd.dtype))


@triton.jit
def descriptors_made_inside(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    ad = tl.make_tensor_descriptor(a, shape=[M, K], strides=[K, 1], block_shape=[BM, BK])
    bd = tl.make_tensor_descriptor(b, shape=[N, K], strides=[K, 1], block_shape=[BN, BK])
    cd = tl.make_tensor_descriptor(c, shape=[M, N], strides=[N, 1], block_shape=[BM, BN])
    m, n = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(ad.load([m, k]), bd.load([n, k]).T, acc)
    cd.store([m, n], acc.to(c.dtype.element_ty))


@triton.jit
def descriptor_copy(xd, yd, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    at = [tl.program_id(0) * A, tl.program_id(1) * B, tl.program_id(2) * C]
    yd.store(at, xd.load(at))
