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
