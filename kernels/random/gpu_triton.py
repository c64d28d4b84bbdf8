"""Uniform random numbers, for devices: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011), the same bits as on a processor."""

from __future__ import annotations

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row

BLOCKS = 512  # blocks of four numbers a program


@triton.jit
def _philox(c0, c1, c2, c3, k0, k1):
    for _ in tl.static_range(10):
        p0, p1 = c0.to(tl.uint64) * 0xD2511F53, c2.to(tl.uint64) * 0xCD9E8D57
        c0, c2 = (p1 >> 32).to(tl.uint32) ^ c1 ^ k0, (p0 >> 32).to(tl.uint32) ^ c3 ^ k1
        c1, c3 = p1.to(tl.uint32), p0.to(tl.uint32)
        k0, k1 = k0 + 0x9E3779B9, k1 + 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def _uniform(state, u, n, BLOCKS: tl.constexpr):
    block = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    seed, number = tl.load(state) + 0 * block, tl.load(state + 1) + 0 * block
    a, b, c, d = _philox(block.to(tl.uint32), (block >> 32).to(tl.uint32), number.to(tl.uint32), (number >> 32).to(tl.uint32), seed.to(tl.uint32),
                         (seed >> 32).to(tl.uint32))  # fmt: skip
    bits = tl.interleave(tl.interleave(a, c), tl.interleave(b, d))
    i = tl.program_id(0).to(tl.int64) * (4 * BLOCKS) + tl.arange(0, 4 * BLOCKS)
    tl.store(u + i, (bits >> 8).to(tl.float32) * 5.9604644775390625e-08, mask=i < n)


@triton.jit
def _next(state, following):
    seed, number = tl.load(state), tl.load(state + 1)
    tl.store(following, seed)
    tl.store(following + 1, number + 1)


@row()
def random_uniform(call: Call) -> None:
    (state, *_), (u, *rest) = call.inputs, call.outputs
    n = count(u.shape)
    if n:
        call.launch(_uniform, (ceil_div(n, 4 * BLOCKS),), state, u, n, BLOCKS=BLOCKS)
    if rest and rest[0] is not None:
        # A launch of its own: the next state may be the state's own memory, which programs of the first still read.
        call.launch(_next, (1,), state, rest[0], warps=1)
