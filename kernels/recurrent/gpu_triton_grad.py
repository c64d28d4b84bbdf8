"""Recurrent layers backward through time: a step makes the cotangent of h from the step after it and goes through the cell with it. All steps in one launch
or a launch each, as forward. And the gradients of the weights, sums over all steps at once."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, power_of_two, row
from ..pointwise.gpu_functions import f_tanh
from .gpu_triton import GATES, GRU, LSTM, SMALL
from .gpu_triton_parts import pass_states, product


@triton.jit
def _times(a, w, rows, batch, columns, n, k_size, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """a w for rows that a points to, k_size numbers each, and some of the n columns of w."""
    acc = tl.zeros((BB, BN), tl.float32)
    for k0 in range(0, k_size, BK):
        k = k0 + tl.arange(0, BK)
        x = tl.load(a[:, None] + k[None, :], mask=(rows[:, None] < batch) & (k[None, :] < k_size), other=0.0)
        y = tl.load(w + k.to(tl.int64)[:, None] * n + columns[None, :], mask=(k[:, None] < k_size) & (columns[None, :] < n), other=0.0)
        acc = tl.dot(x, y, acc, input_precision="ieee")
    return acc


@triton.jit
def _through_cell(u, gates, e_in, e_out, rest, before, di, dj, moment, here, j, units, inside, has,
                  CELL: tl.constexpr, SAVED: tl.constexpr):  # fmt: skip
    """From the cotangent of h' those of the sums; of c, and of h past the product (rest), in place."""
    g = gates + moment * (SAVED * units) + j
    if CELL == 2:
        gi, gf = tl.load(g, mask=inside, other=0.0), tl.load(g + units, mask=inside, other=0.0)
        gg, go = tl.load(g + 2 * units, mask=inside, other=0.0), tl.load(g + 3 * units, mask=inside, other=0.0)
        was = tl.load(g + 4 * units, mask=inside, other=0.0)
        e = tl.zeros_like(u)
        if e_in is not None:
            e = tl.load(e_in + here, mask=inside, other=0.0)
        tc = f_tanh(gf * was + gi * gg)
        v = e + u * go * (1.0 - tc * tc)
        to = di + moment * (4 * units) + j
        tl.store(to, tl.where(has, v * gg * (gi * (1.0 - gi)), 0.0), mask=inside)
        tl.store(to + units, tl.where(has, v * was * (gf * (1.0 - gf)), 0.0), mask=inside)
        tl.store(to + 2 * units, tl.where(has, v * gi * (1.0 - gg * gg), 0.0), mask=inside)
        tl.store(to + 3 * units, tl.where(has, u * tc * (go * (1.0 - go)), 0.0), mask=inside)
        tl.store(e_out + here, tl.where(has, v * gf, e), mask=inside)
    elif CELL == 3:
        r, z = tl.load(g, mask=inside, other=0.0), tl.load(g + units, mask=inside, other=0.0)
        m, inner = tl.load(g + 2 * units, mask=inside, other=0.0), tl.load(g + 3 * units, mask=inside, other=0.0)
        was = tl.load(before + moment * units + j, mask=inside, other=0.0)
        dm = u * (1.0 - z) * (1.0 - m * m)
        dr, dz = dm * inner * (r * (1.0 - r)), u * (was - m) * (z * (1.0 - z))
        to = moment * (3 * units) + j
        tl.store(di + to, tl.where(has, dr, 0.0), mask=inside)
        tl.store(dj + to, tl.where(has, dr, 0.0), mask=inside)
        tl.store(di + to + units, tl.where(has, dz, 0.0), mask=inside)
        tl.store(dj + to + units, tl.where(has, dz, 0.0), mask=inside)
        tl.store(di + to + 2 * units, tl.where(has, dm, 0.0), mask=inside)
        tl.store(dj + to + 2 * units, tl.where(has, dm * r, 0.0), mask=inside)
        tl.store(rest + here, u * z, mask=inside)
    else:
        h = tl.load(g, mask=inside, other=0.0)
        slope = 1.0 - h * h
        if CELL == 1:
            slope = tl.where(h > 0.0, 1.0, 0.0)
        tl.store(di + moment * units + j, tl.where(has, u * slope, 0.0), mask=inside)


@triton.jit
def _has(lengths, rows, batch, t):
    has = rows < batch
    if lengths is not None:
        has = has & (tl.load(lengths + rows, mask=rows < batch, other=0) > t)
    return has[:, None]


@triton.jit
def back_of(block, rows_block, d, w0, w1, gates, before, dy, g_in, g_out, e_in, e_out, rest, di, dj, dp, total_out, lengths,
            s, steps, batch, units, size, yt, yb,
            CELL: tl.constexpr, G: tl.constexpr, SAVED: tl.constexpr, REVERSE: tl.constexpr, PROJECTED: tl.constexpr,
          BEGUN: tl.constexpr, ENDED: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """Step s counts from the last one that the forward pass made. BEGUN: there was one before it, whose sums' cotangents meet w_hh here. ENDED: all steps
    are through, what comes out is the first state's cotangent."""
    rows, p = rows_block * BB + tl.arange(0, BB), block * BN + tl.arange(0, BN)
    w, t, past = w0, steps - 1 - s, steps - s
    if REVERSE:
        t, past = steps - 1 - t, steps - 1 - past
    if d == 1:
        w = w1
        if not REVERSE:
            t, past = steps - 1 - t, steps - 1 - past
    own = (d * batch + rows).to(tl.int64)
    here = own[:, None] * size + p[None, :]
    inside = (rows[:, None] < batch) & (p[None, :] < size)
    g = tl.zeros((BB, BN), tl.float32)
    if g_in is not None:
        g = tl.load(g_in + here, mask=inside, other=0.0)
    if BEGUN:
        last = ((d * steps + past).to(tl.int64) * batch + rows) * (G * units)
        new = _times((dj if CELL == 3 else di) + last, w, rows, batch, p, size, G * units, BB, BN, BK)
        if CELL == 3:
            new += tl.load(rest + here, mask=inside, other=0.0)
        g = tl.where(_has(lengths, rows, batch, past), new, g)
    tl.store(g_out + here, g, mask=inside)
    if not ENDED:
        has = _has(lengths, rows, batch, t)
        moment = ((d * steps + t).to(tl.int64) * batch + rows)[:, None]
        if dy is not None:
            g += tl.load(dy + t.to(tl.int64) * yt + rows[:, None].to(tl.int64) * yb + d * size + p[None, :], mask=inside, other=0.0)
        if PROJECTED:
            tl.store(dp + moment * size + p[None, :], tl.where(has, g, 0.0), mask=inside)
            tl.store(total_out + here, g, mask=inside)
        else:
            _through_cell(g, gates, e_in, e_out, rest, before, di, dj, moment, here, p[None, :], units, inside, has, CELL, SAVED)


@triton.jit
def back_projected_of(block, rows_block, d, w0, w1, gates, total, e_in, e_out, di, lengths, s, steps, batch, units, size,
                    SAVED: tl.constexpr, REVERSE: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    rows, j = rows_block * BB + tl.arange(0, BB), block * BN + tl.arange(0, BN)
    w, t = w0, steps - 1 - s
    if REVERSE:
        t = steps - 1 - t
    if d == 1:
        w = w1
        if not REVERSE:
            t = steps - 1 - t
    own = (d * batch + rows).to(tl.int64)
    u = _times(total + own * size, w, rows, batch, j, units, size, BB, BN, BK)
    inside = (rows[:, None] < batch) & (j[None, :] < units)
    moment = ((d * steps + t).to(tl.int64) * batch + rows)[:, None]
    _through_cell(u, gates, e_in, e_out, None, None, di, None, moment, own[:, None] * units + j[None, :], j[None, :], units, inside,
                  _has(lengths, rows, batch, t), 2, SAVED)  # fmt: skip


@triton.jit(do_not_specialize=["s"])
def _back(w0, w1, gates, before, dy, g_in, g_out, e_in, e_out, rest, di, dj, dp, total_out, lengths, s, steps, batch, units, size, yt, yb,
          CELL: tl.constexpr, G: tl.constexpr, SAVED: tl.constexpr, REVERSE: tl.constexpr, PROJECTED: tl.constexpr,
          BEGUN: tl.constexpr, ENDED: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    back_of(tl.program_id(0), tl.program_id(1), tl.program_id(2), w0, w1, gates, before, dy, g_in, g_out, e_in, e_out, rest, di, dj, dp, total_out, lengths,
            s, steps, batch, units, size, yt, yb, CELL, G, SAVED, REVERSE, PROJECTED, BEGUN, ENDED, BB, BN, BK)  # fmt: skip


@triton.jit(do_not_specialize=["s"])
def _back_projected(w0, w1, gates, total, e_in, e_out, di, lengths, s, steps, batch, units, size,
                    SAVED: tl.constexpr, REVERSE: tl.constexpr, BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    back_projected_of(tl.program_id(0), tl.program_id(1), tl.program_id(2), w0, w1, gates, total, e_in, e_out, di, lengths, s, steps, batch, units, size,
                      SAVED, REVERSE, BB, BN, BK)  # fmt: skip


@triton.jit
def _back_sequence(w0, w1, up0, up1, gates, before, dy, g, e, rest, di, dj, dp, total, lengths, steps, batch, units, size, yt, yb,
                   CELL: tl.constexpr, G: tl.constexpr, SAVED: tl.constexpr, REVERSE: tl.constexpr, PROJECTED: tl.constexpr,
                   BB: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, BP: tl.constexpr):  # fmt: skip
    """All steps of BB sequences; g and e: the cotangents of h and c, of the last step when it begins and of the first state when it ends."""
    rows_block, d = tl.program_id(0), tl.program_id(1)
    for s in range(0, steps + 1):
        if PROJECTED:
            if s > 0:
                for block in range(0, (units + BN - 1) // BN):
                    back_projected_of(block, rows_block, d, up0, up1, gates, total, e, e, di, lengths, s - 1, steps, batch, units, size,
                                      SAVED, REVERSE, BB, BN, BP)  # fmt: skip
            tl.debug_barrier()
        for block in range(0, (size + BN - 1) // BN):
            if s == 0:
                back_of(block, rows_block, d, w0, w1, gates, before, dy, g, g, e, e, rest, di, dj, dp, total, lengths, s, steps, batch, units, size, yt, yb,
                        CELL, G, SAVED, REVERSE, PROJECTED, False, False, BB, BN, BK)  # fmt: skip
            elif s < steps:
                back_of(block, rows_block, d, w0, w1, gates, before, dy, g, g, e, e, rest, di, dj, dp, total, lengths, s, steps, batch, units, size, yt, yb,
                        CELL, G, SAVED, REVERSE, PROJECTED, True, False, BB, BN, BK)  # fmt: skip
            else:
                back_of(block, rows_block, d, w0, w1, gates, before, dy, g, g, e, e, rest, di, dj, dp, total, lengths, s, steps, batch, units, size, yt, yb,
                        CELL, G, SAVED, REVERSE, PROJECTED, True, True, BB, BN, BK)  # fmt: skip
        tl.debug_barrier()


@row()
def recurrent_grad(call: Any) -> None:
    gates, w_hh, w_hr, w_hh2, w_hr2, lengths, dy, dh, dc, before = (*call.inputs, *[None] * 8)[:10]
    cell, reverse, turned = int(call.attrs["cell"]), bool(call.attrs["reverse"]), bool(call.attrs["batch_first"])
    (di, dh0, *rest), f32 = call.outputs, gates.dtype
    many, steps, batch, _ = gates.shape
    size, n = w_hh.shape[1], GATES[cell]
    units = w_hh.shape[0] // n
    dc0 = rest.pop(0) if cell == LSTM else None
    dj, dp = (rest[0] if cell == GRU else None), (rest[0] if cell == LSTM and rest else None)
    if not steps:
        pass_states(call, dh, dh0)
        if dc0 is not None:
            pass_states(call, dc, dc0)
        return
    projected = w_hr is not None
    past = call.scratch((many, batch, units), f32) if cell == GRU else None
    total = call.scratch((many, batch, size), f32) if projected else None
    yt, yb = (0, 0) if dy is None else (dy.stride[1], dy.stride[0]) if turned else (dy.stride[0], dy.stride[1])
    w2, up2, bb = w_hh2 if many == 2 else w_hh, w_hr2 if many == 2 else w_hr, power_of_two(batch, most=32)
    saved = gates.shape[3] // units if units else 0
    bk, bp = power_of_two(n * units, least=16, most=64), power_of_two(size, least=16, most=64)
    if 1 < steps and max(units, size) <= SMALL:
        pass_states(call, dh, dh0)
        if dc0 is not None:
            pass_states(call, dc, dc0)
        bb = min(bb, 16)
        return call.launch(_back_sequence, (ceil_div(batch, bb), many), w_hh, w2, w_hr, up2, gates, before, dy, dh0, dc0, past, di, dj, dp, total, lengths,
                           steps, batch, units, size, yt, yb, CELL=cell, G=n, SAVED=saved, REVERSE=reverse, PROJECTED=projected,
                           BB=bb, BN=16, BK=bk, BP=bp)  # fmt: skip
    for s in range(steps + 1):
        e = dc if s == 0 else dc0
        call.launch(_back, (ceil_div(size, 16), ceil_div(batch, bb), many), w_hh, w2, gates, before, dy, dh if s == 0 else dh0, dh0, e, dc0, past,
                    di, dj, dp, total, lengths, s, steps, batch, units, size, yt, yb,
                    CELL=cell, G=n, SAVED=saved, REVERSE=reverse, PROJECTED=projected, BEGUN=s > 0, ENDED=s == steps,
                    BB=bb, BN=16, BK=bk)  # fmt: skip
        if projected and s < steps:
            call.launch(_back_projected, (ceil_div(units, 16), ceil_div(batch, bb), many), w_hr, up2, gates, total, e, dc0, di, lengths,
                        s, steps, batch, units, size, SAVED=saved, REVERSE=reverse, BB=bb, BN=16, BK=bp)  # fmt: skip


@triton.jit
def _column_sums(x, y, rows, n, BM: tl.constexpr, BN: tl.constexpr):
    """Of each of the matrices that lie behind each other."""
    d, c = tl.program_id(1).to(tl.int64), tl.program_id(0) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for first in range(0, rows, BM):
        r = first + tl.arange(0, BM)
        acc += tl.load(x + (d * rows + r)[:, None] * n + c[None, :], mask=(r[:, None] < rows) & (c[None, :] < n), other=0.0)
    tl.store(y + d * n + c, tl.sum(acc, 0), mask=c < n)


@row()
def recurrent_wgrad(call: Any) -> None:
    di, x, before, dj = (*call.inputs, None)[:4]
    many, steps, batch, n = di.shape
    rows, inputs, size = steps * batch, x.shape[2], before.shape[3]
    outer = di if dj is None else dj
    xt, xb = (x.stride[1], x.stride[0]) if call.attrs["batch_first"] else (x.stride[0], x.stride[1])

    def of(window: Any, d: int) -> Any:
        shape, each = window.shape[1:], 1
        strides: list[int] = []
        for s in reversed(shape):
            strides.insert(0, each)
            each *= s
        return window.strided(shape, tuple(strides), d * each)

    for d in range(many):
        one, to_x, to_h = of(di, d), of(call.outputs[0], d), of(call.outputs[1], d)
        product(call, one, x, None, to_x, (n, inputs, rows), 1, 1, 0, max(batch, 1), batch * n, n, xt, xb, 1, inputs, 1)
        product(call, of(outer, d), of(before, d), None, to_h, (n, size, rows), 1, 1, 0, max(batch, 1), batch * n, n, batch * size, size, 1, size, 1)
    for a, b in zip((di, dj), call.outputs[2:]):
        if many * n:
            call.launch(_column_sums, (ceil_div(n, 32), many), a, b, rows, n, BM=power_of_two(rows, most=32), BN=32)
