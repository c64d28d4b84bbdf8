"""Pooling on devices, element by element of the result; gradients look for the windows that hold a pixel, so that nothing is added by atomics."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row

FAR = 1 << 31       # elements from which on offsets take 64 bits
BLOCK = 256


@triton.jit
def numbered(WIDE: tl.constexpr, B: tl.constexpr):
    """The elements of this program."""
    if WIDE:
        return tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    else:
        return tl.program_id(0) * B + tl.arange(0, B)


@triton.jit
def better(v, best, at):
    """Whether v takes the place of best: the first of the largest stays, and a NaN wins. at: below 0 where there is none yet."""
    return (v > best) | ((v != v) & (best == best)) | (at < 0)


@triton.jit
def place(e, C, OH, OW, LAST: tl.constexpr):
    """Image, channel, row and column of element e of [N, C, OH, OW], or of [N, OH, OW, C]."""
    if LAST:
        return e // C // OW // OH, e % C, e // C // OW % OH, e // C % OW
    else:
        return e // OW // OH // C, e // OW // OH % C, e // OW % OH, e % OW


@triton.jit
def image_offset(n, c, C, H, W, LAST: tl.constexpr):
    if LAST:
        return n * H * W * C + c
    else:
        return (n * C + c) * H * W


@triton.jit
def maximum(x, y, index, size, C, H, W, OH, OW, KH, KW, sh, sw, top, left, LAST: tl.constexpr, WIDE: tl.constexpr, B: tl.constexpr):
    e = numbered(WIDE, B)
    n, c, i, j = place(e, C, OH, OW, LAST)
    image = x + image_offset(n, c, C, H, W, LAST)
    best, at = tl.full((B,), float("-inf"), tl.float32), tl.full((B,), -1, tl.int32)
    for p in range(KH):
        for q in range(KW):
            h, v = i * sh - top + p, j * sw - left + q
            seen = (h >= 0) & (h < H) & (v >= 0) & (v < W) & (e < size)
            pixel = h * W + v
            value = tl.load(image + pixel * (C if LAST else 1), mask=seen, other=0).to(tl.float32)
            taken = seen & better(value, best, at)
            best, at = tl.where(taken, value, best), tl.where(taken, pixel.to(tl.int32), at)
    tl.store(y + e, tl.where(at < 0, 0.0, best).to(y.dtype.element_ty), mask=e < size)
    if index is not None:
        tl.store(index + e, at, mask=e < size)


@triton.jit
def counted(i, j, H, W, KH, KW, sh, sw, top, left, PADDED: tl.constexpr, B: tl.constexpr):
    """What the sums of windows (i, j) are divided by: their pixels, or those in the image. Windows that there are not: 1."""
    if PADDED:
        return tl.zeros((B,), tl.float32) + (KH * KW)
    else:
        h, v = i * sh - top, j * sw - left
        down, across = tl.minimum(h + KH, H) - tl.maximum(h, 0), tl.minimum(v + KW, W) - tl.maximum(v, 0)
        return tl.maximum(down * across, 1).to(tl.float32)


@triton.jit
def mean(x, y, size, C, H, W, OH, OW, KH, KW, sh, sw, top, left, PADDED: tl.constexpr, LAST: tl.constexpr, WIDE: tl.constexpr, B: tl.constexpr):
    e = numbered(WIDE, B)
    n, c, i, j = place(e, C, OH, OW, LAST)
    image = x + image_offset(n, c, C, H, W, LAST)
    acc = tl.zeros((B,), tl.float32)
    for p in range(KH):
        for q in range(KW):
            h, v = i * sh - top + p, j * sw - left + q
            seen = (h >= 0) & (h < H) & (v >= 0) & (v < W) & (e < size)
            acc += tl.load(image + (h * W + v) * (C if LAST else 1), mask=seen, other=0.0)
    pixels = counted(i, j, H, W, KH, KW, sh, sw, top, left, PADDED, B)
    tl.store(y + e, tl.div_rn(acc, pixels), mask=e < size)


@triton.jit
def _stray(index, stray, W, OH, OW, KH, KW, sh, sw, top, left, B: tl.constexpr):
    """stray[plane]: whether an index of the plane lies outside of its own window."""
    plane, found = tl.program_id(0), tl.zeros((B,), tl.int32)
    for first in range(0, OH * OW, B):
        e = first + tl.arange(0, B)
        k = tl.load(index + plane.to(tl.int64) * (OH * OW) + e, mask=e < OH * OW, other=0)
        h, v = k // W - (e // OW * sh - top), k % W - (e % OW * sw - left)
        found |= ((e < OH * OW) & ((h < 0) | (h >= KH) | (v < 0) | (v >= KW))).to(tl.int32)
    tl.store(stray + plane, tl.max(found, 0))


@triton.jit
def _maximum_grad(dy, index, stray, dx, blocks, H, W, OH, OW, KH, KW, sh, sw, top, left, DOWN, ACROSS, B: tl.constexpr):
    """DOWN, ACROSS: windows over a pixel, at most. A plane with stray indices asks all its windows."""
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    k = tl.program_id(0) % blocks * B + tl.arange(0, B)
    h, v = k // W + top, k % W + left
    dy += plane * (OH * OW)
    index += plane * (OH * OW)
    acc = tl.zeros((B,), tl.float32)
    if tl.load(stray + plane) == 0:
        for p in range(DOWN):
            i = h // sh - (DOWN - 1 - p)
            for q in range(ACROSS):
                j = v // sw - (ACROSS - 1 - q)
                seen = (i >= 0) & (i < OH) & (j >= 0) & (j < OW) & (k < H * W)
                hit = tl.load(index + i * OW + j, mask=seen, other=-1) == k
                acc += tl.load(dy + i * OW + j, mask=seen & hit, other=0.0)
    else:
        for e in range(OH * OW):
            acc += tl.where(tl.load(index + e) == k, tl.load(dy + e), 0.0)
    tl.store(dx + plane * (H * W) + k, acc, mask=k < H * W)


@triton.jit
def _gather(g, index, out, size, H, W, windows, WIDE: tl.constexpr, B: tl.constexpr):
    e = numbered(WIDE, B)
    k = tl.load(index + e, mask=e < size, other=-1)
    tl.store(out + e, tl.load(g + e // windows * (H * W) + k, mask=(k >= 0) & (k < H * W), other=0.0), mask=e < size)


@triton.jit
def _mean_grad(dy, dx, size, H, W, OH, OW, KH, KW, sh, sw, top, left, DOWN, ACROSS, PADDED: tl.constexpr, WIDE: tl.constexpr, B: tl.constexpr):
    e = numbered(WIDE, B)
    h, v = e // W % H, e % W
    dy += e // W // H * (OH * OW)
    acc = tl.zeros((B,), tl.float32)
    for p in range(DOWN):
        i = (h + top) // sh - (DOWN - 1 - p)
        for q in range(ACROSS):
            j = (v + left) // sw - (ACROSS - 1 - q)
            seen = (i >= 0) & (i < OH) & (j >= 0) & (j < OW) & (h < i * sh - top + KH) & (v < j * sw - left + KW) & (e < size)
            some = tl.load(dy + i * OW + j, mask=seen, other=0.0)
            acc += tl.div_rn(some, counted(i, j, H, W, KH, KW, sh, sw, top, left, PADDED, B))
    tl.store(dx + e, acc, mask=e < size)


WINDOW = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")


def window(attrs: dict[str, Any]) -> tuple[int, ...]:
    return tuple(attrs[k] for k in WINDOW)


def over(attrs: dict[str, Any]) -> tuple[int, int]:
    """Windows that can hold one pixel: down, across."""
    return ceil_div(attrs["kernel_h"], attrs["stride_h"]), ceil_div(attrs["kernel_w"], attrs["stride_w"])


def sizes(call: Call) -> tuple[int, dict[str, Any]]:
    """Elements of the result, and the constants that every kernel has which goes through them."""
    shapes = [v.shape for v in (*call.inputs, *call.outputs) if v is not None]
    return count(call.outputs[0].shape), {"WIDE": max(map(count, shapes)) >= FAR, "B": BLOCK}


@row()
def max_pool2d(call: Call) -> None:
    (x,), (y, index), (size, how) = call.inputs, (*call.outputs, None)[:2], sizes(call)
    call.launch(maximum, (ceil_div(size, BLOCK),), x, y, index, size, *x.shape[1:], *y.shape[2:], *window(call.attrs), LAST=False, **how)


@row()
def avg_pool2d(call: Call) -> None:
    (x,), (y,), (size, how) = call.inputs, call.outputs, sizes(call)
    padded = bool(call.attrs["count_include_pad"])
    call.launch(mean, (ceil_div(size, BLOCK),), x, y, size, *x.shape[1:], *y.shape[2:], *window(call.attrs), PADDED=padded, LAST=False, **how)


@row()
def max_pool2d_grad(call: Call) -> None:
    (dy, index), (dx,) = call.inputs, call.outputs
    planes, pixels = count(dx.shape[:2]), dx.shape[2] * dx.shape[3]
    stray, blocks = call.scratch((planes,), index.dtype), ceil_div(pixels, BLOCK)
    call.launch(_stray, (planes,), index, stray, dx.shape[3], *dy.shape[2:], *window(call.attrs), B=BLOCK)
    call.launch(_maximum_grad, (planes * blocks,), dy, index, stray, dx, blocks, *dx.shape[2:], *dy.shape[2:], *window(call.attrs), *over(call.attrs), B=BLOCK)


@row()
def max_pool2d_gather(call: Call) -> None:
    (g, index), (out,), (size, how) = call.inputs, call.outputs, sizes(call)
    call.launch(_gather, (ceil_div(size, BLOCK),), g, index, out, size, *g.shape[2:], out.shape[2] * out.shape[3], **how)


@row()
def avg_pool2d_grad(call: Call) -> None:
    (dy,), (dx,), (size, how) = call.inputs, call.outputs, sizes(call)
    padded = bool(call.attrs["count_include_pad"])
    call.launch(_mean_grad, (ceil_div(size, BLOCK),), dy, dx, size, *dx.shape[2:], *dy.shape[2:], *window(call.attrs), *over(call.attrs), PADDED=padded, **how)
