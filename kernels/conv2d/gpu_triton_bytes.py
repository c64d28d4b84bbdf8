"""qconv2d on devices: bytes on the integer tensor cores, which multiply s8 by s8. An activation less 128 is one, so that
    sum (X - zero) w = sum (X - 128) w + (128 - zero) sum w,   X = zero outside of x,   with the sums of w taken from the tiles as they pass."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, power_of_two, row
from .gpu_triton import FAR, FEW, UNROLLED, given, pairs

# How the weights lie: qconv2d's [O, C/g, R, S]; in quads of taps (p, q, c), panels of 16 outputs a group, or over all groups (kernels/qconv/qconv2d_packed.h).
FLAT, QUADS, DEPTHWISE = range(3)


@triton.jit
def byte_offset(k, o, group, OG, CG: tl.constexpr, TAPS: tl.constexpr, PIECE: tl.constexpr, HELD: tl.constexpr):
    """Where the weight of tap k and output o of its group lies. A panel ends with a row of sums."""
    if HELD == 0:
        return (group * OG + o) * (CG * TAPS) + k
    else:
        QUADS_OF: tl.constexpr = (PIECE + 3) // 4
        quad, byte = k // PIECE * QUADS_OF + k % PIECE // 4, k % PIECE % 4
        if HELD == 1:
            panel, n = group * tl.cdiv(OG, 16) + o // 16, o % 16
        else:
            panel, n = (group * OG + o) // 16, (group * OG + o) % 16
        return ((panel * (CG * TAPS // PIECE * QUADS_OF + 1) + quad) * 16 + n) * 4 + byte


@triton.jit
def requantize(acc, scale, bias, out_zero, y, o, at, seen, RELU: tl.constexpr):
    """Bias, relu, and the result as y wants it. What lies between the product and the rounding keeps them from becoming one multiply-add."""
    if bias is not None:
        acc += tl.load(bias + o, mask=seen, other=0)
    if RELU:
        acc = tl.maximum(acc, 0)
    if y.dtype.element_ty == tl.int32:
        tl.store(y + at, acc, mask=seen)
    else:
        v = acc.to(tl.float32) * tl.load(scale + o, mask=seen, other=0.0)
        if y.dtype.element_ty == tl.float32:
            tl.store(y + at, v, mask=seen)
        else:
            near = tl.where(v > -512.0, tl.where(v < 512.0, v, 512.0), -512.0)
            whole = (near + 12582912.0) - 12582912.0      # 1.5 * 2^23: halves to even
            q = tl.where(v == v, whole + tl.load(out_zero).to(tl.float32), 0.0)
            q = tl.where(q < 0.0, 0.0, tl.where(q > 255.0, 255.0, q))
            tl.store(y + at, q.to(tl.int32).to(tl.uint8), mask=seen)


@triton.jit
def _product(x, x_zero, w, scale, bias, out_zero, y, M, H, W, OH, OW, OG, xn, xc, xh, xw, yn, yo, yh, yw, sh, sw, top, left, dh, dw,
             CG: tl.constexpr, R: tl.constexpr, S: tl.constexpr, PIECE: tl.constexpr, HELD: tl.constexpr, RELU: tl.constexpr, WIDE: tl.constexpr,
             BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    K: tl.constexpr = CG * R * S
    group = tl.program_id(2)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    if WIDE:
        m, o = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM), o.to(tl.int64)
    inside, real = m < M, o < OG
    i, j, n = m // OW % OH, m % OW, m // OW // OH
    row, col = i * sh - top, j * sw - left
    base = x + group * CG * xc + n * xn
    zero = tl.load(x_zero)
    acc, sums = tl.zeros((BM, BN), tl.int32), tl.zeros((BN,), tl.int32)
    for first in range(0, K, BK):
        k = first + tl.arange(0, BK)
        if HELD == 0:
            c, tap = k // (R * S), k % (R * S)
        else:
            c, tap = k % CG, k // CG
        h = row[:, None] + (tap // S * dh)[None, :]
        v = col[:, None] + (tap % S * dw)[None, :]
        seen = (h >= 0) & (h < H) & (v >= 0) & (v < W) & inside[:, None] & (k < K)[None, :]
        a = tl.load(base[:, None] + (c * xc)[None, :] + h * xh + v * xw, mask=seen, other=zero)
        b = tl.load(w + byte_offset(k[:, None], o[None, :], group, OG, CG, R * S, PIECE, HELD), mask=(k < K)[:, None] & real[None, :], other=0)
        acc = tl.dot((a ^ 128).to(tl.int8, bitcast=True), b, acc, out_dtype=tl.int32)
        sums += tl.sum(b.to(tl.int32), 0)
    acc += ((128 - zero.to(tl.int32)) * sums)[None, :]
    o = group * OG + o
    at = (n * yn + i * yh + j * yw)[:, None] + (o * yo)[None, :]
    requantize(acc, scale, bias, out_zero, y, o[None, :], at, inside[:, None] & real[None, :], RELU)


@triton.jit
def _apart(x, x_zero, w, scale, bias, out_zero, y, M, H, W, OH, OW, OG, O, xn, xc, xh, xw, yn, yo, yh, yw, sh, sw, top, left, dh, dw,
           CG: tl.constexpr, R: tl.constexpr, S: tl.constexpr, PIECE: tl.constexpr, HELD: tl.constexpr, RELU: tl.constexpr, WIDE: tl.constexpr,
           BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """Few channels a group: an output sums its own channels' windows."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    if WIDE:
        m, o = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM), o.to(tl.int64)
    inside, real = m < M, o < O
    i, j, n = m // OW % OH, m % OW, m // OW // OH
    row, col = i * sh - top, j * sw - left
    group, part = o // OG, o % OG
    base = x + (n * xn)[:, None] + (group * CG * xc)[None, :]
    zero = tl.load(x_zero)
    acc = tl.zeros((BM, BN), tl.int32)
    for c in range(CG):
        for p in range(R):
            h = row + p * dh
            there = (h >= 0) & (h < H) & inside
            for q in tl.static_range(S):
                v = col + q * dw
                seen = there & (v >= 0) & (v < W)
                a = tl.load(base + c * xc + (h * xh + v * xw)[:, None], mask=seen[:, None] & real[None, :], other=zero).to(tl.int32)
                k = (c * R + p) * S + q if HELD == 0 else (p * S + q) * CG + c
                b = tl.load(w + byte_offset(k, part, group, OG, CG, R * S, PIECE, HELD), mask=real, other=0).to(tl.int32)
                acc += (a - zero.to(tl.int32)) * b[None, :]
    at = (n * yn + i * yh + j * yw)[:, None] + (o * yo)[None, :]
    requantize(acc, scale, bias, out_zero, y, o[None, :], at, inside[:, None] & real[None, :], RELU)


def forward(call: Call, held: int, taps: tuple[int, int], piece: int, x_last: bool = False, y_last: bool = False) -> None:
    """x, x_zero, w, scale, bias?, out_zero? -> y. piece: bytes that lie side by side in a window channels last, in whole quads."""
    x, x_zero, w, scale, bias, out_zero = given(call, 6)
    y, a, (r, s) = call.outputs[0], call.attrs, taps
    orders = [(0, 3, 1, 2) if last else (0, 1, 2, 3) for last in (x_last, y_last)]
    (n, c, h, width), (_, o, oh, ow) = (tuple(v.shape[i] for i in order) for v, order in zip((x, y), orders))
    strides = [v.stride[i] for v, order in zip((x, y), orders) for i in order]
    window = [v for pair in pairs(a).values() for v in pair]
    groups = a["groups"]
    cg, og, m = c // groups, o // groups, n * oh * ow
    wide = max(map(count, (x.shape, w.shape, y.shape))) >= FAR
    how: dict[str, Any] = {"CG": cg, "R": r, "S": s, "PIECE": piece, "HELD": held, "RELU": bool(a["relu"]), "WIDE": wide}
    if groups > 1 and max(cg, og) <= FEW and r * s <= UNROLLED:
        bn = power_of_two(o, 1, 32) if x_last else 1
        bm = power_of_two(m, 16, 512 // bn)
        call.launch(_apart, (ceil_div(m, bm), ceil_div(o, bn)), x, x_zero, w, scale, bias, out_zero, y, m, h, width, oh, ow, og, o, *strides, *window,
                    **how, BM=bm, BN=bn)  # fmt: skip
        return
    # An instruction of the tensor cores takes 32 bytes of K.
    bm, bn, bk = power_of_two(m, 16, 64), power_of_two(og, 16, 64), power_of_two(cg * r * s, 32, 64)
    call.launch(_product, (ceil_div(m, bm), ceil_div(og, bn), groups), x, x_zero, w, scale, bias, out_zero, y, m, h, width, oh, ow, og, *strides, *window,
                **how, BM=bm, BN=bn, BK=bk)  # fmt: skip


@row()
def qconv2d(call: Call) -> None:
    r, s = call.inputs[2].shape[2:]
    forward(call, FLAT, (r, s), 1)
