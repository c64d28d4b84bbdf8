"""Error bounds of conv2d's gradients, element by element, as the headers in kernels/conv2d_grad state them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .matmul import gamma

ROUNDINGS = 32  # of a term in three transforms and their constants
TILE = {3: 4, 5: 2}  # pixels along a side, by the kernel's size


def _along(size: int, dilation: int, m: int) -> int:
    return dilation * math.ceil(math.ceil(size / dilation) / m)


def by_winograd(n: int, c: int, o: int, taps: tuple[int, int], sizes: tuple[int, int], pixels: int, exact: int, **g: int) -> bool:
    """kernels/conv2d_grad/winograd_layout.cpp: which calls go by Winograd; c, o: of a group, `sizes`: of the image that is cut into tiles, `pixels`: of one
    dy."""
    m = TILE.get(taps[0])
    if exact or m is None or taps[0] != taps[1] or g["stride_h"] > 1 or g["stride_w"] > 1 or c < 16 or o < 16:
        return False
    tiles = n * _along(sizes[0], g["dilation_h"], m) * _along(sizes[1], g["dilation_w"], m)
    return tiles * 36 + (320 if m == 4 else 640) + tiles * 320 // c + tiles * 320 // o < n * pixels * taps[0] ** 2


def by_strided(n: int, c: int, o: int, taps: tuple[int, int], outputs: tuple[int, int], exact: int, **g: int) -> bool:
    """kernels/conv2d_grad/strided_layout.cpp: which calls go by the F(4,2) of a stride's phases; `outputs`: of an image."""
    expected = {"stride_h": 2, "stride_w": 2, "dilation_h": 1, "dilation_w": 1, "pad_top": 1, "pad_left": 1, "groups": 1}
    if exact or tuple(taps) != (3, 3) or any(g[k] != v for k, v in expected.items()) or c < 16 or o < 16:
        return False
    tiles = n * math.ceil(outputs[0] / 4) * math.ceil(outputs[1] / 4)
    return tiles * 81 + 1000 + tiles * 800 // c + tiles * 800 // o < n * outputs[0] * outputs[1] * 9


def _matrices(taps: int) -> tuple[Any, Any, Any]:
    from .conv_nhwc import WINOGRAD4, WINOGRAD5, transforms

    at, g, bt = transforms(WINOGRAD4 if taps == 3 else WINOGRAD5)
    return np.abs(at), np.abs(g), np.abs(bt)


def _places(size: int, m: int, dilation: int, reach: int) -> Any:
    """Along one side: pixel j < reach of tile i, [tiles, reach]. Tiles of m pixels, a dilation apart."""
    i = np.arange(_along(size, dilation, m))
    return (i // dilation * dilation * m + i % dilation)[:, None] + dilation * np.arange(reach)


def _windows(x: Any, rows: Any, columns: Any) -> Any:
    """|x|[N,C,H,W] at rows[TH,a], columns[TW,b] -> [N,TH,TW,C,a,b]; zeros outside."""
    inside = ((rows >= 0) & (rows < x.shape[2]))[:, None, :, None] & ((columns >= 0) & (columns < x.shape[3]))[None, :, None, :]
    found = np.abs(x)[:, :, rows.clip(0, x.shape[2] - 1)[:, None, :, None], columns.clip(0, x.shape[3] - 1)[None, :, None, :]]
    return np.where(inside, found, 0).transpose(0, 2, 3, 1, 4, 5)


def _grouped(x: Any, groups: int, axis: int) -> Any:
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def dgrad(dy: Any, w: Any, h: int, width: int, **g: int) -> Any:
    """gamma_(O+32) |A^T| (sum_o (|G||w'||G^T|) (|B^T||d||B|)) |A|, tile by tile of dx."""
    at, gm, bt = _matrices(w.shape[2])
    k, r, m, (dh, dw) = g["groups"], w.shape[2], len(at), (g["dilation_h"], g["dilation_w"])
    d = _windows(dy, _places(h, m, dh, 6) + g["pad_top"] - (r - 1) * dh, _places(width, m, dw, 6) + g["pad_left"] - (r - 1) * dw)
    u = np.einsum("ik,gockl,jl->ijgoc", gm, _grouped(np.abs(w)[:, :, ::-1, ::-1], k, 0), gm)
    v = np.einsum("ik,nabgokl,jl->nabijgo", bt, _grouped(d, k, 3), bt, optimize=True)
    y = np.einsum("pi,nabijgc,qj->ngcabpq", at, np.einsum("nabijgo,ijgoc->nabijgc", v, u, optimize=True), at, optimize=True)
    dx = np.zeros((len(dy), k * w.shape[1], h + m * dh, width + m * dw))
    dx[:, :, _places(h, m, dh, m)[:, None, :, None], _places(width, m, dw, m)[None, :, None, :]] = y.reshape(*dx.shape[:2], *y.shape[3:])
    return gamma(w.shape[0] // k + ROUNDINGS) * dx[:, :, :h, :width]


def wgrad(dy: Any, x: Any, taps: int, **g: int) -> Any:
    """gamma_(T+32) |G^T| (sum over tiles (|A||dy||A^T|) (|B^T||d||B|)) |G|."""
    at, gm, bt = _matrices(taps)
    k, m = g["groups"], len(at)
    down, across = (_places(n, m, g[f"dilation_{side}"], 6) for n, side in zip(dy.shape[2:], "hw"))
    tiles = _grouped(_windows(dy, down[:, :m], across[:, :m]), k, 3)
    seen = _grouped(_windows(x, down - g["pad_top"], across - g["pad_left"]), k, 3)
    out = np.einsum("ki,nabgokl,lj->nabijgo", at, tiles, at, optimize=True)
    v = np.einsum("ik,nabgckl,jl->nabijgc", bt, seen, bt, optimize=True)
    sums = np.einsum("nabijgo,nabijgc->ijgoc", out, v, optimize=True)
    found = np.einsum("ip,ijgoc,jq->gocpq", gm, sums, gm, optimize=True)
    return gamma(len(x) * len(down) * len(across) + ROUNDINGS) * found.reshape(dy.shape[1], x.shape[1] // k, taps, taps)


def _strided_matrices() -> tuple[Any, Any, Any]:
    from .conv_nhwc import STRIDED, transforms

    at, g, bt = transforms(STRIDED)
    return np.abs(at), np.abs(g), np.abs(bt)


def strided_dgrad(dy: Any, w: Any, h: int, width: int, **g: int) -> Any:
    """gamma_(O+32) |A^T| (sum_o (|G||w'||G^T|) (|B^T||d||B|)) |A|: phase (a, b) of dx, pixels 2i + 1 - a, sees dy[i] and, with a = 0, dy[i + 1]."""
    at, gm, bt = _strided_matrices()
    taps = np.zeros((*w.shape[:2], 2, 2, 2, 2))  # phase, tap
    of = ((2, 0), (1,))
    for a, b in np.ndindex(2, 2):
        for i, p in enumerate(of[a]):
            for j, q in enumerate(of[b]):
                taps[:, :, a, b, i, j] = np.abs(w[:, :, p, q])
    th, tw = math.ceil(h / 8), math.ceil(width / 8)
    d = _windows(dy, _places(4 * th, 4, 1, 5), _places(4 * tw, 4, 1, 5))
    u = np.einsum("ik,ocabkl,jl->ijocab", gm, taps, gm)
    v = np.einsum("ik,nxyokl,jl->nxyijo", bt, d, bt, optimize=True)
    y = np.einsum("pi,nxyijcab,qj->ncxpayqb", at, np.einsum("nxyijo,ijocab->nxyijcab", v, u, optimize=True), at, optimize=True)[..., ::-1, :, :, ::-1]
    dx = y.reshape(len(dy), w.shape[1], 8 * th, 8 * tw)
    return gamma(w.shape[0] + ROUNDINGS) * dx[:, :, :h, :width]


def strided_wgrad(dy: Any, x: Any, **g: int) -> Any:
    """gamma_(T+32) |G^T| (sum over tiles (|A||dy||A^T|) (|B^T||d||B|)) |G|, d the four phases of what a tile of dy sees of x."""
    at, gm, bt = _strided_matrices()
    down, across = (_places(n, 4, 1, 5) for n in dy.shape[2:])
    tiles = _windows(dy, down[:, :4], across[:, :4])
    out = np.einsum("ki,nabokl,lj->nabijo", at, tiles, at, optimize=True)
    dw = np.zeros((dy.shape[1], x.shape[1], 4, 4))
    for a, b in np.ndindex(2, 2):
        v = np.einsum("ik,nxyckl,jl->nxyijc", bt, _windows(x, 2 * down + a - g["pad_top"], 2 * across + b - g["pad_left"]), bt, optimize=True)
        dw[:, :, a::2, b::2] = np.einsum("ip,ijoc,jq->ocpq", gm, np.einsum("nxyijo,nxyijc->ijoc", out, v, optimize=True), gm, optimize=True)
    return gamma(len(x) * len(down) * len(across) + ROUNDINGS) * dw[:, :, :3, :3]
