"""Error bounds of conv2d's gradients, element by element, as the headers in kernels/conv2d_grad state them."""

from __future__ import annotations

import math
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


def by_last(n: int, c: int, o: int, taps: tuple[int, int], sizes: tuple[int, int], pixels: int, exact: int, **g: int) -> bool:
    """kernels/conv2d_grad/layout.cpp, last_layout: which dgrads go by conv2d_nhwc's Winograd; c, o: of a group, sizes: of dx."""
    r, s = taps
    negative = (g["dilation_h"] * (r - 1) < max(g["pad_top"], g["pad_bottom"])) or (g["dilation_w"] * (s - 1) < max(g["pad_left"], g["pad_right"]))
    if exact or g["stride_h"] > 1 or g["stride_w"] > 1 or negative or c < 16 or o < 16 or (g["groups"] > 1 and c % 16):
        return False
    m = {(3, 3): 4, (5, 5): 2}.get(taps)
    if m is None or by_winograd(n, c, o, taps, sizes, pixels, exact, **g):
        return False
    across = [g[f"dilation_{side}"] * math.ceil(math.ceil(size / g[f"dilation_{side}"]) / m) for side, size in zip("hw", sizes)]
    tiles = n * across[0] * across[1]
    return tiles * 36 + (480 if m == 4 else 2560) < n * sizes[0] * sizes[1] * r * s * 3 // 4


def last(dy: Any, w: Any, **g: int) -> Any:
    """conv2d_nhwc's bound for dy and the weights turned by 180 degrees, channels and outputs exchanged, group by group; weights transformed in floats."""
    from .conv_nhwc import winograd_sizes

    k, (_, _, r, s) = g["groups"], w.shape
    reach = {"top": (r - 1) * g["dilation_h"], "bottom": (r - 1) * g["dilation_h"], "left": (s - 1) * g["dilation_w"], "right": (s - 1) * g["dilation_w"]}
    turned = {**g, "groups": 1, **{f"pad_{side}": n - g[f"pad_{side}"] for side, n in reach.items()}}
    found = []
    for x, v in zip(np.split(dy, k, 1), np.split(w, k, 0)):
        sizes = winograd_sizes(x, np.ascontiguousarray(v.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]), turned)
        found.append(np.max([gamma(roundings + 8) * size for roundings, size in sizes], 0))
    return np.concatenate(found, 1)


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
