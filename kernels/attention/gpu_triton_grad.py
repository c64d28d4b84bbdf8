"""Attention backward, scores computed again from lse: one kernel for dq, over the keys of a tile of queries, and one for dk and dv, over the heads and
queries of a tile of keys. Every number is summed by one program in a fixed order; what is paid for that are two products more than with atomic sums of dq."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, power_of_two, row
from .gpu_triton_parts import LOG2E, Problem, chunks, empty, keep_of, keys_seen, masked, sequence_of


@triton.jit
def _delta(dy, y, dlse, delta, sdb, sdh, sdi, sdd, syb, syh, syi, syd, slb, slh, sli, heads, queries, width, rows,
           BM: tl.constexpr, BD: tl.constexpr):  # fmt: skip
    """dy . y - dlse, a number a query."""
    at = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)
    real = at < rows
    b, h, i = at // queries // heads, at // queries % heads, at % queries
    from_dy, from_y = dy + b * sdb + h * sdh + i * sdi, y + b * syb + h * syh + i * syi
    # Products are added to a sum of each column's own: one that met the sum across lanes would be fused with it, each lane's with its own, and lanes that
    # hold the same number would hold different ones.
    acc = tl.zeros((BM, BD), tl.float32)
    for d0 in range(0, width, BD):
        d = d0 + tl.arange(0, BD)
        inside = real[:, None] & (d[None, :] < width)
        x = tl.load(from_dy[:, None] + d[None, :] * sdd, mask=inside, other=0.0)
        acc += x * tl.load(from_y[:, None] + d[None, :] * syd, mask=inside, other=0.0)
    total = tl.sum(acc, 1)
    if dlse is not None:
        total -= tl.load(dlse + b * slb + h * slh + i * sli, mask=real, other=0.0)
    tl.store(delta + at, total, mask=real)


@triton.jit
def dot_rows(a, sa, inside_a, b, sb, inside_b, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr):
    """a b^T for ROWS and COLUMNS pointers to rows of n numbers, STEP of them in registers at a time."""
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for at in range(0, n, STEP):
        e = at + tl.arange(0, STEP)
        x = tl.load(a[:, None] + e[None, :] * sa, mask=inside_a[:, None] & (e[None, :] < n), other=0.0)
        y = tl.load(b[:, None] + e[None, :] * sb, mask=inside_b[:, None] & (e[None, :] < n), other=0.0)
        total = tl.dot(x, tl.trans(y), total, input_precision="ieee")
    return total


@triton.jit
def _attention_dq(dy, q, k, v, mask, lengths, state, q_starts, k_starts, lse, delta, dq,
                  sdb, sdh, sdi, sdd, sqb, sqh, sqi, sqe, skb, skh, skj, ske, svb, svh, svj, svd, slb, slh, sli, smb, smh, smi, smj,
                  heads, repeat, queries, keys, depth, width, tiles, sequences, draws, scale, scale2, drop, kept,
                  CAUSAL: tl.constexpr, MASK: tl.constexpr, DROP: tl.constexpr, PLACES: tl.constexpr, LENGTHS: tl.constexpr,
                  BM: tl.constexpr, BN: tl.constexpr, BE: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr):  # fmt: skip
    item, chunk = tl.program_id(0) // tiles, tl.program_id(1)
    tile = tiles - 1 - tl.program_id(0) % tiles
    b, h = (item // heads).to(tl.int64), (item % heads).to(tl.int64)
    first, count, first_key, own = 0, queries, 0, keys
    if PLACES > 0:
        first, count, first_key, own, tile = sequence_of(tile, q_starts, k_starts, sequences, queries, keys, BM, PLACES)
    if LENGTHS:
        own = tl.minimum(tl.maximum(tl.load(lengths + b), 0), keys)
    i = tile * BM + tl.arange(0, BM)
    rows = (first + i).to(tl.int64)
    real = i < count
    o = chunk * BO + tl.arange(0, BO)
    q_rows, dy_rows = q + b * sqb + h * sqh + rows * sqi, dy + b * sdb + h * sdh + rows * sdi
    k += b * skb + h // repeat * skh + first_key * skj
    v += b * svb + h // repeat * svh + first_key * svj
    out = item.to(tl.int64) * queries + rows
    level = tl.load(lse + b * slb + h * slh + rows * sli, mask=real, other=float("-inf")) * LOG2E
    shift = tl.load(delta + out, mask=real, other=0.0)
    seen = tl.where(level == float("-inf"), 0, keys_seen(i, count, own, CAUSAL))
    end = tl.minimum(tl.max(tl.where(real, seen, 0), 0), own)
    acc = tl.zeros((BM, BO), tl.float32)
    for j0 in range(0, end, BN):
        j = j0 + tl.arange(0, BN)
        columns, there = j.to(tl.int64), j < own
        inside = (j[None, :] < seen[:, None]) & real[:, None]
        s = dot_rows(q_rows, sqe, real, k + columns * skj, ske, there, depth, BM, BN, BE) * scale2
        at = b * smb + h * smh + rows[:, None] * smi + (first_key + columns)[None, :] * smj
        w = tl.where(inside, tl.exp2(masked(s, mask, at, inside, MASK) - level[:, None]), 0.0)
        dw = dot_rows(dy_rows, sdd, real, v + columns * svj, svd, there, width, BM, BN, BD)
        if DROP:
            dw *= keep_of(state, out * draws, j0 // 4, drop, kept, BM, BN)
        ds = w * (dw - shift[:, None])
        kt = tl.load(k + columns[:, None] * skj + o[None, :] * ske, mask=there[:, None] & (o[None, :] < depth), other=0.0)
        acc = tl.dot(ds, kt, acc, input_precision="ieee")
    tl.store(dq + out[:, None] * depth + o[None, :], acc * scale, mask=real[:, None] & (o[None, :] < depth))


@triton.jit
def _attention_dkv(dy, q, k, v, mask, lengths, state, q_starts, k_starts, lse, delta, dk, dv,
                   sdb, sdh, sdi, sdd, sqb, sqh, sqi, sqe, skb, skh, skj, ske, svb, svh, svj, svd, slb, slh, sli, smb, smh, smi, smj,
                   heads, groups, repeat, queries, keys, depth, width, tiles, sequences, draws, scale, scale2, drop, kept,
                   CAUSAL: tl.constexpr, MASK: tl.constexpr, DROP: tl.constexpr, PLACES: tl.constexpr, LENGTHS: tl.constexpr,
                   BM: tl.constexpr, BN: tl.constexpr, BE: tl.constexpr, BD: tl.constexpr, BO: tl.constexpr):  # fmt: skip
    """Scores stand transposed, [keys, queries]: so are both products' left operands."""
    item, tile, chunk = tl.program_id(0) // tiles, tl.program_id(0) % tiles, tl.program_id(1)
    b, g = (item // groups).to(tl.int64), (item % groups).to(tl.int64)
    first, count, first_key, own = 0, queries, 0, keys
    if PLACES > 0:
        first_key, own, first, count, tile = sequence_of(tile, k_starts, q_starts, sequences, keys, queries, BN, PLACES)
    size = own  # rows of dk and dv that are there; of those beyond lengths[b] the gradient is 0
    if LENGTHS:
        own = tl.minimum(tl.maximum(tl.load(lengths + b), 0), keys)
    j0 = tile * BN
    j = j0 + tl.arange(0, BN)
    columns, there = (first_key + j).to(tl.int64), j < own
    o = chunk * BO + tl.arange(0, BO)
    k_rows, v_rows = k + b * skb + g * skh + columns * skj, v + b * svb + g * svh + columns * svj
    begin = count * 0
    if CAUSAL == 1:
        begin = tl.minimum(j0, count)
    if CAUSAL == 2:
        begin = tl.minimum(tl.maximum(j0 - (own - count), 0), count)
    begin = tl.where(j0 < own, begin, count)
    acc_k, acc_v = tl.zeros((BN, BO), tl.float32), tl.zeros((BN, BO), tl.float32)
    for h in range(g * repeat, (g + 1) * repeat):
        row = (b * heads + h) * queries
        for i0 in range(begin, count, BM):
            i = i0 + tl.arange(0, BM)
            rows, real = (first + i).to(tl.int64), i < count
            q_rows, dy_rows = q + b * sqb + h * sqh + rows * sqi, dy + b * sdb + h * sdh + rows * sdi
            level = tl.load(lse + b * slb + h * slh + rows * sli, mask=real, other=float("-inf")) * LOG2E
            shift = tl.load(delta + row + rows, mask=real, other=0.0)
            seen = tl.where(level == float("-inf"), 0, keys_seen(i, count, own, CAUSAL))
            inside = (j[:, None] < seen[None, :]) & real[None, :]
            s = dot_rows(k_rows, ske, there, q_rows, sqe, real, depth, BN, BM, BE) * scale2
            at = b * smb + h * smh + rows[None, :] * smi + columns[:, None] * smj
            w = tl.where(inside, tl.exp2(masked(s, mask, at, inside, MASK) - level[None, :]), 0.0)
            dw = dot_rows(v_rows, svd, there, dy_rows, sdd, real, width, BN, BM, BD)
            kept_w = w
            if DROP:
                keep = tl.trans(keep_of(state, (row + rows) * draws, j0 // 4, drop, kept, BM, BN))
                dw, kept_w = dw * keep, w * keep
            ds = w * (dw - shift[None, :])
            dyt = tl.load(dy_rows[:, None] + o[None, :] * sdd, mask=real[:, None] & (o[None, :] < width), other=0.0)
            acc_v = tl.dot(kept_w, dyt, acc_v, input_precision="ieee")
            qt = tl.load(q_rows[:, None] + o[None, :] * sqe, mask=real[:, None] & (o[None, :] < depth), other=0.0)
            acc_k = tl.dot(ds, qt, acc_k, input_precision="ieee")
    out = item.to(tl.int64) * keys + columns
    tl.store(dk + out[:, None] * depth + o[None, :], acc_k * scale, mask=(j[:, None] < size) & (o[None, :] < depth))
    tl.store(dv + out[:, None] * width + o[None, :], acc_v, mask=(j[:, None] < size) & (o[None, :] < width))


@row()
def attention_grad(call: Any) -> None:
    dy, q, k, v, y, lse, mask, lengths, state, dlse, q_starts, k_starts = (*call.inputs, *[None] * 6)[:12]
    p, (dq, dk, dv) = Problem(call, (q, k, v, mask, lengths, state, q_starts, k_starts)), call.outputs
    delta = call.scratch((p.batch, p.heads, p.queries), q.dtype)
    rows = p.batch * p.heads * p.queries
    if rows:
        strides = (0, 0, 0) if dlse is None else dlse.stride
        call.launch(_delta, (ceil_div(rows, 32),), dy, y, dlse, delta, *dy.stride, *y.stride, *strides, p.heads, p.queries, p.width, rows,
                    BM=32, BD=power_of_two(p.width, most=64))  # fmt: skip
    bm, bn = power_of_two(p.queries, least=16, most=64), power_of_two(p.keys, least=16, most=32)
    be, bd = power_of_two(p.depth, least=16, most=32), power_of_two(p.width, least=16, most=32)
    operands = (dy, q, k, v, mask, lengths, state, q_starts, k_starts, lse, delta)
    strides = (*dy.stride, *q.stride, *k.stride, *v.stride, *lse.stride, *p.mask_arguments()[1:])
    numbers = (p.sequences, p.draws, p.scale, p.scale * LOG2E.value, p.drop, 1 / (1 - p.drop))
    constants = {**p.constants(), "LENGTHS": lengths is not None, "BE": be, "BD": bd}
    if not empty(dq):
        tiles, (bo, parts) = p.tiles(p.queries, bm), chunks(p.depth, 128)
        call.launch(_attention_dq, (p.batch * p.heads * tiles, parts), *operands, dq, *strides,
                    p.heads, p.repeat, p.queries, p.keys, p.depth, p.width, tiles, *numbers,
                    **constants, BM=bm, BN=bn, BO=bo, warps=8 if bm * bo > 64 * 64 else 4)  # fmt: skip
    if not (empty(dk) and empty(dv)):
        tiles, (bo, parts) = p.tiles(p.keys, bn), chunks(max(p.depth, p.width), 128)
        call.launch(_attention_dkv, (p.batch * p.groups * tiles, parts), *operands, dk, dv, *strides,
                    p.heads, p.groups, p.repeat, p.queries, p.keys, p.depth, p.width, tiles, *numbers,
                    **constants, BM=min(bm, 32), BN=bn, BO=bo, warps=8 if bn * bo > 32 * 64 else 4)  # fmt: skip
