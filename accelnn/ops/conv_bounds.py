"""Error bounds of conv2d's gradients, element by element, as the headers in kernels/conv2d_grad state them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .matmul import gamma

ROUNDINGS = 32  # of a term in three transforms and their constants


def by_winograd(n: int, c: int, o: int, taps: tuple[int, int], sizes: tuple[int, int], pixels: int, exact: int, **g: int) -> bool:
    """kernels/conv2d_grad/layout.cpp: which calls go by F(4,3); `sizes`: of the image that is cut into tiles, `pixels`: of one dy."""
    plain = all(g[k] == 1 for k in ("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"))
    if exact or taps != (3, 3) or not plain or c < 16 or o < 16:
        return False
    tiles, pixels = n * -(-sizes[0] // 4) * -(-sizes[1] // 4), n * pixels
    return tiles * 36 + 320 + pixels * 40 // c + pixels * 40 // o < pixels * 9


def _matrices() -> tuple[Any, Any, Any]:
    from .conv_nhwc import WINOGRAD4, transforms

    at, g, bt = transforms(WINOGRAD4)
    return np.abs(at), np.abs(g), np.abs(bt)


def _windows(x: Any, top: int, left: int, th: int, tw: int, size: int) -> Any:
    """|x|[N,C,H,W] -> [N,TH,TW,C,size,size]: tile (i, j) begins at row 4 i + top, column 4 j + left; zeros outside."""
    n, c, h, w = x.shape
    border = 8 + max(abs(top), abs(left))
    padded = np.pad(np.abs(x), ((0, 0), (0, 0), (border, border + 4 * th), (border, border + 4 * tw)))
    found = np.empty((n, th, tw, c, size, size))
    for i in range(th):
        for j in range(tw):
            y, z = border + 4 * i + top, border + 4 * j + left
            found[:, i, j] = padded[:, :, y : y + size, z : z + size]
    return found


def dgrad(dy: Any, w: Any, h: int, width: int, top: int, left: int) -> Any:
    """gamma_(O+32) |A^T| (sum_o (|G||w'||G^T|) (|B^T||d||B|)) |A|, tile by tile of dx."""
    at, g, bt = _matrices()
    d = _windows(dy, top - 2, left - 2, -(-h // 4), -(-width // 4), 6)
    u = np.einsum("ik,ockl,jl->ijoc", g, np.abs(w)[:, :, ::-1, ::-1], g)
    v = np.einsum("ik,nabokl,jl->nabijo", bt, d, bt, optimize=True)
    y = np.einsum("pi,nabijc,qj->ncapbq", at, np.einsum("nabijo,ijoc->nabijc", v, u, optimize=True), at, optimize=True)
    n, c, a, p, b, q = y.shape
    return gamma(w.shape[0] + ROUNDINGS) * y.reshape(n, c, a * p, b * q)[:, :, :h, :width]


def wgrad(dy: Any, x: Any, top: int, left: int) -> Any:
    """gamma_(T+32) |G^T| (sum over tiles (|A||dy||A^T|) (|B^T||d||B|)) |G|."""
    at, g, bt = _matrices()
    th, tw = -(-dy.shape[2] // 4), -(-dy.shape[3] // 4)
    out = np.einsum("ki,nabokl,lj->nabijo", at, _windows(dy, 0, 0, th, tw, 4), at, optimize=True)
    seen = np.einsum("ik,nabckl,jl->nabijc", bt, _windows(x, -top, -left, th, tw, 6), bt, optimize=True)
    sums = np.einsum("nabijo,nabijc->ijoc", out, seen, optimize=True)
    return gamma(len(x) * th * tw + ROUNDINGS) * np.einsum("ip,ijoc,jq->ocpq", g, sums, g, optimize=True)
