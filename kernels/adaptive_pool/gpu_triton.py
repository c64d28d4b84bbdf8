"""Adaptive pooling on devices: element by element, windows of several sizes."""

from __future__ import annotations

import triton
import triton.language as tl

from ..launch import Call, ceil_div, count, row
from ..pool2d.gpu_triton import BLOCK, FAR, better, numbered


@triton.jit
def _maximum(x, y, index, size, H, W, OH, OW, DOWN, ACROSS, WIDE: tl.constexpr, B: tl.constexpr):
    """DOWN, ACROSS: the largest window."""
    e = numbered(WIDE, B)
    i, j, image = e // OW % OH, e % OW, x + e // OW // OH * (H * W)
    top, low, left, right = i * H // OH, ((i + 1) * H + OH - 1) // OH, j * W // OW, ((j + 1) * W + OW - 1) // OW
    best, at = tl.full((B,), float("-inf"), tl.float32), tl.full((B,), -1, tl.int32)
    for p in range(DOWN):
        for q in range(ACROSS):
            h, v = top + p, left + q
            seen = (h < low) & (v < right) & (e < size)
            value = tl.load(image + h * W + v, mask=seen, other=0.0)
            taken = seen & better(value, best, at)
            best, at = tl.where(taken, value, best), tl.where(taken, (h * W + v).to(tl.int32), at)
    tl.store(y + e, best, mask=e < size)
    if index is not None:
        tl.store(index + e, at, mask=e < size)


def largest(n: int, parts: int) -> int:
    """The most elements that one of the parts' windows over n sees: [floor(i n / parts), ceil((i + 1) n / parts))."""
    return n // parts if n % parts == 0 else min(n, n // parts + 2)


@row()
def adaptive_max_pool2d(call: Call) -> None:
    (x,), (y, index), a = call.inputs, (*call.outputs, None)[:2], call.attrs
    (h, w), oh, ow, size = x.shape[2:], a["out_h"], a["out_w"], count(y.shape)
    wide = max(count(x.shape), size, (h + 1) * (oh + 1), (w + 1) * (ow + 1)) >= FAR
    call.launch(_maximum, (ceil_div(size, BLOCK),), x, y, index, size, h, w, oh, ow, largest(h, oh), largest(w, ow), WIDE=wide, B=BLOCK)
