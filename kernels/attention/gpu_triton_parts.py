"""What the attention kernels share: which sequence a tile is of, masks, keys that a query does not see, the numbers of dropout."""

from __future__ import annotations

import math
from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, count, power_of_two

LOG2E: tl.constexpr = tl.constexpr(1.4426950408889634)
LN2: tl.constexpr = tl.constexpr(0.6931471805599453)


@triton.jit
def sequence_of(tile, own_starts, other_starts, sequences, own, other, BLOCK: tl.constexpr, PLACES: tl.constexpr):
    """Rows that lie behind each other, cut into tiles of BLOCK that never span two sequences: (first row, rows, first row of the other side, rows there,
    the tile's number in its sequence). What lies before the first start and behind the last one are sequences, too, that see nothing: their results are 0."""
    n = tl.arange(0, PLACES)
    begin = tl.load(own_starts + n - 1, mask=(n > 0) & (n < sequences + 2), other=0)
    end = tl.load(own_starts + n, mask=n <= sequences, other=own)
    begin, end = tl.minimum(tl.maximum(begin, 0), own), tl.minimum(tl.maximum(end, 0), own)
    size = tl.maximum(end - begin, 0)
    tiles = tl.where(n < sequences + 2, (size + BLOCK - 1) // BLOCK, 0)
    which = tl.sum((tl.cumsum(tiles, 0) <= tile).to(tl.int32), 0)
    real = (which > 0) & (which <= sequences)
    first = tl.load(other_starts + which - 1, mask=real, other=0)
    last = tl.load(other_starts + which, mask=real, other=0)
    first, last = tl.minimum(tl.maximum(first, 0), other), tl.minimum(tl.maximum(last, 0), other)
    mine = n == which
    return (tl.sum(tl.where(mine, begin, 0), 0), tl.sum(tl.where(mine, size, 0), 0), first, tl.maximum(last - first, 0),
            tile - tl.sum(tl.where(n < which, tiles, 0), 0))  # fmt: skip


@triton.jit
def keys_seen(i, queries, keys, CAUSAL: tl.constexpr):
    """How many of `keys` query i of `queries` sees, the first ones."""
    if CAUSAL == 0:
        return keys + i * 0
    end = i + 1
    if CAUSAL == 2:
        end += keys - queries
    return tl.minimum(tl.maximum(end, 0), keys)


@triton.jit
def masked(s, mask, at, inside, MASK: tl.constexpr):
    """Scores in base 2 and what a mask (1: bool, 2: float) adds. Finite numbers stay finite: float32's lowest number means "very little", not "never"."""
    if MASK == 1:
        s = tl.where(tl.load(mask + at, mask=inside, other=0) != 0, s, float("-inf"))
    if MASK == 2:
        m = tl.load(mask + at, mask=inside, other=0.0)
        s += tl.where((m < -2e38) & (m > float("-inf")), -3e38, m * LOG2E)
    return s


@triton.jit
def philox_round(c0, c1, c2, c3, k0, k1):
    # 32 x 32 -> 64 bits: one wide multiplication on every target.
    p0, p1 = c0.to(tl.uint64) * 0xD2511F53, c2.to(tl.uint64) * 0xCD9E8D57
    return (p1 >> 32).to(tl.uint32) ^ c1 ^ k0, p1.to(tl.uint32), (p0 >> 32).to(tl.uint32) ^ c3 ^ k1, p0.to(tl.uint32)


@triton.jit
def keep_of(state, row, block, drop, kept, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """0 or `kept` for ROWS rows of scores, COLUMNS keys from draw `block` of a row on; row: number of the row's first draw. Four keys share a draw."""
    seed, number = tl.load(state), tl.load(state + 1)
    draw = row[:, None] + block + tl.arange(0, COLUMNS // 4)[None, :]
    c0, c1 = (draw & 0xFFFFFFFF).to(tl.uint32), ((draw >> 32) & 0xFFFFFFFF).to(tl.uint32)
    c2, c3 = (number & 0xFFFFFFFF).to(tl.uint32) + c0 * 0, ((number >> 32) & 0xFFFFFFFF).to(tl.uint32) + c0 * 0
    k0, k1 = (seed & 0xFFFFFFFF).to(tl.uint32), ((seed >> 32) & 0xFFFFFFFF).to(tl.uint32)
    for i in tl.static_range(10):
        key0, key1 = k0 + i * 0x9E3779B9 % 0x100000000, k1 + i * 0xBB67AE85 % 0x100000000
        c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, key0, key1)
    bits = tl.reshape(tl.join(tl.join(c0, c2), tl.join(c1, c3)), (ROWS, COLUMNS))
    return tl.where((bits >> 8).to(tl.float32) * 5.9604644775390625e-08 >= drop, kept, 0.0)


class Problem:
    """The numbers of a call of attention or of its gradient, and how its heads are cut."""

    def __init__(self, call: Any, inputs: Any) -> None:
        self.q, self.k, self.v, self.mask, self.lengths, self.state, self.q_starts, self.k_starts = (*inputs, *[None] * 8)[:8]
        self.batch, self.heads, self.queries, self.depth = self.q.shape
        self.groups, self.keys, self.width = self.k.shape[1], self.k.shape[2], self.v.shape[3]
        self.repeat = self.heads // max(self.groups, 1)
        self.causal = int(call.attrs["causal"])
        self.scale = float(call.attrs["scale"]) or 1 / math.sqrt(self.depth)
        self.drop = float(call.attrs.get("dropout", 0.0))  # attention_decode has none
        self.sequences = self.q_starts.shape[0] - 1 if self.q_starts is not None else 0

    def tiles(self, rows: int, block: int) -> int:
        """Tiles of one head; every sequence, and what lies around them, may end in one that is not full."""
        return ceil_div(rows, block) + (self.sequences + 2 if self.q_starts is not None else 0)

    def mask_arguments(self) -> tuple[Any, ...]:
        strides = (0,) * 4 if self.mask is None else tuple(0 if n == 1 else s for n, s in zip(self.mask.shape, self.mask.stride))
        return self.mask, *strides

    @property
    def few(self) -> bool:
        """Few queries a head of keys and many keys: one program a tile of queries would leave most of the chip idle."""
        return self.repeat * self.queries <= 16 and self.keys >= 512 and not self.drop and self.q_starts is None

    @property
    def draws(self) -> int:
        """Blocks of four random numbers a row of scores."""
        return ceil_div(self.keys, 4)

    def constants(self) -> dict[str, Any]:
        """What all kernels are specialised by."""
        kind = 0 if self.mask is None else 2 if self.mask.dtype.is_float else 1
        varlen = power_of_two(self.sequences + 2) if self.q_starts is not None else 0
        return {"CAUSAL": self.causal, "MASK": kind, "DROP": self.drop > 0, "PLACES": varlen}


def chunks(n: int, most: int) -> tuple[int, int]:
    """(columns of a chunk, chunks) of a head of n numbers. Products over fewer than 16 numbers do not exist."""
    wide = power_of_two(n, least=16, most=most)
    return wide, max(ceil_div(n, wide), 1)


def empty(x: Any) -> bool:
    return count(x.shape) == 0
