"""Few queries against many keys: the keys are cut into parts whose number depends on shapes alone, each part is one program's, and a second kernel joins
them in order (Dao et al. 2023, "Flash-Decoding"). All queries that share a head of keys go over it together: the cache is read once."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, power_of_two, row
from .gpu_triton_parts import LN2, LOG2E, Problem, chunks, keys_seen, masked


@triton.jit
def _part(q, k, v, k_scale, v_scale, mask, lengths, pages, sums, tops, totals,
          sqb, sqh, sqi, sqe, skb, skh, skj, ske, svb, svh, svj, svd, sab, sah, saj, scb, sch, scj, smb, smh, smi, smj,
          groups, repeat, queries, keys, depth, width, parts, tiles, part, page, there_are, scale,
          CAUSAL: tl.constexpr, MASK: tl.constexpr, LENGTHS: tl.constexpr,
          BM: tl.constexpr, BN: tl.constexpr, BE: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """pages: the cache lies in pages of `page` keys; strides of items are those of pages."""
    item, tile, number, chunk = tl.program_id(0) // tiles, tl.program_id(0) % tiles, tl.program_id(1), tl.program_id(2)
    b, g = (item // groups).to(tl.int64), (item % groups).to(tl.int64)
    own = keys
    if LENGTHS:
        own = tl.minimum(tl.maximum(tl.load(lengths + b), 0), keys)
    r = tile * BM + tl.arange(0, BM)
    real, h, i = r < repeat * queries, g * repeat + r // queries, (r % queries).to(tl.int64)
    d = chunk * BD + tl.arange(0, BD)
    seen = tl.where(real, keys_seen(i, queries, own, CAUSAL), 0)
    q_rows, k, v = q + b * sqb + h * sqh + i * sqi, k + g * skh, v + g * svh
    begin = number * part
    end = tl.minimum(tl.minimum(begin + part, tl.max(seen, 0)), own)
    most = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    acc = tl.zeros((BM, BD), tl.float32)
    for j0 in range(begin, end, BN):
        j = j0 + tl.arange(0, BN)
        columns, there, place, lies = j.to(tl.int64), j < own, b, j.to(tl.int64)
        if pages is not None:
            place = tl.load(pages + b * (keys // page) + j // page, mask=there, other=-1)
            lies, there = columns % page, there & (place >= 0) & (place < there_are)  # the host cannot refuse other pages here: zeros
        k_rows, v_rows = k + place * skb + lies * skj, v + place * svb + lies * svj
        s = tl.zeros((BM, BN), tl.float32)
        for e0 in range(0, depth, BE):
            e = e0 + tl.arange(0, BE)
            qt = tl.load(q_rows[:, None] + e[None, :] * sqe, mask=real[:, None] & (e[None, :] < depth), other=0.0)
            kt = tl.load(k_rows[:, None] + e[None, :] * ske, mask=there[:, None] & (e[None, :] < depth), other=0.0)
            s = tl.dot(qt, tl.trans(kt.to(tl.float32)), s, input_precision="ieee")
        s *= scale
        if k_scale is not None:
            s *= tl.load(k_scale + place * sab + g * sah + lies * saj, mask=there, other=0.0)[None, :]
        inside = j[None, :] < seen[:, None]
        at = b * smb + (h * smh + i * smi)[:, None] + columns[None, :] * smj
        s = tl.where(inside, masked(s, mask, at, inside, MASK), float("-inf"))
        top = tl.maximum(most, tl.max(s, 1))
        shift = tl.where(top == float("-inf"), 0.0, top)
        w = tl.exp2(s - shift[:, None])
        fade = tl.exp2(most - shift)
        total = total * fade + tl.sum(w, 1)
        most = top
        if v_scale is not None:
            w *= tl.load(v_scale + place * scb + g * sch + lies * scj, mask=there, other=0.0)[None, :]
        vt = tl.load(v_rows[:, None] + d[None, :] * svd, mask=there[:, None] & (d[None, :] < width), other=0.0)
        acc = tl.dot(w, vt.to(tl.float32), acc * fade[:, None], input_precision="ieee")
    out = (item.to(tl.int64) * repeat * queries + r) * parts + number
    tl.store(sums + out[:, None] * width + d[None, :], acc, mask=real[:, None] & (d[None, :] < width))
    if chunk == 0:
        tl.store(tops + out, most, mask=real)
        tl.store(totals + out, total, mask=real)


@triton.jit
def _join(sums, tops, totals, y, lse, width, parts, BD: tl.constexpr, BP: tl.constexpr):
    """One query. Its rows lie as those of y: heads that share keys are neighbours."""
    r, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD + tl.arange(0, BD)
    at = tl.arange(0, BP)
    top = tl.full((BP,), float("-inf"), tl.float32)
    for first in range(0, parts, BP):
        top = tl.maximum(top, tl.load(tops + r * parts + first + at, mask=first + at < parts, other=float("-inf")))
    most = tl.max(top, 0)
    shift = tl.where(most == float("-inf"), 0.0, most)
    total = tl.zeros((BP,), tl.float32)
    acc = tl.zeros((BP, BD), tl.float32)
    for first in range(0, parts, BP):
        p = first + at
        there = p < parts
        fade = tl.exp2(tl.load(tops + r * parts + p, mask=there, other=float("-inf")) - shift)
        total += tl.load(totals + r * parts + p, mask=there, other=0.0) * fade
        one = tl.load(sums + (r * parts + p)[:, None] * width + d[None, :], mask=there[:, None] & (d[None, :] < width), other=0.0)
        acc += one * fade[:, None]
    whole = tl.sum(total, 0)
    none = whole == 0.0
    tl.store(y + r * width + d, tl.where(none, 0.0, tl.sum(acc, 0) / tl.where(none, 1.0, whole)), mask=d < width)
    if lse is not None and tl.program_id(1) == 0:
        tl.store(lse + r, tl.where(none, float("-inf"), most * LN2 + tl.log(tl.where(none, 1.0, whole))))


def split(call: Any, p: Problem, y: Any, lse: Any, k_scale: Any = None, v_scale: Any = None, pages: Any = None, page: int = 1) -> None:
    """attention of p without dropout and starts, its keys in parts. With pages, p's batch of keys is theirs, and p.keys are those of an item."""
    f32, rows = p.q.dtype, p.repeat * p.queries
    part = 256 if p.keys <= 1 << 14 else 1024
    parts = max(ceil_div(p.keys, part), 1)
    heads = p.batch * p.groups
    sums, tops, totals = call.scratch((heads, rows, parts, p.width), f32), *(call.scratch((heads, rows, parts), f32) for _ in range(2))
    bm, bn, be = power_of_two(rows, most=16), power_of_two(p.keys, least=16, most=64), power_of_two(p.depth, least=16, most=64)
    bd, d_chunks = chunks(p.width, 128)
    tiles, constants = ceil_div(rows, bm), p.constants()

    def steps(scale: Any) -> tuple[int, ...]:
        return (0, 0, 0) if scale is None else tuple(0 if n == 1 else s for n, s in zip(scale.shape, scale.stride))

    call.launch(_part, (heads * tiles, parts, d_chunks), p.q, p.k, p.v, k_scale, v_scale, p.mask, p.lengths, pages, sums, tops, totals,
                *p.q.stride, *p.k.stride, *p.v.stride, *steps(k_scale), *steps(v_scale), *p.mask_arguments()[1:],
                p.groups, p.repeat, p.queries, p.keys, p.depth, p.width, parts, tiles, part, page, p.k.shape[0], p.scale * LOG2E.value,
                CAUSAL=p.causal, MASK=constants["MASK"], LENGTHS=p.lengths is not None, BM=bm, BN=bn, BE=be, BD=bd, warps=4)  # fmt: skip
    call.launch(_join, (heads * rows, d_chunks), sums, tops, totals, y, lse, p.width, parts, BD=bd, BP=power_of_two(parts, most=16), warps=4)


@row()
def attention_decode(call: Any) -> None:
    q, k, v, lengths, k_scale, v_scale = (*call.inputs, *[None] * 3)[:6]
    split(call, Problem(call, (q, k, v, None, lengths)), call.outputs[0], None, k_scale, v_scale)


def by_heads(x: Any) -> Any:
    """[P, N, G, ...] as [P, G, N, ...]"""
    if x is None:
        return None
    (a, n, g, *rest), (sa, sn, sg, *steps) = x.shape, x.stride
    return x.strided((a, g, n, *rest), (sa, sg, sn, *steps))


@row()
def attention_paged(call: Any) -> None:
    q, k, v, pages, lengths, k_scale, v_scale = (*call.inputs, *[None] * 2)[:7]
    p = Problem(call, (q, by_heads(k), by_heads(v), None, lengths))
    p.keys = pages.shape[1] * k.shape[1]
    split(call, p, call.outputs[0], None, by_heads(k_scale), by_heads(v_scale), pages, k.shape[1])
