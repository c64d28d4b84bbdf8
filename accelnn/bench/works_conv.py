"""Convolutions as a compiled network runs them: channels last, weights packed for an algorithm. The eager call on NCHW is the work `conv2d`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import accelnn as an

from ..core.graph import Spec
from ..core.tensor import apply
from ..ops.conv import GEOMETRY, correlate
from ..ops.conv_nhwc import ALGORITHMS, PANELS, TAPS, WINOGRAD2, WINOGRAD4, plan_of, transforms
from ..ops.matmul import gamma
from .arrays import placed
from .check import Truth
from .works import CONV, Call, Inputs, Work, _conv2d, add

Choose = Callable[[Spec, Spec, dict[str, int]], int]


def best(x: Spec, w: Spec, g: dict[str, int]) -> int:
    """The algorithm that a compiled network takes."""
    return ALGORITHMS.index(plan_of(x, w, g))


def exact(x: Spec, w: Spec, g: dict[str, int]) -> int:
    return ALGORITHMS.index(plan_of(x, w, {**g, "exact": 1}))


def _only(algorithm: int) -> Choose:
    return lambda x, w, g: algorithm if tuple(w.shape[2:]) == (3, 3) and g["groups"] == 1 and g["stride_h"] == 1 else PANELS


def _chosen(x: Inputs, choose: Choose) -> int:
    image, weights = x.specs()
    assert image is not None and weights is not None
    return choose(image, weights, x.attrs)


def _call(choose: Choose) -> Callable[[Inputs], Call]:
    def ours(x: Inputs) -> Call:
        image = an.asarray(placed(np.ascontiguousarray(x.arrays[0].transpose(0, 2, 3, 1))))
        (o, _, r, s), algorithm = x.arrays[1].shape, _chosen(x, choose)
        packed = apply("conv2d_pack", an.asarray(x.arrays[1]), groups=x.attrs["groups"], algorithm=algorithm)
        attrs = {**x.attrs, "channels": o, "kernel_h": r, "kernel_w": s, "algorithm": algorithm}
        return lambda: apply("conv2d_nhwc", image, packed, **attrs)

    return ours


def _windows_max(x: np.ndarray, size: int) -> np.ndarray:
    """The largest absolute value of x[..., H, W] within `size` pixels to any side: what some tile over a pixel may see."""
    found = np.abs(x)
    for axis in (2, 3):
        padded = np.pad(found, [(size, size) if a == axis else (0, 0) for a in range(4)])
        found = np.lib.stride_tricks.sliding_window_view(padded, 2 * size + 1, axis).max(-1)
    return found


def _allowed(x: np.ndarray, w: np.ndarray, g: dict[str, int], algorithm: int) -> Any:
    """Error that the contract allows, NCHW. For Winograd its form with norms (conv2d_nhwc.h): c gamma sum_c max|d| max|w|."""
    if algorithm not in TAPS:
        return gamma(int(np.prod(w.shape[1:])) + 3) * correlate(np.abs(x), np.abs(w), g)
    at, taps, bt = (np.abs(m) for m in transforms(algorithm))
    constant = (at @ (taps.sum(1) * bt.sum(1))).max() ** 2
    reach = 8 * max(g["dilation_h"], g["dilation_w"])
    seen = _windows_max(x, reach)[:, :, :: g["stride_h"], :: g["stride_w"]]
    largest = np.abs(w).max((2, 3))
    y = np.concatenate([np.einsum("nchw,oc->nohw", c, o, optimize=True) for c, o in zip(np.split(seen, g["groups"], 1), np.split(largest, g["groups"]))], 1)
    shape = correlate(x[:, :0], w[:, :0], g).shape[2:]
    y = np.pad(y, ((0, 0), (0, 0), *((0, max(0, n - m)) for n, m in zip(shape, y.shape[2:]))), mode="edge")
    return constant * gamma(w.shape[1] * (4 if g["stride_h"] == 2 else 1) + 24) * y[:, :, : shape[0], : shape[1]]


def _true(x: Inputs) -> tuple[np.ndarray, np.ndarray, dict[str, int], np.ndarray]:
    image, weights = (a.astype(np.float64) for a in x.arrays)
    g = {**GEOMETRY, **x.attrs}
    return image, weights, g, correlate(image, weights, g)


def _truth(choose: Choose) -> Callable[[Inputs], Truth]:
    def truth(x: Inputs) -> Truth:
        image, weights, g, y = _true(x)
        return Truth([y.transpose(0, 2, 3, 1)], [_allowed(image, weights, g, _chosen(x, choose)).transpose(0, 2, 3, 1)])

    return truth


def _peer_truth(x: Inputs) -> Truth:
    image, weights, g, y = _true(x)
    return Truth([y], [np.maximum(_allowed(image, weights, g, PANELS), _allowed(image, weights, g, _chosen(x, best)))])


def _work(name: str, choose: Choose, says: str) -> Work:
    return Work(name, "conv2d", _conv2d, _call(choose), f"{CONV}, {says}", peers="conv2d", truth=_truth(choose), peer_truth=_peer_truth, plain=False,
                eager=False)  # fmt: skip


add(_work("conv2d_packed", best, "channels last, weights packed"), _work("conv2d_f43", _only(WINOGRAD4), "by F(4,3)"),
    _work("conv2d_f23", _only(WINOGRAD2), "by F(2,3)"), _work("conv2d_exact", exact, "without Winograd"))  # fmt: skip
