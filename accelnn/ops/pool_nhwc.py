"""Pooling on [N, H, W, C] (kernels/pool2d_nhwc/pool2d_nhwc.h). Made by passes/layout.py, after differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.graph import Spec
from ..core.registry import Op
from .matmul import gamma
from .pool import _average_reference, _max_reference, _pooled, window

MAXIMUM, MEAN, MEAN_INSIDE = range(3)


def _shape(x: Spec, kind: int = 0, **w: int) -> Spec:
    known = (DType.float32, DType.uint8) if kind == MAXIMUM else (DType.float32,)
    if len(x.shape) == 4:
        n, c, h, width = (x.shape[a] for a in (0, 3, 1, 2))
        y = _pooled("pool2d_nhwc", Spec((n, c, h, width), x.dtype), w, known)
        return Spec((y[0], y[2], y[3], y[1]), x.dtype)
    return Spec(_pooled("pool2d_nhwc", x, w, known), x.dtype)      # which says what is wrong


def _reference(x: Any, kind: int = 0, **w: int) -> Any:
    first = x.transpose(0, 3, 1, 2)
    y = _max_reference(first, **w)[0] if kind == MAXIMUM else _average_reference(first, int(kind == MEAN), **w)
    return y.transpose(0, 2, 3, 1)


def _bound(x: Any, kind: int = 0, **w: int) -> Any:
    size = _reference(np.abs(x), MEAN if kind == MAXIMUM else kind, **w)
    return 0 * size if kind == MAXIMUM else gamma(w["kernel_h"] * w["kernel_w"] + 1) * size


def _samples() -> Any:
    rng = np.random.default_rng(0)
    cases = (((1, 4, 4, 1), (2, None, 0)), ((2, 9, 8, 17), (3, 2, 1)), ((1, 6, 5, 40), ((2, 3), (1, 2), (0, 1))), ((0, 4, 4, 3), (2, 2, 0)))
    floats = [((rng.normal(size=s).astype(np.float32),), {**window(*a), "kind": kind}) for s, a in cases for kind in range(3)]
    wide = (((1, 4, 5, 70), (3, 1, 1)), ((1, 7, 6, 64), (2, None, 0)))
    return [*floats, *(((rng.integers(0, 256, s).astype(np.uint8),), {**window(*a), "kind": MAXIMUM}) for s, a in (*cases, *wide))]


pool2d_nhwc = Op("pool2d_nhwc", _shape, _reference, samples=_samples, bound=_bound)
