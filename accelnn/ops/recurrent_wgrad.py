"""The gradients of recurrent layers' weights, from the cotangents of their sums over whole sequences (kernels/recurrent/wgrad.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import DType
from ..core.errors import ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor
from .arrange import cat
from .matmul import gamma


def rows_of(t: Tensor, direction: int) -> Tensor:
    """[D, T, B, n] -> [T * B, n]."""
    return (t if t.shape[0] == 1 else t[direction]).reshape(t.shape[1] * t.shape[2], t.shape[3])


def _shape(di: Spec, x: Spec, before: Spec, dj: Spec | None = None, batch_first: int = 0) -> Any:
    f32 = DType.float32
    if len(di.shape) != 4 or len(x.shape) != 3 or len(before.shape) != 4 or {di.dtype, x.dtype, before.dtype} != {f32}:
        raise ShapeError(f"recurrent_wgrad: di float32[D, T, B, N], x [T, B, I] and before [D, T, B, P] expected, not {di}, {x}, {before}")
    many, steps, batch, n = di.shape
    if x.shape[:2] != ((batch, steps) if batch_first else (steps, batch)) or before.shape[:3] != di.shape[:3] or dj not in (None, di):
        raise ShapeError(f"recurrent_wgrad: dj {dj}, x {x} and before {before} do not fit {di}")
    bias = Spec((many, n), f32)
    found = (Spec((many, n, x.shape[2]), f32), Spec((many, n, before.shape[3]), f32), bias)
    return found if dj is None else (*found, bias)


def _reference(di: Any, x: Any, before: Any, dj: Any = None, batch_first: int = 0) -> Any:
    x = x.transpose(1, 0, 2) if batch_first else x
    rows = x.reshape(x.shape[0] * x.shape[1], x.shape[2])
    outer = di if dj is None else dj
    flat = [a.reshape(a.shape[0], a.shape[1] * a.shape[2], a.shape[3]) for a in (di, outer, before)]
    found = (np.stack([a.T @ rows for a in flat[0]]), np.stack([a.T @ b for a, b in zip(flat[1], flat[2])]), flat[0].sum(1))
    return found if dj is None else (*found, flat[1].sum(1))


def _composition(di: Tensor, x: Tensor, before: Tensor, dj: Tensor | None = None, batch_first: int = 0) -> Any:
    steps_first = x.transpose(0, 1) if batch_first else x
    rows = steps_first.reshape(steps_first.shape[0] * steps_first.shape[1], x.shape[2])
    outer = di if dj is None else dj
    many = range(di.shape[0])  # type: ignore[arg-type]
    products = ([rows_of(di, d).mT @ rows for d in many], [rows_of(outer, d).mT @ rows_of(before, d) for d in many])
    found = [cat([p.unsqueeze(0) for p in one]) for one in products]
    found += [cat([rows_of(a, d).sum(0).unsqueeze(0) for d in many]) for a in (di, outer)[: 1 if dj is None else 2]]
    return tuple(found)


def _bound(di: Any, x: Any, before: Any, dj: Any = None, batch_first: int = 0) -> Any:
    """gamma_K |A| |B|."""
    sizes = _reference(np.abs(di), np.abs(x), np.abs(before), None if dj is None else np.abs(dj), batch_first)
    return tuple(gamma(di.shape[1] * di.shape[2]) * v for v in sizes)


def _cost(di: Spec, x: Spec, before: Spec, dj: Spec | None = None, batch_first: int = 0) -> Any:
    many, steps, batch, n = di.shape
    wide: Any = x.shape[2] + before.shape[3]
    rows: Any = many * steps * batch
    return 2 * rows * n * wide, 4 * (rows * (n * (1 if dj is None else 2) + wide) + many * n * wide)


# (T, B, I, P, N, directions)
_SIZES = ((1, 1, 1, 1, 1, 1), (5, 3, 7, 5, 20, 2), (3, 11, 28, 17, 36, 1), (29, 15, 18, 33, 140, 1), (0, 2, 3, 4, 8, 1), (2, 2, 0, 4, 12, 1))


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (steps, batch, inputs, size, n, many) in enumerate(_SIZES):
        di, dj, before = (rng.normal(size=(many, steps, batch, k)).astype(np.float32) for k in (n, n, size))
        x = rng.normal(size=(steps, batch, inputs)).astype(np.float32)
        found += [((di, x, before, dj if i % 2 else None), {}), ((di, np.ascontiguousarray(x.transpose(1, 0, 2)), before), {"batch_first": 1})]
    return found


recurrent_wgrad = Op("recurrent_wgrad", _shape, _reference, samples=_samples, composition=_composition, cost=_cost, bound=_bound)
