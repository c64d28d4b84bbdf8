"""Cross-entropy of logits or log probabilities and its gradient, for devices.

Classes that fit into registers are read once; of more (vocabularies) the pieces leave maximum and sum in scratch. Places are added up in double, in an order
that comes from the shape. A label outside [0, C) that is not the ignored one cannot be reported from here: its place becomes NaN."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, power_of_two, row
from ..reduce.gpu_triton import SUM, run as reduce
from ..softmax.gpu_triton import finite, softmax_pieces, tile
from ..tiles import Tiles, cut

IN_REGISTERS, GRADIENT_TILE = 16384, 4096
NONE, MEAN = 0, 1
PART = 16384  # places that one program adds up


@triton.jit
def _lower(v, log_sum, m, LOG_INPUT: tl.constexpr):
    """-log softmax."""
    if LOG_INPUT:
        return -v
    return log_sum - (v - m)


@triton.jit
def _close(x, labels, weight, losses, weights, place, n, places, inner, m, log_sum, smooth, ignored, e,
           SMOOTH: tl.constexpr, LOG_INPUT: tl.constexpr):  # fmt: skip
    """The loss of every place from what its classes left: their maximum, the logarithm of their sum, and the sum of w l."""
    inside = place < places
    label = tl.load(labels + place, mask=inside, other=0)
    valid = (label >= 0) & (label < n)
    known = inside & valid
    v = tl.load(x + place // inner * n * inner + place % inner + label * inner, mask=known, other=0.0)
    w = tl.where(valid, 1.0, float("nan"))
    if weight is not None:
        w = w * tl.load(weight + label, mask=known, other=0.0)
    loss = w * _lower(v, log_sum, m, LOG_INPUT)
    if SMOOTH:
        loss = (1.0 - e) * loss + (e / n) * smooth
    counts = label != ignored
    tl.store(losses + place, tl.where(counts, loss, 0.0), mask=inside)
    if weights is not None:
        tl.store(weights + place, tl.where(counts, w, 0.0), mask=inside)


@triton.jit
def _losses(x, labels, weight, losses, weights, total, top, sums, places, n, inner, ignored, e,
            SMOOTH: tl.constexpr, LOG_INPUT: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    m, log_sum, smooth = tl.zeros((ACROSS,), tl.float32), tl.zeros((ACROSS,), tl.float32), tl.zeros((ACROSS,), tl.float32)
    if SMOOTH or not LOG_INPUT:
        v = tl.load(x + at, mask=live, other=float("-inf"))
        if not LOG_INPUT:
            m = tl.max(v, 0)
            tl.store(top + place, m, mask=place < places)
            m = finite(m)
            s = tl.sum(tl.exp(v - m[None, :]), 0)
            tl.store(sums + place, s, mask=place < places)
            log_sum = tl.log(s)
        if SMOOTH:
            terms = _lower(v, log_sum[None, :], m[None, :], LOG_INPUT)
            if weight is not None:
                c = tl.arange(0, BLOCK)
                terms = terms * tl.load(weight + c, mask=c < n, other=0.0)[:, None]
            smooth = tl.sum(tl.where(live, terms, 0.0), 0)
    _close(x, labels, weight, losses, weights, place, n, places, inner, m, log_sum, smooth, ignored, e, SMOOTH, LOG_INPUT)
    if total is not None:
        tl.store(total, 1.0, mask=tl.program_id(0) == 0)


@triton.jit
def _extremes(tops, parts, top, sums, places, pieces, PIECES: tl.constexpr, ACROSS: tl.constexpr):
    """Maximum and sum of a place from those of its pieces."""
    place = tl.program_id(0).to(tl.int64) * ACROSS + tl.arange(0, ACROSS)
    p = tl.arange(0, PIECES)
    where = p[:, None].to(tl.int64) * places + place[None, :]
    known = (p[:, None] < pieces) & (place[None, :] < places)
    t = tl.load(tops + where, mask=known, other=float("-inf"))
    m = tl.max(t, 0)
    share = tl.load(parts + where, mask=known, other=0.0) * tl.exp(finite(t) - finite(m)[None, :])
    s = tl.sum(tl.where(known, share, 0.0), 0)
    tl.store(top + place, m, mask=place < places)
    tl.store(sums + place, s, mask=place < places)


@triton.jit
def _saved(top, sums, place, places, LOG_INPUT: tl.constexpr, ACROSS: tl.constexpr):
    m, log_sum = tl.zeros((ACROSS,), tl.float32), tl.zeros((ACROSS,), tl.float32)
    if not LOG_INPUT:
        m = finite(tl.load(top + place, mask=place < places, other=0.0))
        log_sum = tl.log(tl.load(sums + place, mask=place < places, other=1.0))
    return m, log_sum


@triton.jit
def _smooth_pieces(x, weight, top, sums, found, places, n, inner, LOG_INPUT: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    m, log_sum = _saved(top, sums, place, places, LOG_INPUT, ACROSS)
    terms = _lower(tl.load(x + at, mask=live, other=0.0), log_sum[None, :], m[None, :], LOG_INPUT)
    if weight is not None:
        c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        terms = terms * tl.load(weight + c, mask=c < n, other=0.0)[:, None]
    tl.store(found + tl.program_id(1).to(tl.int64) * places + place, tl.sum(tl.where(live, terms, 0.0), 0), mask=place < places)


@triton.jit
def _place_losses(x, labels, weight, losses, weights, total, top, sums, found, places, n, inner, pieces, ignored, e,
                  SMOOTH: tl.constexpr, LOG_INPUT: tl.constexpr, PIECES: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * ACROSS + tl.arange(0, ACROSS)
    m, log_sum = _saved(top, sums, place, places, LOG_INPUT, ACROSS)
    smooth = tl.zeros((ACROSS,), tl.float32)
    if SMOOTH:
        p = tl.arange(0, PIECES)
        known = (p[:, None] < pieces) & (place[None, :] < places)
        smooth = tl.sum(tl.load(found + p[:, None].to(tl.int64) * places + place[None, :], mask=known, other=0.0), 0)
    _close(x, labels, weight, losses, weights, place, n, places, inner, m, log_sum, smooth, ignored, e, SMOOTH, LOG_INPUT)
    if total is not None:
        tl.store(total, 1.0, mask=tl.program_id(0) == 0)


@triton.jit
def _add(values, found, places, PART: tl.constexpr, BLOCK: tl.constexpr):
    sums = tl.zeros((BLOCK,), tl.float64)
    for begin in range(0, PART, BLOCK):
        i = tl.program_id(0).to(tl.int64) * PART + begin + tl.arange(0, BLOCK)
        sums += tl.load(values + i, mask=i < places, other=0.0).to(tl.float64)
    tl.store(found + tl.program_id(0), tl.sum(sums, 0))


@triton.jit
def _finish(losses, weights, loss, total, parts, PARTS: tl.constexpr):
    p = tl.arange(0, PARTS)
    whole = tl.full((), 1.0, tl.float64)
    if weights is not None:
        whole = tl.sum(tl.load(weights + p, mask=p < parts, other=0.0), 0)
    tl.store(total, whole.to(tl.float32))
    if loss is not None:
        tl.store(loss, (tl.sum(tl.load(losses + p, mask=p < parts, other=0.0), 0) / whole).to(tl.float32))


@triton.jit
def _cross_entropy_grad(x, labels, dloss, total, top, sums, weight, weight_sum, dx, places, n, inner, ignored, e,
                        SMOOTH: tl.constexpr, LOG_INPUT: tl.constexpr, REDUCTION: tl.constexpr, BLOCK: tl.constexpr, ACROSS: tl.constexpr):  # fmt: skip
    at, live, place = tile(places, n, inner, BLOCK, ACROSS)
    inside = place < places
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    label = tl.load(labels + place, mask=inside, other=0)
    valid = (label >= 0) & (label < n)
    counts = (label != ignored)[None, :]
    hot = tl.where(valid, 1.0, float("nan"))
    if weight is not None:
        hot = hot * tl.load(weight + label, mask=inside & valid, other=0.0)
    if SMOOTH:
        hot = hot * (1.0 - e)
    if REDUCTION == 0:
        d = tl.load(dloss + place, mask=inside, other=0.0)
    else:
        d = tl.load(dloss) + tl.zeros((ACROSS,), tl.float32)
    if REDUCTION == 1:
        d = d / tl.load(total)
    v = tl.where(c[:, None] == label[None, :], -hot[None, :], 0.0)
    share = hot
    if SMOOTH:
        # e / C of every class' weight is lost by the class itself, and spread among all by their probabilities.
        if weight is not None:
            v -= (e / n) * tl.load(weight + c, mask=c < n, other=0.0)[:, None]
            share += (e / n) * tl.load(weight_sum)
        else:
            v -= e / n
            share += e
    if not LOG_INPUT:
        m = tl.load(top + place, mask=inside, other=0.0)[None, :]
        s = tl.load(sums + place, mask=inside, other=1.0)[None, :]
        v += tl.exp(tl.load(x + at, mask=live, other=0.0) - m) / s * share[None, :]
    tl.store(dx + at, tl.where(counts, v * d[None, :], 0.0), mask=live)


def _operand(call: Call, i: int) -> Any:
    return call.inputs[i] if i < len(call.inputs) else None


def _cut(x: Any, most: int) -> Tiles:
    return cut(x.shape[0], x.shape[1], count(x.shape[2:]), most)


@row()
def cross_entropy(call: Call) -> None:
    x, labels, weight = (_operand(call, i) for i in range(3))
    loss, total, top, sums = (*call.outputs, None, None)[:4]
    reduction, log_input, e = int(call.attrs["reduction"]), int(call.attrs["log_input"]), float(call.attrs["label_smoothing"])
    ignored, f64 = int(call.attrs["ignore_index"]), type(x.dtype).float64
    t = _cut(x, IN_REGISTERS)
    losses, weights = (loss, None) if reduction == NONE else (call.scratch((t.places,), x.dtype), call.scratch((t.places,), x.dtype))
    weights = weights if reduction == MEAN else None
    if t.places:
        _of_places(call, t, x, labels, weight, losses, weights, total if reduction == NONE else None, top, sums, ignored, e, int(e > 0), log_input)
        if reduction == NONE:
            return
    parts = ceil_div(t.places, PART)
    sides = [None if reduction == NONE else losses, weights]
    found = [None if s is None else call.scratch((parts,), f64) for s in sides]
    for values, to in zip(sides, found):
        if values is not None and parts:
            call.launch(_add, (parts,), values, to, t.places, PART=PART, BLOCK=1024)
    call.launch(_finish, (1,), *found, None if reduction == NONE else loss, total, parts, PARTS=power_of_two(parts))


def _of_places(call: Call, t: Tiles, x: Any, labels: Any, weight: Any, losses: Any, weights: Any, total: Any, top: Any, sums: Any, ignored: int, e: float,
               smooth: int, log_input: int) -> None:  # fmt: skip
    size: dict[str, Any] = {"BLOCK": t.block, "ACROSS": t.across, "warps": t.warps}
    kind: dict[str, Any] = {"SMOOTH": smooth, "LOG_INPUT": log_input}
    if t.pieces == 1:
        return call.launch(_losses, t.grid[:1], x, labels, weight, losses, weights, total, top, sums, t.places, t.along, t.inner, ignored, e, **kind, **size)
    across = power_of_two(t.places, 1, max(1024 // t.row, 1))
    blocks = ceil_div(t.places, across)
    if not log_input:
        tops, parts = (call.scratch((t.pieces, t.places), x.dtype) for _ in range(2))
        call.launch(softmax_pieces, t.grid, x, tops, parts, t.places, t.along, t.inner, **size)
        call.launch(_extremes, (blocks,), tops, parts, top, sums, t.places, t.pieces, PIECES=t.row, ACROSS=across)
    found = None
    if smooth:
        found = call.scratch((t.pieces, t.places), x.dtype)
        call.launch(_smooth_pieces, t.grid, x, weight, top, sums, found, t.places, t.along, t.inner, LOG_INPUT=log_input, **size)
    call.launch(_place_losses, (blocks,), x, labels, weight, losses, weights, total, top, sums, found, t.places, t.along, t.inner, t.pieces, ignored, e,
                PIECES=t.row, ACROSS=across, **kind)  # fmt: skip


@row()
def cross_entropy_grad(call: Call) -> None:
    x, labels, dloss, total, top, sums, weight = (_operand(call, i) for i in range(7))
    e = float(call.attrs["label_smoothing"])
    t = _cut(x, GRADIENT_TILE)
    weight_sum = None
    if e > 0 and weight is not None:
        weight_sum = call.scratch((1,), x.dtype)
        reduce(call, SUM, weight, weight_sum, [(1, 0)], [(t.along, 1)], 1, t.along)
    call.launch(_cross_entropy_grad, t.grid, x, labels, dloss, total, top, sums, weight, weight_sum, call.outputs[0], t.places, t.along, t.inner,
                int(call.attrs["ignore_index"]), e, SMOOTH=int(e > 0), LOG_INPUT=int(call.attrs["log_input"]), REDUCTION=int(call.attrs["reduction"]),
                BLOCK=t.block, ACROSS=t.across, warps=t.warps)  # fmt: skip
