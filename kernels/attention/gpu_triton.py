"""Attention forward: a program holds a tile of queries and goes over the keys that they see, softmax online (Dao et al. 2022, arXiv 2205.14135).

Float32 products run on the FMA units, whose operands stand in registers: with all of q's 128 numbers a row there, ptxas spilled 8.8 KB a thread
(sm_90, tile 64 x 32, 4 warps). So scores are summed over 32 numbers of the heads at a time, in a loop that the compiler does not hoist loads out of:
128 registers with 8 warps, 32 bytes of stack."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import power_of_two, row
from .gpu_triton_decode import split
from .gpu_triton_parts import LN2, LOG2E, Problem, chunks, keep_of, keys_seen, masked, sequence_of


@triton.jit
def _attention(q, k, v, mask, lengths, state, q_starts, k_starts, y, lse,
               sqb, sqh, sqi, sqe, skb, skh, skj, ske, svb, svh, svj, svd, smb, smh, smi, smj,
               heads, repeat, queries, keys, depth, width, tiles, sequences, draws, scale, drop, kept,
               CAUSAL: tl.constexpr, MASK: tl.constexpr, DROP: tl.constexpr, PLACES: tl.constexpr, LENGTHS: tl.constexpr,
               BM: tl.constexpr, BN: tl.constexpr, BE: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    item, chunk = tl.program_id(0) // tiles, tl.program_id(1)
    tile = tiles - 1 - tl.program_id(0) % tiles  # with a causal limit the last tiles are the longest: they begin first
    b, h = (item // heads).to(tl.int64), (item % heads).to(tl.int64)
    first, count, first_key, own = 0, queries, 0, keys
    if PLACES > 0:
        first, count, first_key, own, tile = sequence_of(tile, q_starts, k_starts, sequences, queries, keys, BM, PLACES)
    if LENGTHS:
        own = tl.minimum(tl.maximum(tl.load(lengths + b), 0), keys)
    i = tile * BM + tl.arange(0, BM)
    rows = (first + i).to(tl.int64)
    real = i < count
    d = chunk * BD + tl.arange(0, BD)
    q += b * sqb + h * sqh
    k += b * skb + h // repeat * skh + first_key * skj
    v += b * svb + h // repeat * svh + first_key * svj
    q_rows = q + rows[:, None] * sqi
    seen = keys_seen(i, count, own, CAUSAL)
    end = tl.minimum(tl.max(tl.where(real, seen, 0), 0), own)
    draw = ((b * heads + h) * queries + rows) * draws
    most = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, BD), tl.float32)
    for j0 in range(0, end, BN):
        j = j0 + tl.arange(0, BN)
        columns = j.to(tl.int64)
        s = tl.zeros((BM, BN), tl.float32)
        for e0 in range(0, depth, BE):
            e = e0 + tl.arange(0, BE)
            qt = tl.load(q_rows + e[None, :] * sqe, mask=real[:, None] & (e[None, :] < depth), other=0.0)
            kt = tl.load(k + columns[:, None] * skj + e[None, :] * ske, mask=(j[:, None] < own) & (e[None, :] < depth), other=0.0)
            s = tl.dot(qt, tl.trans(kt), s, input_precision="ieee")
        inside = j[None, :] < seen[:, None]
        at = b * smb + h * smh + rows[:, None] * smi + (first_key + columns)[None, :] * smj
        s = tl.where(inside, masked(s * scale, mask, at, inside & real[:, None], MASK), float("-inf"))
        top = tl.maximum(most, tl.max(s, 1))
        shift = tl.where(top == float("-inf"), 0.0, top)  # a row that has seen nothing: exp2(-inf - 0) = 0
        w = tl.exp2(s - shift[:, None])
        fade = tl.exp2(most - shift)
        total = total * fade + tl.sum(w, 1)
        most = top
        if DROP:
            w *= keep_of(state, draw, j0 // 4, drop, kept, BM, BN)
        vt = tl.load(v + columns[:, None] * svj + d[None, :] * svd, mask=(j[:, None] < own) & (d[None, :] < width), other=0.0)
        acc = tl.dot(w, vt, acc * fade[:, None], input_precision="ieee")
    none = total == 0.0
    out = item.to(tl.int64) * queries + rows
    acc = tl.where(none[:, None], 0.0, acc / tl.where(none, 1.0, total)[:, None])
    tl.store(y + out[:, None] * width + d[None, :], acc, mask=real[:, None] & (d[None, :] < width))
    if chunk == 0:
        tl.store(lse + out, tl.where(none, float("-inf"), most * LN2 + tl.log(tl.where(none, 1.0, total))), mask=real)


@row()
def attention(call: Any) -> None:
    p, (y, lse) = Problem(call, call.inputs), call.outputs
    if p.few:
        return split(call, p, y, lse)
    bm, bn = power_of_two(p.queries, least=16, most=64), power_of_two(p.keys, least=16, most=32)
    be, (bd, d_chunks) = power_of_two(p.depth, least=16, most=32), chunks(p.width, 256)
    tiles = p.tiles(p.queries, bm)
    lse = call.scratch((p.batch, p.heads, p.queries), p.q.dtype) if lse is None else lse
    call.launch(_attention, (p.batch * p.heads * tiles, d_chunks), p.q, p.k, p.v, p.mask, p.lengths, p.state, p.q_starts, p.k_starts, y, lse,
                *p.q.stride, *p.k.stride, *p.v.stride, *p.mask_arguments()[1:],
                p.heads, p.repeat, p.queries, p.keys, p.depth, p.width, tiles, p.sequences, p.draws, p.scale * LOG2E.value, p.drop, 1 / (1 - p.drop),
                **p.constants(), LENGTHS=p.lengths is not None, BM=bm, BN=bn, BE=be, BD=bd, warps=8 if bm * bd > 64 * 64 else 4)  # fmt: skip
