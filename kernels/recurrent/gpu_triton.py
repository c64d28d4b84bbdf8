"""Recurrent layers forward: the input product of all steps at once, then the steps. Small layers take one launch, whose programs each go through all steps of
some sequences: their weights stay in L1, and a step costs less than a launch. Others take a launch a step, whose programs each hold a few hidden units
with all their gates; these launches are all alike: in a CUDA graph a step costs its weights' way from L2."""

from __future__ import annotations

import struct
from typing import Any

import triton
import triton.language as tl

from ..launch import ceil_div, power_of_two, row
from ..pointwise.gpu_functions import nearest
from .gpu_triton_parts import cut, function, pass_states, product, unpacked

RNN_TANH, RNN_RELU, LSTM, GRU = range(4)
SIGMOID, TANH, RELU = range(3)
GATES = (1, 1, 4, 3)
# Units up to which one program does all of a step: 128 of an LSTM read 256 KB of weights, about what a launch in a graph costs. Not measured on hardware.
SMALL = 128


@triton.jit
def _gate(h, scale_of_h, w, q, rows, batch, u, units, size, g, BYTES: tl.constexpr, BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr):
    """h w^T for the units' rows of gate g. h: pointers to rows. Bytes: h is rounded by scale_of_h = 127 / max |h|, the sum is exact."""
    row, there, real = w + (g * units + u).to(tl.int64) * size, u < units, rows < batch
    acc = tl.zeros((BB, BU), tl.int32 if BYTES else tl.float32)
    for k0 in range(0, size, BK):
        k = k0 + tl.arange(0, BK)
        x = tl.load(h[:, None] + k[None, :], mask=real[:, None] & (k[None, :] < size), other=0.0)
        y = tl.load(row[:, None] + k[None, :], mask=there[:, None] & (k[None, :] < size), other=0)
        if BYTES:
            acc = tl.dot(nearest(x * scale_of_h[:, None]).to(tl.int8), tl.trans(y), acc, out_dtype=tl.int32)
        else:
            acc = tl.dot(x, tl.trans(y), acc, input_precision="ieee")
    if BYTES:
        acc = acc.to(tl.float32) * tl.load(q + g * units + u, mask=there, other=0.0)[None, :]
    return acc


@triton.jit
def _sums(sums, at, g, units, inside):
    return tl.load(sums + at + g * units, mask=inside, other=0.0)


@triton.jit
def _bias(bias, g, units, u):
    return tl.load(bias + g * units + u, mask=u < units, other=0.0)[None, :]


@triton.jit
def step_of(block, rows_block, way, ways, sums, w0, w1, q0, q1, bias0, bias1, peep0, peep1, h_in, h_out, c_in, c_out, hidden, late, y, gates, before, lengths,
          s, first, steps, batch, units, size, yt, yb, limit,
          CELL: tl.constexpr, STAGE: tl.constexpr, REVERSE: tl.constexpr, PROJECTED: tl.constexpr, BYTES: tl.constexpr, COUPLED: tl.constexpr,
          CLIP: tl.constexpr, SAVED: tl.constexpr, F0: tl.constexpr, A0: tl.constexpr, B0: tl.constexpr, F1: tl.constexpr, A1: tl.constexpr, B1: tl.constexpr,
          F2: tl.constexpr, A2: tl.constexpr, B2: tl.constexpr, BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """A block of units in step s. STAGE 0: all of it; of a GRU whose w_hn multiplies r h, 1: r and z, which go to `late`, and 2: the rest, whose product then
    reads r h. way, ways: which of the directions of this launch, and how many."""
    d = first + way
    rows, u = rows_block * BB + tl.arange(0, BB), block * BU + tl.arange(0, BU)
    w, q, bias, peep = w0, q0, bias0, peep0
    t = steps - 1 - s
    if not REVERSE:
        t = steps - 1 - t
    if d == 1:
        w, t = w1, steps - 1 - s
        if BYTES:
            q = q1
        if bias0 is not None:
            bias = bias1
        if peep0 is not None:
            peep = peep1
    inside = (rows[:, None] < batch) & (u[None, :] < units)
    own = (d * batch + rows).to(tl.int64)
    here = own[:, None] * units + u[None, :]
    moment = ((d * steps + t).to(tl.int64) * batch + rows)[:, None]
    has = rows >= 0
    if lengths is not None:
        has = tl.load(lengths + rows, mask=rows < batch, other=0) > t
    has = has[:, None]
    G: tl.constexpr = 4 if CELL == 2 else 3 if CELL == 3 else 1
    at = moment * (G * units) + u[None, :]
    from_h = own * size
    x = h_in + from_h
    if STAGE == 2:
        x = late + from_h
    scale, back = tl.zeros((BB,), tl.float32), tl.zeros((BB,), tl.float32)
    if BYTES:
        most, whole = tl.zeros((BB, BK), tl.float32), tl.full((BB, BK), 1, tl.int32)
        for k0 in range(0, size, BK):
            k = k0 + tl.arange(0, BK)
            value = tl.abs(tl.load(x[:, None] + k[None, :], mask=(rows[:, None] < batch) & (k[None, :] < size), other=0.0))
            whole = tl.where(value <= 3.4028234663852886e38, whole, 0)
            most = tl.where(value > most, value, most)
        top, finite = tl.max(most, 1), tl.min(whole, 1) == 1
        some = top > 1e-30
        scale = tl.where(some & finite, tl.div_rn(tl.full((BB,), 127.0, tl.float32), tl.where(some, top, 1.0)), 0.0)
        back = tl.where(finite, tl.where(some, tl.div_rn(top, tl.full((BB,), 127.0, tl.float32)), 0.0), float("nan"))
    old = tl.load(h_in + here, mask=inside, other=0.0) if not PROJECTED else tl.zeros((BB, BU), tl.float32)
    if CELL <= 1:
        j = _gate(x, scale, w, q, rows, batch, u, units, size, 0, BYTES, BB, BU, BK)
        if BYTES:
            j *= back[:, None]
        if bias is not None:
            j += _bias(bias, 0, units, u)
        new = function(cut(_sums(sums, at, 0, units, inside) + j, limit, CLIP), F0, A0, B0)
        if gates is not None:
            tl.store(gates + moment * units + u[None, :], tl.where(has, new, 0.0), mask=inside)
    elif CELL == 2:
        ji = _gate(x, scale, w, q, rows, batch, u, units, size, 0, BYTES, BB, BU, BK)
        jf = _gate(x, scale, w, q, rows, batch, u, units, size, 1, BYTES, BB, BU, BK)
        jg = _gate(x, scale, w, q, rows, batch, u, units, size, 2, BYTES, BB, BU, BK)
        jo = _gate(x, scale, w, q, rows, batch, u, units, size, 3, BYTES, BB, BU, BK)
        if BYTES:
            ji, jf, jg, jo = ji * back[:, None], jf * back[:, None], jg * back[:, None], jo * back[:, None]
        if bias is not None:
            ji, jf = ji + _bias(bias, 0, units, u), jf + _bias(bias, 1, units, u)
            jg, jo = jg + _bias(bias, 2, units, u), jo + _bias(bias, 3, units, u)
        c = tl.zeros((BB, BU), tl.float32)
        if c_in is not None:
            c = tl.load(c_in + here, mask=inside, other=0.0)
        si, sf = _sums(sums, at, 0, units, inside) + ji, _sums(sums, at, 1, units, inside) + jf
        sg, so = _sums(sums, at, 2, units, inside) + jg, _sums(sums, at, 3, units, inside) + jo
        if peep is not None:
            si += _bias(peep, 0, units, u) * c
            sf += _bias(peep, 2, units, u) * c
        gi, gg = function(cut(si, limit, CLIP), F0, A0, B0), function(cut(sg, limit, CLIP), F1, A1, B1)
        gf = 1.0 - gi if COUPLED else function(cut(sf, limit, CLIP), F0, A0, B0)
        after = gf * c + gi * gg
        if peep is not None:
            so += _bias(peep, 1, units, u) * after
        go = function(cut(so, limit, CLIP), F0, A0, B0)
        new = go * function(after, F2, A2, B2)
        tl.store(c_out + here, tl.where(has, after, c), mask=inside)
        if gates is not None:
            to = gates + moment * (SAVED * units) + u[None, :]
            tl.store(to, tl.where(has, gi, 0.0), mask=inside)
            tl.store(to + units, tl.where(has, gf, 0.0), mask=inside)
            tl.store(to + 2 * units, tl.where(has, gg, 0.0), mask=inside)
            tl.store(to + 3 * units, tl.where(has, go, 0.0), mask=inside)
            tl.store(to + 4 * units, tl.where(has, c, 0.0), mask=inside)
            if PROJECTED:
                tl.store(to + 5 * units, tl.where(has, new, 0.0), mask=inside)
        if PROJECTED:
            tl.store(hidden + here, new, mask=inside)
    else:
        plane = ways.to(tl.int64) * batch * units
        local = ((way * batch + rows).to(tl.int64))[:, None] * units + u[None, :]
        if STAGE < 2:
            jr = _gate(x, scale, w, q, rows, batch, u, units, size, 0, BYTES, BB, BU, BK)
            jz = _gate(x, scale, w, q, rows, batch, u, units, size, 1, BYTES, BB, BU, BK)
            if BYTES:
                jr, jz = jr * back[:, None], jz * back[:, None]
            if bias is not None:
                jr, jz = jr + _bias(bias, 0, units, u), jz + _bias(bias, 1, units, u)
            r = function(cut(_sums(sums, at, 0, units, inside) + jr, limit, CLIP), F0, A0, B0)
            z = function(cut(_sums(sums, at, 1, units, inside) + jz, limit, CLIP), F0, A0, B0)
        if STAGE == 1:
            tl.store(late + here, r * old, mask=inside)
            tl.store(hidden + local, r, mask=inside)
            tl.store(hidden + plane + local, z, mask=inside)
        else:
            if STAGE == 2:
                r, z = tl.load(hidden + local, mask=inside, other=0.0), tl.load(hidden + plane + local, mask=inside, other=0.0)
            jn = _gate(x, scale, w, q, rows, batch, u, units, size, 2, BYTES, BB, BU, BK)
            if BYTES:
                jn *= back[:, None]
            if bias is not None:
                jn += _bias(bias, 2, units, u)
            n = function(cut(_sums(sums, at, 2, units, inside) + (jn if STAGE == 2 else r * jn), limit, CLIP), F1, A1, B1)
            new = (1.0 - z) * n + z * old
            if gates is not None:
                to = gates + moment * (4 * units) + u[None, :]
                tl.store(to, tl.where(has, r, 0.0), mask=inside)
                tl.store(to + units, tl.where(has, z, 0.0), mask=inside)
                tl.store(to + 2 * units, tl.where(has, n, 0.0), mask=inside)
                tl.store(to + 3 * units, tl.where(has, jn, 0.0), mask=inside)
    if STAGE != 1 and not PROJECTED:
        tl.store(h_out + here, tl.where(has, new, old), mask=inside)
        tl.store(y + t.to(tl.int64) * yt + rows[:, None].to(tl.int64) * yb + d * units + u[None, :], tl.where(has, new, 0.0), mask=inside)
        if before is not None:
            tl.store(before + moment * units + u[None, :], tl.where(has, old, 0.0), mask=inside)


@triton.jit
def project_of(block, rows_block, way, w0, w1, h_in, h_out, hidden, y, before, lengths, s, first, steps, batch, units, size, yt, yb,
             REVERSE: tl.constexpr, BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """h' = w_hr (s(o) tanh(c'))."""
    d = first + way
    rows, p = rows_block * BB + tl.arange(0, BB), block * BU + tl.arange(0, BU)
    w, t = w0, steps - 1 - s
    if not REVERSE:
        t = steps - 1 - t
    if d == 1:
        w, t = w1, steps - 1 - s
    own = (d * batch + rows).to(tl.int64)
    inside = (rows[:, None] < batch) & (p[None, :] < size)
    has = rows >= 0
    if lengths is not None:
        has = tl.load(lengths + rows, mask=rows < batch, other=0) > t
    has = has[:, None]
    scale = tl.zeros((BB,), tl.float32)
    new = _gate(hidden + own * units, scale, w, w, rows, batch, p, size, units, 0, False, BB, BU, BK)
    here = own[:, None] * size + p[None, :]
    old = tl.load(h_in + here, mask=inside, other=0.0)
    tl.store(h_out + here, tl.where(has, new, old), mask=inside)
    tl.store(y + t.to(tl.int64) * yt + rows[:, None].to(tl.int64) * yb + d * size + p[None, :], tl.where(has, new, 0.0), mask=inside)
    if before is not None:
        moment = ((d * steps + t).to(tl.int64) * batch + rows)[:, None]
        tl.store(before + moment * size + p[None, :], tl.where(has, old, 0.0), mask=inside)


@triton.jit(do_not_specialize=["s"])
def _step(sums, w0, w1, q0, q1, bias0, bias1, peep0, peep1, h_in, h_out, c_in, c_out, hidden, late, y, gates, before, lengths,
          s, first, steps, batch, units, size, yt, yb, limit,
          CELL: tl.constexpr, STAGE: tl.constexpr, REVERSE: tl.constexpr, PROJECTED: tl.constexpr, BYTES: tl.constexpr, COUPLED: tl.constexpr,
          CLIP: tl.constexpr, SAVED: tl.constexpr, F0: tl.constexpr, A0: tl.constexpr, B0: tl.constexpr, F1: tl.constexpr, A1: tl.constexpr, B1: tl.constexpr,
          F2: tl.constexpr, A2: tl.constexpr, B2: tl.constexpr, BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    step_of(tl.program_id(0), tl.program_id(1), tl.program_id(2), tl.num_programs(2), sums, w0, w1, q0, q1, bias0, bias1, peep0, peep1,
            h_in, h_out, c_in, c_out, hidden, late, y, gates, before, lengths, s, first, steps, batch, units, size, yt, yb, limit,
            CELL, STAGE, REVERSE, PROJECTED, BYTES, COUPLED, CLIP, SAVED, F0, A0, B0, F1, A1, B1, F2, A2, B2, BB, BU, BK)  # fmt: skip


@triton.jit(do_not_specialize=["s"])
def _project(w0, w1, h_in, h_out, hidden, y, before, lengths, s, first, steps, batch, units, size, yt, yb,
             REVERSE: tl.constexpr, BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    project_of(tl.program_id(0), tl.program_id(1), tl.program_id(2), w0, w1, h_in, h_out, hidden, y, before, lengths,
               s, first, steps, batch, units, size, yt, yb, REVERSE, BB, BU, BK)  # fmt: skip


@triton.jit
def _sequence(sums, w0, w1, q0, q1, bias0, bias1, peep0, peep1, up0, up1, turns, c, hidden, late, y, gates, before, lengths,
              first, steps, batch, units, size, plane, yt, yb, limit,
              CELL: tl.constexpr, STAGE: tl.constexpr, REVERSE: tl.constexpr, PROJECTED: tl.constexpr, BYTES: tl.constexpr, COUPLED: tl.constexpr,
          CLIP: tl.constexpr, SAVED: tl.constexpr, F0: tl.constexpr, A0: tl.constexpr, B0: tl.constexpr, F1: tl.constexpr, A1: tl.constexpr, B1: tl.constexpr,
          F2: tl.constexpr, A2: tl.constexpr, B2: tl.constexpr, BB: tl.constexpr, BU: tl.constexpr, BK: tl.constexpr, BP: tl.constexpr):  # fmt: skip
    """All steps of BB sequences. turns: two states, `plane` numbers apart; step s reads one and writes the other. What a step wrote its successor reads after
    a barrier: by other threads, but none of another program."""
    rows_block, way, ways = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    for s in range(0, steps):
        h_in, h_out = turns + s % 2 * plane, turns + (s + 1) % 2 * plane
        for stage in tl.static_range(1 if STAGE else 0, 3 if STAGE else 1):
            for block in range(0, (units + BU - 1) // BU):
                step_of(block, rows_block, way, ways, sums, w0, w1, q0, q1, bias0, bias1, peep0, peep1, h_in, h_out, c, c, hidden, late, y, gates, before,
                        lengths, s, first, steps, batch, units, size, yt, yb, limit,
                        CELL, stage, REVERSE, PROJECTED, BYTES, COUPLED, CLIP, SAVED, F0, A0, B0, F1, A1, B1, F2, A2, B2, BB, BU, BK)  # fmt: skip
            tl.debug_barrier()
        if PROJECTED:
            for block in range(0, (size + BU - 1) // BU):
                project_of(block, rows_block, way, up0, up1, h_in, h_out, hidden, y, before, lengths, s, first, steps, batch, units, size, yt, yb,
                           REVERSE, BB, BU, BP)  # fmt: skip
            tl.debug_barrier()


def functions_of(call: Any, cell: int, direction: int) -> tuple[tuple[int, float, float], ...]:
    """The three functions of a direction's cell: code, alpha, beta."""
    usual = {RNN_TANH: (TANH,), RNN_RELU: (RELU,), LSTM: (SIGMOID, TANH, TANH), GRU: (SIGMOID, TANH)}[cell]
    given = tuple(call.attrs["activations"] or ())
    found = [(code, 0.0, 0.0) for code in usual]
    if given:
        mine = given[direction * len(usual) * 3 : (direction + 1) * len(usual) * 3]
        found = [(int(mine[i]), *(struct.unpack("f", struct.pack("i", int(v)))[0] for v in mine[i + 1 : i + 3])) for i in range(0, len(mine), 3)]
    return tuple(found + [(SIGMOID, 0.0, 0.0)] * (3 - len(found)))


def functions_as_constants(functions: Any) -> dict[str, Any]:
    (f0, a0, b0), (f1, a1, b1), (f2, a2, b2) = functions
    return dict(F0=f0, A0=a0, B0=b0, F1=f1, A1=a1, B1=b1, F2=f2, A2=a2, B2=b2)


@row()
def recurrent(call: Any) -> None:
    given = (*call.inputs, *[None] * 16)[:16]
    x, lengths, h0, c0, cell = given[0], *given[11:14], int(call.attrs["cell"])
    f32, n, turned, packed = x.dtype, GATES[cell], bool(call.attrs["batch_first"]), bool(call.attrs["packed"])
    steps, batch = (x.shape[1], x.shape[0]) if turned else x.shape[:2]
    y, h_last, rest = call.outputs[0], call.outputs[1], list(call.outputs[2:])
    c_last = rest.pop(0) if cell == LSTM else None
    gates, before = (*rest, None, None)[:2]
    many, _, size = h_last.shape
    units = c_last.shape[2] if cell == LSTM else size
    if not steps:
        pass_states(call, h0, h_last)
        if c_last is not None:
            pass_states(call, c0, c_last)
        return
    sums = call.scratch((many, steps, batch, n * units), f32)
    sets = []
    for d in range(many):
        w_ih, w_hh, b_ih, b_hh, w_hr = given[1 + 5 * d : 6 + 5 * d]
        scales = None
        if packed:
            w_ih, (w_hh, scales) = unpacked(call, w_ih, n, units, x.shape[2], f32)[0], unpacked(call, w_hh, n, units, size, f32)
        each, (a, b) = n * units, (x.stride[1], x.stride[0]) if turned else (x.stride[0], x.stride[1])
        to = sums if many == 1 else sums.strided((steps, batch, each), (batch * each, each, 1), d * steps * batch * each)
        product(call, x, w_ih, b_ih, to, (steps * batch, each, x.shape[2]), batch, a, b, max(x.shape[2], 1), 0, x.stride[2], 0, 1, x.shape[2], each, 1)
        sets.append((w_hh, scales, b_hh, given[14 + d], w_hr, functions_of(call, cell, d)))
    # Both directions in one launch, if they differ in nothing that the kernel is compiled for.
    alike = many == 2 and sets[0][5] == sets[1][5] and all((a is None) == (b is None) for a, b in zip(sets[0][:5], sets[1][:5]))
    groups = [(0, sets[0], sets[1], 2)] if alike else [(d, one, one, 1) for d, one in enumerate(sets)]
    projected, late = sets[0][4] is not None, cell == GRU and not call.attrs["linear_before_reset"]
    hidden = call.scratch((2, many, batch, units), f32) if projected or late else None
    held = call.scratch((many, batch, size), f32) if late else None
    yt, yb = (y.stride[1], y.stride[0]) if turned else (y.stride[0], y.stride[1])
    clip, reverse = float(call.attrs["clip"]), bool(call.attrs["reverse"])
    is_bytes = sets[0][1] is not None
    bb, bk = power_of_two(batch, least=16 if is_bytes else 1, most=32), power_of_two(size, least=32 if is_bytes else 16, most=64)
    saved = gates.shape[3] // units if gates is not None and units else 0
    constants = dict(CELL=cell, REVERSE=reverse, PROJECTED=projected, BYTES=is_bytes, COUPLED=bool(call.attrs["input_forget"]), CLIP=clip > 0, SAVED=saved,
                     BU=16, BK=bk)  # fmt: skip
    bp = power_of_two(units, least=16, most=64)
    if 1 < steps and max(units, size) <= SMALL:
        plane = many * batch * size
        turns = call.scratch((2, *h_last.shape), f32)
        pass_states(call, h0, turns.strided(h_last.shape, h_last.stride))
        if c_last is not None:
            pass_states(call, c0, c_last)
        bb = min(bb, 16)
        for first, one, two, count in groups:
            call.launch(_sequence, (ceil_div(batch, bb), count), sums, one[0], two[0], one[1], two[1], one[2], two[2], one[3], two[3], one[4], two[4],
                        turns, c_last, hidden, held, y, gates, before, lengths, first, steps, batch, units, size, plane, yt, yb, clip,
                        STAGE=1 if late else 0, BB=bb, BP=bp, **constants, **functions_as_constants(one[5]))  # fmt: skip
        return pass_states(call, turns.strided(h_last.shape, h_last.stride, steps % 2 * plane), h_last)
    turns = [call.scratch(h_last.shape, f32), h_last] if steps > 1 else [h_last, h_last]
    start = h0
    if start is None:
        start = call.scratch(h_last.shape, f32)
        pass_states(call, None, start)
    for s in range(steps):
        h_in, h_out = start if s == 0 else turns[1 - (steps - s) % 2], turns[1 - (steps - 1 - s) % 2]
        for first, one, two, count in groups:
            for stage in (1, 2) if late else (0,):
                call.launch(_step, (ceil_div(units, 16), ceil_div(batch, bb), count), sums, one[0], two[0], one[1], two[1], one[2], two[2], one[3], two[3],
                            h_in, h_out, c0 if s == 0 else c_last, c_last, hidden, held, y, gates, before, lengths,
                            s, first, steps, batch, units, size, yt, yb, clip, STAGE=stage, BB=bb, **constants, **functions_as_constants(one[5]))  # fmt: skip
            if projected:
                call.launch(_project, (ceil_div(size, 16), ceil_div(batch, bb), count), one[4], two[4], h_in, h_out, hidden, y, before, lengths,
                            s, first, steps, batch, units, size, yt, yb, REVERSE=reverse, BB=bb, BU=16, BK=bp)  # fmt: skip
