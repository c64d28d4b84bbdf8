"""Resampling. What the kernel (kernels/resize) does not do, antialiasing, crops and corners of fractional sizes, is a product with a matrix for each
dimension, whose rows are made here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .... import ops
from ....core.tensor import Tensor
from ..call import Call, register
from ..values import numbers


def _there(x: Any) -> bool:
    """Whether an input is given; old exporters leave one out by giving nothing of it."""
    array = numbers(x)
    return x is not None and (array is None or array.size > 0)


@register("Upsample", widened=True)
@register("Resize", widened=True)
def _(c: Call, x: Any, *rest: Any) -> Any:
    x = c.tensor(x)
    if c.op == "Upsample" or c.opset < 11:
        scales = c.attrs.get("scales") if c.opset < 9 else c.numbers(rest[0], "scales")
        mode = {"bilinear": "linear"}.get(c.get("mode", "nearest"), c.get("mode", "nearest"))
        return ops.resize(x, None, [float(s) for s in scales or ()], mode, None, "asymmetric", "floor")
    region, given, target = (*rest, None, None, None)[:3]
    sizes = c.sizes(target, "sizes") if _there(target) else None
    scales = [float(s) for s in c.numbers(given, "scales")] if _there(given) and sizes is None else None
    coordinate, mode, axes = c.get("coordinate_transformation_mode", "half_pixel"), c.get("mode", "nearest"), list(c.ints("axes", range(x.ndim)))
    nearest, cubic, inside = c.get("nearest_mode", "round_prefer_floor"), float(c.get("cubic_coeff_a", -0.75)), bool(c.get("exclude_outside", 0))
    antialias, policy, outside = bool(c.get("antialias", 0)), c.get("keep_aspect_ratio_policy", "stretch"), float(c.get("extrapolation_value", 0.0))
    if sizes is not None and policy != "stretch":
        ratios = [s / x.shape[a] for s, a in zip(sizes, axes)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        sizes = [int(math.floor(ratio * x.shape[a] + 0.5)) for a in axes]
    cropped = coordinate == "tf_crop_and_resize"
    whole = coordinate != "align_corners" or scales is None or all(isinstance(x.shape[a], int) and (x.shape[a] * s) % 1 == 0 for a, s in zip(axes, scales))
    if not (antialias or cropped) and whole:
        return ops.resize(x, sizes, scales, mode, axes, coordinate, nearest, cubic, inside)
    if not all(isinstance(x.shape[a], int) for a in axes) or (sizes is not None and not all(isinstance(s, int) for s in sizes)):
        raise c.refuse("antialias, tf_crop_and_resize or corners of fractional sizes over a dimension of unknown size")
    roi = [float(v) for v in c.numbers(region, "roi")] if cropped else []
    y, beyond = x, []
    for i, a in enumerate(axes):
        n: Any = x.shape[a]
        factor = sizes[i] / n if sizes is not None else (scales or [])[i]
        count = sizes[i] if sizes is not None else math.floor(n * factor)
        at = _places(n, count, factor, coordinate, roi[i :: len(axes)])
        matrix = _rows(n, at, factor, mode, nearest, cubic, inside, antialias)
        if cropped:
            beyond.append(((at < 0) | (at > n - 1), a))
        if not np.array_equal(matrix, np.eye(n)):
            y = _along(c, y, a, matrix)
    if any(b.any() for b, _ in beyond):
        masks = [b.reshape([-1 if d == a else 1 for d in range(x.ndim)]) for b, a in beyond]
        mask = c.tensor(np.asarray(np.any(np.broadcast_arrays(*masks), axis=0)))
        y = ops.where(mask.expand(*y.shape), outside, y)
    return y


def _along(c: Call, x: Tensor, axis: int, matrix: np.ndarray) -> Tensor:
    """y[.., i, ..] = sum_j matrix[i, j] x[.., j, ..]"""
    last = x.ndim - 1
    order = [*(d for d in range(x.ndim) if d != axis), axis]
    back = [order.index(d) for d in range(x.ndim)]
    weights = c.tensor(np.ascontiguousarray(matrix.T, np.float32))
    return x @ weights if axis == last else (x.permute(order) @ weights).permute(back)


def _places(n: int, count: int, scale: float, coordinate: str, roi: list[float]) -> np.ndarray:
    """Where in x the centre of every element of the result lies."""
    at, width = np.arange(count, dtype=np.float64), scale * n
    if coordinate == "align_corners":
        return at * 0 if width == 1 else at * (n - 1) / (width - 1)
    if coordinate == "tf_crop_and_resize":
        start, end = roi
        return start * (n - 1) + ((end - start) * (n - 1) / 2 + 0 * at if width == 1 else at * (end - start) * (n - 1) / (width - 1))
    if coordinate == "asymmetric":
        return at / scale
    if coordinate == "pytorch_half_pixel" and width == 1:
        return at * 0 - 0.5
    shift = n / 2 * (1 - count / width) if coordinate == "half_pixel_symmetric" else 0.0
    return shift + (at + 0.5) / scale - 0.5


def _rows(n: int, at: np.ndarray, scale: float, mode: str, nearest: str, cubic: float, inside: bool, antialias: bool) -> np.ndarray:
    """[count, n]: what every element of x adds to every element of the result; beyond its ends x stays what it is there."""
    left = np.ceil(at) - 1
    ratio = at - left                                     # in (0, 1]
    squeeze = min(scale, 1.0) if antialias else 1.0       # filters become wider where the picture becomes smaller
    reach = {"linear": 1, "cubic": 2}.get(mode, 1)
    first = math.floor(-reach / squeeze) + 1
    taps = np.arange(first, 2 - first)
    t = np.abs(taps - ratio[:, None]) * squeeze
    if mode == "cubic":
        near, far = ((cubic + 2) * t - (cubic + 3)) * t * t + 1, ((cubic * t - 5 * cubic) * t + 8 * cubic) * t - 4 * cubic
        weights = np.where(t <= 1, near, np.where(t < 2, far, 0.0))
    elif mode == "linear":
        weights = np.clip(1 - t, 0, 1)
    else:
        up = {"floor": ratio == 1, "ceil": ratio > 0, "round_prefer_floor": ratio > 0.5, "round_prefer_ceil": ratio >= 0.5}[nearest]
        weights = np.stack([~up, up], 1).astype(np.float64)
    places = (left[:, None] + taps).astype(np.int64)
    if inside:
        weights = np.where((places >= 0) & (places < n), weights, 0.0)
    if inside or antialias:
        weights = weights / weights.sum(1, keepdims=True)
    rows = np.zeros((len(at), n))
    np.add.at(rows, (np.arange(len(at))[:, None], np.clip(places, 0, n - 1)), weights)
    return rows
