"""conv3d on devices: conv2d's implicit product with one more dimension."""

from __future__ import annotations

import triton
import triton.language as tl

from ..conv2d.gpu_triton import FAR, finish, given, tile
from ..launch import Call, ceil_div, count, row


@triton.jit
def _product(x, w, bias, y, M, O, C, D, H, W, OD, OH, OW, sd, sh, sw, front, top, left, dd, dh, dw,
             T: tl.constexpr, R: tl.constexpr, S: tl.constexpr, WIDE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    if WIDE:
        m, o = tl.program_id(0).to(tl.int64) * BM + tl.arange(0, BM), o.to(tl.int64)
    inside, real, volume = m < M, o < O, OD * OH * OW
    n, at = m // volume, m % volume
    depth, row, col = at // (OH * OW) * sd - front, at // OW % OH * sh - top, at % OW * sw - left
    base = x + n * C * D * H * W
    K = C * T * R * S
    acc = tl.zeros((BM, BN), tl.float32)
    for first in range(0, K, BK):
        k = first + tl.arange(0, BK)
        known = k < K
        e = depth[:, None] + (k % (T * R * S) // (R * S) * dd)[None, :]
        h = row[:, None] + (k % (R * S) // S * dh)[None, :]
        v = col[:, None] + (k % S * dw)[None, :]
        seen = (e >= 0) & (e < D) & (h >= 0) & (h < H) & (v >= 0) & (v < W) & inside[:, None] & known[None, :]
        a = tl.load(base[:, None] + (((k // (T * R * S))[None, :] * D + e) * H + h) * W + v, mask=seen, other=0.0)
        b = tl.load(w + k[:, None] + (o * K)[None, :], mask=known[:, None] & real[None, :], other=0.0)
        acc = tl.dot(a, b, acc, input_precision="ieee")
    to = (n * O * volume + at)[:, None] + (o * volume)[None, :]
    finish(acc, bias, None, y, o[None, :], to, inside[:, None] & real[None, :], 0)


@row()
def conv3d(call: Call) -> None:
    x, w, bias = given(call, 3)
    y = call.outputs[0]
    (n, c, *image), (o, _, *taps), places = x.shape, w.shape, y.shape[2:]
    names = ("stride_d", "stride_h", "stride_w", "pad_front", "pad_top", "pad_left", "dilation_d", "dilation_h", "dilation_w")
    m, size = n * count(places), tile(n * count(places), o, c * count(taps))
    call.launch(_product, (ceil_div(m, size["BM"]), ceil_div(o, size["BN"])), x, w, bias, y, m, o, c, *image, *places, *(call.attrs[k] for k in names),
                T=taps[0], R=taps[1], S=taps[2], WIDE=max(map(count, (x.shape, w.shape, y.shape))) >= FAR, **size)  # fmt: skip
