"""conv2d on devices: an implicit matrix product, [pixels of all images, taps] x [taps, outputs], whose left side is gathered from x and never stored;
where a group has one channel, each output is summed by itself. Strides of x and y are arguments, so that both serve NCHW and channels last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, power_of_two, row
from .gpu_triton_epilogue import activate

FAR = 1 << 31       # elements from which on offsets take 64 bits


# How the weights lie, K = C/g R S: conv2d's [O, K]; conv2d_pack's panels of 16 outputs, [g, ceil(O/g / 16), K, 16], or over all groups
# [ceil(O / 16), K, 16]; or conv2d's once more, whose inputs and outputs have changed places: the gradient in x.
FLAT, PANELS, LANES, TURNED = range(4)


@triton.jit
def weight_offset(k, o, group, OG, CG: tl.constexpr, TAPS: tl.constexpr, HELD: tl.constexpr):
    """Where the weight of tap k (in the order of memory) and output o (of its group) lies."""
    K: tl.constexpr = CG * TAPS
    if HELD == 1:
        return ((group * tl.cdiv(OG, 16) + o // 16) * K + k) * 16 + o % 16
    elif HELD == 2:
        return ((group * OG + o) // 16 * K + k) * 16 + (group * OG + o) % 16
    elif HELD == 3:
        return ((group * CG + k // TAPS) * OG + o) * TAPS + (TAPS - 1 - k % TAPS)
    else:
        return (group * OG + o) * K + k


@triton.jit
def finish(acc, bias, residual, y, o, at, seen, HOW: tl.constexpr):
    """Bias and residual, where there are any, the activation, and the store. o, at, seen have acc's shape or one that broadcasts to it."""
    if bias is not None:
        acc += tl.load(bias + o, mask=seen, other=0.0)
    if residual is not None:
        acc += tl.load(residual + at, mask=seen, other=0.0)
    tl.store(y + at, activate(acc, HOW), mask=seen)


@triton.jit
def _product(x, w, bias, residual, y, M, H, W, OH, OW, OG, xn, xc, xh, xw, yn, yo, yh, yw, sh, sw, top, left, dh, dw,
             CG: tl.constexpr, R: tl.constexpr, S: tl.constexpr, HELD: tl.constexpr, HOW: tl.constexpr, WIDE: tl.constexpr,
             BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    K: tl.constexpr = CG * R * S
    group = tl.program_id(2)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    if WIDE:
        m, o = (tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)), o.to(tl.int64)
    inside, real = m < M, o < OG
    i, j, n = m // OW % OH, m % OW, m // OW // OH
    row, col = i * sh - top, j * sw - left
    base = x + group * CG * xc + n * xn
    acc = tl.zeros((BM, BN), tl.float32)
    for first in range(0, K, BK):
        k = first + tl.arange(0, BK)
        if HELD == 1 or HELD == 2:      # taps (p, q, c): neighbours in memory where channels are
            c, tap = k % CG, k // CG
        else:
            c, tap = k // (R * S), k % (R * S)
        h = row[:, None] + (tap // S * dh)[None, :]
        v = col[:, None] + (tap % S * dw)[None, :]
        seen = (h >= 0) & (h < H) & (v >= 0) & (v < W) & inside[:, None] & (k < K)[None, :]
        a = tl.load(base[:, None] + (c * xc)[None, :] + h * xh + v * xw, mask=seen, other=0.0)
        b = tl.load(w + weight_offset(k[:, None], o[None, :], group, OG, CG, R * S, HELD), mask=(k < K)[:, None] & real[None, :], other=0.0)
        acc = tl.dot(a, b, acc, input_precision="ieee")
    o = group * OG + o
    at = (n * yn + i * yh + j * yw)[:, None] + (o * yo)[None, :]
    finish(acc, bias, residual, y, o[None, :], at, inside[:, None] & real[None, :], HOW)


@triton.jit
def _apart(x, w, bias, residual, y, M, H, W, OH, OW, OG, O, xn, xc, xh, xw, yn, yo, yh, yw, sh, sw, top, left, dh, dw,
           CG: tl.constexpr, R: tl.constexpr, S: tl.constexpr, HELD: tl.constexpr, HOW: tl.constexpr, WIDE: tl.constexpr,
           BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """Few channels a group: no product of matrices is left, an output sums its own channels' windows."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    if WIDE:
        m, o = (tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM)), o.to(tl.int64)
    inside, real = m < M, o < O
    i, j, n = m // OW % OH, m % OW, m // OW // OH
    row, col = i * sh - top, j * sw - left
    group, part = o // OG, o % OG
    base = x + (n * xn)[:, None] + (group * CG * xc)[None, :]
    acc = tl.zeros((BM, BN), tl.float32)
    for c in range(CG):
        for p in range(R):
            h = row + p * dh
            there = (h >= 0) & (h < H) & inside
            for q in tl.static_range(S):
                v = col + q * dw
                seen = there & (v >= 0) & (v < W)
                a = tl.load(base + c * xc + (h * xh + v * xw)[:, None], mask=seen[:, None] & real[None, :], other=0.0)
                k = (p * S + q) * CG + c if HELD == 1 or HELD == 2 else (c * R + p) * S + q
                acc += a * tl.load(w + weight_offset(k, part, group, OG, CG, R * S, HELD), mask=real, other=0.0)[None, :]
    at = (n * yn + i * yh + j * yw)[:, None] + (o * yo)[None, :]
    finish(acc, bias, residual, y, o[None, :], at, inside[:, None] & real[None, :], HOW)


FEW = 4           # channels and outputs of a group up to which outputs are summed by themselves: a tile of a product has 16 of K and of N at least
UNROLLED = 49     # taps of such a kernel; its loads are spelled out a row at a time


def tile(pixels: int, outputs: int, taps: int) -> dict[str, int]:
    """BM x BN x BK from the shape. Float32 runs on the FMA units, not on the tensor cores: 64 x 64 keeps 32 sums a thread of 128 in registers."""
    return {"BM": power_of_two(pixels, 16, 64), "BN": power_of_two(outputs, 16, 64), "BK": power_of_two(taps, 16, 32)}


@dataclass(frozen=True)
class Product:
    """What is summed: how the weights lie, channels of x and of y, groups, and the window's (down, across)."""

    held: int
    channels: int
    outputs: int
    groups: int
    taps: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    dilation: tuple[int, int]
    activation: int = 0
    last: bool = False      # channels last

    def launch(self, call: Call, x: Any, w: Any, bias: Any, residual: Any, y: Any) -> None:
        order = (0, 3, 1, 2) if self.last else (0, 1, 2, 3)
        (n, _, h, width), (_, _, oh, ow) = (tuple(v.shape[i] for i in order) for v in (x, y))
        strides = [v.stride[i] for v in (x, y) for i in order]
        window = (*self.stride, *self.before, *self.dilation)
        cg, og, (r, s), m, o = self.channels // self.groups, self.outputs // self.groups, self.taps, n * oh * ow, self.outputs
        how = {"CG": cg, "R": r, "S": s, "HELD": self.held, "HOW": self.activation, "WIDE": max(map(count, (x.shape, w.shape, y.shape))) >= FAR}
        if self.groups > 1 and max(cg, og) <= FEW and r * s <= UNROLLED:
            bn = power_of_two(o, 1, 32) if self.last else 1
            bm = power_of_two(m, 16, 512 // bn)
            call.launch(_apart, (ceil_div(m, bm), ceil_div(o, bn)), x, w, bias, residual, y, m, h, width, oh, ow, og, o, *strides, *window,
                        **how, BM=bm, BN=bn, warps=4)  # fmt: skip
            return
        size = tile(m, og, cg * r * s)
        grid = ceil_div(m, size["BM"]), ceil_div(og, size["BN"]), self.groups
        call.launch(_product, grid, x, w, bias, residual, y, m, h, width, oh, ow, og, *strides, *window, **how, **size, warps=4)


def pairs(attrs: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The window's attributes by (down, across)."""
    return {"stride": (attrs["stride_h"], attrs["stride_w"]), "before": (attrs["pad_top"], attrs["pad_left"]),
            "dilation": (attrs["dilation_h"], attrs["dilation_w"])}  # fmt: skip


def given(call: Call, n: int) -> tuple[Any, ...]:
    """n operands, None for those that are left out."""
    return (*call.inputs, *(None,) * n)[:n]


@row()
def conv2d(call: Call) -> None:
    x, w, bias, residual = given(call, 4)
    a, (o, _, r, s) = call.attrs, w.shape
    Product(FLAT, x.shape[1], o, a["groups"], (r, s), **pairs(a), activation=a["activation"]).launch(call, x, w, bias, residual, call.outputs[0])
