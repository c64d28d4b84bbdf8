"""The gradients of conv2d on devices. Each element of a result is summed by one program, or in parts whose number the shape decides and which a second
launch adds up in their order: no atomics, the same bits in every run."""

from __future__ import annotations

from math import gcd

import triton
import triton.language as tl

from ..conv2d.gpu_triton import FAR, FEW, TURNED, UNROLLED, Product, given, pairs, tile
from ..launch import Call, ceil_div, count, power_of_two, row


def taps_of(stride: int, dilation: int) -> tuple[int, int]:
    """How far apart the taps p lie that see one phase, place = p dilation modulo the stride, and what leads from the place to the first of them."""
    step = stride // gcd(stride, dilation)
    return step, pow(dilation // gcd(stride, dilation), -1, step)


@triton.jit
def first_tap(place, stride, TAPS: tl.constexpr, STEP: tl.constexpr, TURN: tl.constexpr):
    """TAPS, where no tap sees the place."""
    common = stride // STEP
    return tl.where(place % common == 0, place // common * TURN % STEP, TAPS)


@triton.jit
def _spread(dy, w, bias, dx, M, H, W, HP, WP, OH, OW, O, OG, C, CG, sh, sw, top, left, dh, dw,
            R: tl.constexpr, S: tl.constexpr, STEP_H: tl.constexpr, STEP_W: tl.constexpr, TURN_H: tl.constexpr, TURN_W: tl.constexpr,
            WIDE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """Strides beyond 1: pixels whose places agree modulo the stride are seen through the same taps, so a program takes pixels of one such phase, and whole
    taps are left out instead of multiplied by nothing."""
    blocks = tl.cdiv(M, BM)
    phase, group = tl.program_id(0) // blocks, tl.program_id(2)
    m = tl.program_id(0) % blocks * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BN + tl.arange(0, BN)
    if WIDE:
        m, c = m.to(tl.int64), c.to(tl.int64)
    i, j, n = m // WP % HP, m % WP, m // WP // HP
    h, v = i * sh + phase // sw, j * sw + phase % sw
    inside, real = (m < M) & (h < H) & (v < W), c < CG
    down, across = phase // sw + top, phase % sw + left
    acc = tl.zeros((BM, BN), tl.float32)
    for p in range(first_tap(down, sh, R, STEP_H, TURN_H), R, STEP_H):
        a = i + (down - p * dh) // sh
        for q in range(first_tap(across, sw, S, STEP_W, TURN_W), S, STEP_W):
            b = j + (across - q * dw) // sw
            seen = (a >= 0) & (a < OH) & (b >= 0) & (b < OW) & inside
            at = ((n * O + group * OG) * OH + a) * OW + b
            for first in range(0, OG, BK):
                o = first + tl.arange(0, BK)
                some = tl.load(dy + at[:, None] + (o * (OH * OW))[None, :], mask=seen[:, None] & (o < OG)[None, :], other=0.0)
                wt = w + (((group * OG + o)[:, None] * CG + c[None, :]) * R + p) * S + q
                acc = tl.dot(some, tl.load(wt, mask=(o < OG)[:, None] & real[None, :], other=0.0), acc, input_precision="ieee")
    if bias is not None:
        acc += tl.load(bias + group * CG + c, mask=real, other=0.0)[None, :]
    to = (n * C * H + h) * W + v
    tl.store(dx + to[:, None] + ((group * CG + c) * (H * W))[None, :], acc, mask=inside[:, None] & real[None, :])


@triton.jit
def _spread_apart(dy, w, bias, dx, M, H, W, OH, OW, C, CG, sh, sw, top, left, dh, dw,
                  OG: tl.constexpr, R: tl.constexpr, S: tl.constexpr, WIDE: tl.constexpr, BM: tl.constexpr):  # fmt: skip
    """Few outputs a group: each pixel adds up what looked at it. M: pixels of a plane."""
    plane = tl.program_id(1)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    if WIDE:
        plane = plane.to(tl.int64)
    inside, n, channel = m < M, plane // C, plane % C
    group, c = channel // CG, channel % CG
    h, v = m // W + top, m % W + left
    acc = tl.zeros((BM,), tl.float32)
    for o in range(OG):
        output = group * OG + o
        from_plane = dy + (n * (C // CG * OG) + output) * OH * OW
        for p in range(R):
            y = h - p * dh
            a = y // sh
            for q in tl.static_range(S):
                z = v - q * dw
                b = z // sw
                seen = (y >= 0) & (a * sh == y) & (a < OH) & (z >= 0) & (b * sw == z) & (b < OW) & inside
                acc += tl.load(from_plane + a * OW + b, mask=seen, other=0.0) * tl.load(w + ((output * CG + c) * R + p) * S + q)
    if bias is not None:
        acc += tl.load(bias + channel)
    tl.store(dx + plane * M + m, acc, mask=inside)


@row()
def conv2d_dgrad(call: Call) -> None:
    """At a stride of 1 a convolution of dy with the weights turned by 180 degrees, their inputs and outputs exchanged."""
    dy, w, bias = given(call, 3)
    dx, a = call.outputs[0], call.attrs
    (n, o, oh, ow), (_, cg, r, s), (_, c, h, width), groups = dy.shape, w.shape, dx.shape, a["groups"]
    og, (sh, sw), (top, left), (dh, dw) = o // groups, *pairs(a).values()
    if (sh, sw) == (1, 1):
        before = dh * (r - 1) - top, dw * (s - 1) - left
        return Product(TURNED, o, c, groups, (r, s), (1, 1), before, (dh, dw)).launch(call, dy, w, bias, None, dx)
    wide = max(map(count, (dy.shape, w.shape, dx.shape))) >= FAR
    if groups > 1 and max(cg, og) <= FEW and r * s <= UNROLLED and n * c < 1 << 16:
        bm = power_of_two(h * width, 32, 256)
        return call.launch(_spread_apart, (ceil_div(h * width, bm), n * c), dy, w, bias, dx, h * width, h, width, oh, ow, c, cg, sh, sw, top, left, dh, dw,
                           OG=og, R=r, S=s, WIDE=wide, BM=bm)  # fmt: skip
    (step_h, turn_h), (step_w, turn_w), hp, wp = taps_of(sh, dh), taps_of(sw, dw), ceil_div(h, sh), ceil_div(width, sw)
    m, size = n * hp * wp, tile(n * hp * wp, cg, og)
    return call.launch(_spread, (sh * sw * ceil_div(m, size["BM"]), ceil_div(cg, size["BN"]), groups), dy, w, bias, dx, m, h, width, hp, wp, oh, ow, o, og,
                       c, cg, sh, sw, top, left, dh, dw, R=r, S=s, STEP_H=step_h, STEP_W=step_w, TURN_H=turn_h, TURN_W=turn_w, WIDE=wide, **size)  # fmt: skip


@triton.jit
def _weights(dy, x, dw, M, part, PARTS, H, W, OH, OW, O, OG, C, CG, sh, sw, top, left, dh, across,
             R: tl.constexpr, S: tl.constexpr, WIDE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """[outputs, pixels] x [pixels, taps] over the pixels of one part, to dw[part]."""
    number, group = tl.program_id(2) % PARTS, tl.program_id(2) // PARTS
    o = tl.program_id(0) * BM + tl.arange(0, BM)
    k = tl.program_id(1) * BN + tl.arange(0, BN)
    K = CG * R * S
    real, known = o < OG, k < K
    c, p, q = group * CG + k // (R * S), k % (R * S) // S * dh - top, k % S * across - left
    begin = number * part
    if WIDE:
        o, k, c, begin, number = o.to(tl.int64), k.to(tl.int64), c.to(tl.int64), begin.to(tl.int64), number.to(tl.int64)
    acc = tl.zeros((BM, BN), tl.float32)
    for first in range(begin, tl.minimum(begin + part, M), BK):
        m = first + tl.arange(0, BK)
        inside, n, i, j = m < M, m // OW // OH, m // OW % OH, m % OW
        at = n * O * OH * OW + i * OW + j
        a = tl.load(dy + ((group * OG + o) * (OH * OW))[:, None] + at[None, :], mask=real[:, None] & inside[None, :], other=0.0)
        h, v = (i * sh)[:, None] + p[None, :], (j * sw)[:, None] + q[None, :]
        seen = (h >= 0) & (h < H) & (v >= 0) & (v < W) & inside[:, None] & known[None, :]
        b = tl.load(x + ((n * C)[:, None] + c[None, :]) * (H * W) + h * W + v, mask=seen, other=0.0)
        acc = tl.dot(a, b, acc, input_precision="ieee")
    to = dw + ((number * O + group * OG + o) * K)[:, None] + k[None, :]
    tl.store(to, acc, mask=real[:, None] & known[None, :])


@triton.jit
def _weights_apart(dy, x, dw, M, part, PARTS, H, W, OH, OW, O, OG, C, CG, sh, sw, top, left, dh, across,
                   R: tl.constexpr, S: tl.constexpr, T: tl.constexpr, WIDE: tl.constexpr, BM: tl.constexpr):  # fmt: skip
    """Few channels a group: a program has the taps of one output and channel. T: a power of two that is not below R S."""
    number, o, c = tl.program_id(0) % PARTS, tl.program_id(0) // PARTS // CG, tl.program_id(0) // PARTS % CG
    tap = tl.arange(0, T)
    channel, p, q = o // OG * CG + c, tap // S * dh - top, tap % S * across - left
    begin = number * part
    if WIDE:
        o, channel, begin, number = o.to(tl.int64), channel.to(tl.int64), begin.to(tl.int64), number.to(tl.int64)
    acc = tl.zeros((T, BM), tl.float32)
    for first in range(begin, tl.minimum(begin + part, M), BM):
        m = first + tl.arange(0, BM)
        inside, n, i, j = m < M, m // OW // OH, m // OW % OH, m % OW
        a = tl.load(dy + (n * O + o) * OH * OW + i * OW + j, mask=inside, other=0.0)
        h, v = (i * sh)[None, :] + p[:, None], (j * sw)[None, :] + q[:, None]
        seen = (h >= 0) & (h < H) & (v >= 0) & (v < W) & inside[None, :] & (tap < R * S)[:, None]
        acc += a[None, :] * tl.load(x + ((n * C + channel) * H * W)[None, :] + h * W + v, mask=seen, other=0.0)
    tl.store(dw + ((number * O + o) * CG + c) * (R * S) + tap, tl.sum(acc, 1), mask=tap < R * S)


@triton.jit
def _add_parts(parts, dw, size, PARTS, B: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    from_part, acc = parts + i, tl.zeros((B,), tl.float32)
    for _ in range(PARTS):
        acc += tl.load(from_part, mask=i < size, other=0.0)
        from_part += size
    tl.store(dw + i, acc, mask=i < size)


PROGRAMS = 512      # that keep a large chip busy: pixels are cut until there are about as many, wherever the call runs, so that its bits do not depend on that
SHORTEST = 256      # pixels of a part; below, adding parts up costs more than it gains


@row()
def conv2d_wgrad(call: Call) -> None:
    dy, x = call.inputs
    dw, a = call.outputs[0], call.attrs
    (n, o, oh, ow), (_, c, h, width), (_, cg, r, s), groups = dy.shape, x.shape, dw.shape, a["groups"]
    og, m, taps = o // groups, n * oh * ow, cg * r * s
    apart = groups > 1 and cg * og <= FEW and r * s <= UNROLLED
    size = tile(og, taps, m)
    tiles = o * cg if apart else ceil_div(og, size["BM"]) * ceil_div(taps, size["BN"]) * groups
    parts = max(1, min(PROGRAMS // tiles, m // SHORTEST))
    part = ceil_div(ceil_div(m, parts), 64) * 64
    parts = max(1, ceil_div(m, part)) if m else 1
    to = call.scratch((parts, *dw.shape), dw.dtype) if parts > 1 else dw
    wide = max(map(count, (dy.shape, x.shape, to.shape))) >= FAR
    numbers = (m, part, parts, h, width, oh, ow, o, og, c, cg, *(v for pair in pairs(a).values() for v in pair))
    if apart:
        t = power_of_two(r * s)
        call.launch(_weights_apart, (tiles * parts,), dy, x, to, *numbers, R=r, S=s, T=t, WIDE=wide, BM=power_of_two(m, 16, max(4096 // t, 64)))
    else:
        grid = ceil_div(og, size["BM"]), ceil_div(taps, size["BN"]), groups * parts
        call.launch(_weights, grid, dy, x, to, *numbers, R=r, S=s, WIDE=wide, **size)
    if parts > 1:
        call.launch(_add_parts, (ceil_div(count(dw.shape), 256),), to, dw, count(dw.shape), parts, B=256)
