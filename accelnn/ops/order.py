"""Which element is the largest, the k largest, sorted rows, running sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, apply_all
from .arrange import axis_of, cut, place
from .elementwise import where
from .indices import zeros_of
from .matmul import gamma

ORDERED = (DType.float32, DType.int8, DType.uint8, DType.int32, DType.int64)
ADDED = (DType.float32, DType.int32, DType.int64, DType.float64)


def _takes(name: str, x: Spec, dtypes: tuple[DType, ...]) -> None:
    if x.dtype not in dtypes:
        raise DTypeError(f"{name}: {', '.join(d.name for d in dtypes)} expected, not {x.dtype.name}")


# argmax


def _argmax_shape(x: Spec, axis: int, keepdim: bool, least: bool, last: bool) -> Spec:
    _takes("argmax", x, ORDERED)
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"argmax: dimension {axis} of {x}")
    return Spec((*x.shape[:axis], *((1,) if keepdim else ()), *x.shape[axis + 1 :]), DType.int64)


def _argmax_reference(x: Any, axis: int, keepdim: bool, least: bool, last: bool) -> Any:
    x = np.flip(x, axis) if last else x
    found = (np.argmin if least else np.argmax)(x, axis)
    found = x.shape[axis] - 1 - found if last else found
    return np.expand_dims(found, axis) if keepdim else found


def _some(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    """Numbers of which some are equal."""
    if dtype == np.float32:
        return np.where(rng.random(shape) < 0.3, rng.integers(-2, 3, shape), rng.normal(size=shape)).astype(dtype)
    return rng.integers(0 if dtype == np.uint8 else -9, 9, shape).astype(dtype)


def _argmax_samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    cases: Any = (((5,), 0), ((3, 10), 1), ((4, 17), 0), ((2, 3, 70), 2), ((2, 300, 33), 1), ((1000,), 0), ((3, 0), 0), ((2, 1, 4), 1))
    for i, (shape, axis) in enumerate(cases):
        for least in (False, True):
            found.append(((_some(rng, shape, np.float32),), {"axis": axis, "keepdim": bool(i % 2), "least": least, "last": i % 3 == 2}))
    for dtype in (np.int8, np.uint8, np.int32, np.int64):
        found += [((_some(rng, (4, 19), dtype),), {"axis": a, "keepdim": False, "least": bool(a), "last": last}) for a in (0, 1) for last in (False, True)]
    return found


argmax_op = Op("argmax", _argmax_shape, _argmax_reference, samples=_argmax_samples)


# topk, sort


def _topk_shape(x: Spec, k: AnySize, largest: bool) -> tuple[Spec, Spec]:
    _takes("topk", x, ORDERED)
    if not x.shape or not 0 <= k <= x.shape[-1]:
        raise ShapeError(f"topk: {k} elements of the last dimension of {x}")
    shape = (*x.shape[:-1], k)
    return Spec(shape, x.dtype), Spec(shape, DType.int64)


def _topk_reference(x: Any, k: int, largest: bool) -> Any:
    if largest:  # turned round twice, so that equal elements keep their order
        places = x.shape[-1] - 1 - np.argsort(x[..., ::-1], -1, kind="stable")[..., ::-1]
    else:
        places = np.argsort(x, -1, kind="stable")
    places = places[..., :k]
    return np.take_along_axis(x, places, -1), places


def _topk_samples() -> Any:
    rng = np.random.default_rng(0)
    cases: Any = (((7,), 7), ((3, 10), 3), ((2, 200), 5), ((2, 200), 130), ((3, 1000), 1000), ((2, 1000), 40), ((4, 1), 1), ((0, 3), 2), ((2, 0), 0),
                  ((5, 3), 0))  # fmt: skip
    found: list[Any] = []
    for shape, k in cases:
        x = (rng.permutation(int(np.prod(shape))).reshape(shape) * 0.0078125 - 1).astype(np.float32)
        found += [((x,), {"k": k, "largest": largest}) for largest in (True, False)]
    for dtype in (np.int8, np.uint8, np.int32, np.int64):
        found += [((_some(rng, (3, 300), dtype),), {"k": k, "largest": largest}) for k in (4, 200) for largest in (True, False)]
    return found


topk_op = Op("topk", _topk_shape, _topk_reference, samples=_topk_samples)


@topk_op.vjp
def _(dy: Tensor | None, dplaces: None, x: Tensor, values: Tensor, places: Tensor, k: int, largest: bool) -> Any:
    return apply("scatter", zeros_of(x), places, dy, axis=x.ndim - 1, reduce=1)


# Running sums and products


def _scan_shape(x: Spec, axis: int, exclusive: bool, reverse: bool) -> Spec:
    _takes("cumulative sums and products", x, ADDED)
    if not 0 <= axis < len(x.shape):
        raise ShapeError(f"cumulative sum or product: dimension {axis} of {x}")
    return x


def _scan_reference(function: Any, identity: int) -> Any:
    def reference(x: Any, axis: int, exclusive: bool, reverse: bool) -> Any:
        x = np.flip(x, axis) if reverse else x
        y = function(x, axis=axis, dtype=x.dtype)
        if exclusive and x.shape[axis]:
            y = np.concatenate([np.full_like(np.take(y, [0], axis), identity), np.take(y, range(x.shape[axis] - 1), axis)], axis)
        return np.flip(y, axis) if reverse else y

    return reference


def _scan_samples(low: float, high: float) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        cases: Any = (((5,), 0), ((3, 16), 1), ((4, 33), 0), ((2, 3, 70), 2), ((2, 100, 17), 1), ((3, 0), 1), ((2, 1, 4), 1), ((2, 17), 1))
        found: list[Any] = []
        for i, (shape, axis) in enumerate(cases):
            flags = [(e, r) for e in (False, True) for r in (False, True)]
            for exclusive, reverse in flags if i < 3 else [flags[i % 4]]:
                found.append(((rng.uniform(low, high, shape).astype(np.float32),), {"axis": axis, "exclusive": exclusive, "reverse": reverse}))
        for dtype in (np.int32, np.int64, np.float64):
            for axis, reverse in ((0, False), (0, True), (1, False), (1, True)):
                x = rng.uniform(low, high, (3, 19)) if dtype == np.float64 else rng.integers(-9, 9, (3, 19))
                found.append(((x.astype(dtype),), {"axis": axis, "exclusive": bool(axis), "reverse": reverse}))
        return found

    return samples


class _Scan(Op):
    """The kernel's `kind` comes from the op's name."""

    def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
        return {"kind": int(self.name == "cumprod"), **attrs}


_sums, _products = _scan_reference(np.cumsum, 0), _scan_reference(np.cumprod, 1)
cumsum_op = _Scan("cumsum", _scan_shape, _sums, kernel="cumulate", samples=_scan_samples(-2.0, 2.0),
                  bound=lambda x, axis, **flags: gamma(x.shape[axis] + 1) * _sums(np.abs(x), axis, **flags))  # fmt: skip
cumprod_op = _Scan("cumprod", _scan_shape, _products, kernel="cumulate", samples=_scan_samples(0.6, 1.5),
                   bound=lambda x, axis, **flags: gamma(x.shape[axis] + 1) * np.abs(_products(x, axis, **flags)))  # fmt: skip


def _scan(kind: str, x: Tensor, axis: int, exclusive: bool = False, reverse: bool = False) -> Tensor:
    return apply(kind, x, axis=axis, exclusive=exclusive, reverse=reverse)


@cumsum_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axis: int, exclusive: bool, reverse: bool) -> Any:
    return _scan("cumsum", dy, axis, exclusive, not reverse)


@cumprod_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axis: int, exclusive: bool, reverse: bool) -> Any:
    """Right where some x are 0 too: behind the first zero products vanish, so only that one x has terms there, those up to the second zero."""
    n = x.shape[axis]
    if exclusive:  # the same as the inclusive one on cotangents that stand one further
        before, behind = [0] * x.ndim, [0] * x.ndim
        (before if reverse else behind)[axis] = 1
        dy = place(cut(dy, axis, 0, n - 1) if reverse else cut(dy, axis, 1, n - 1), before, behind) if n != 0 else dy
        y = _scan("cumprod", x, axis, False, reverse)
    none = (x == 0.0).float()
    seen = _scan("cumsum", none, axis, False, reverse)
    first = none * (seen == 1.0).float()
    others = where(first, 1.0, x)
    plain = _scan("cumsum", dy * y, axis, False, not reverse) / where(none, 1.0, x)
    at_zero = _scan("cumsum", dy * _scan("cumprod", others, axis, False, reverse), axis, False, not reverse)
    return where(seen == 0.0, plain, first * at_zero)


# What users call


def _last(x: Tensor, dim: int) -> Tensor:
    return x if dim == x.ndim - 1 else x.transpose(dim, -1)


def _arg(x: Tensor, dim: int | None, keepdim: bool, least: bool, last: bool) -> Tensor:
    if dim is None:
        if keepdim:
            raise ShapeError("argmax: keepdim wants a dim")
        return apply("argmax", x.reshape(-1), axis=0, keepdim=False, least=least, last=last)
    return apply("argmax", x, axis=axis_of("argmax", dim, x.ndim), keepdim=bool(keepdim), least=least, last=last)


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False, select_last_index: bool = False) -> Tensor:
    """int64: where the largest element of `dim` (without one: of x as a row) stands; the first one if several are equal. A NaN is the largest."""
    return _arg(x, dim, keepdim, False, select_last_index)


def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False, select_last_index: bool = False) -> Tensor:
    """int64: where the smallest element stands. A NaN is the smallest."""
    return _arg(x, dim, keepdim, True, select_last_index)


def topk(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest elements of `dim` (or smallest), in order, and their places (int64); equal ones in the order of their places. Always sorted."""
    dim = axis_of("topk", dim, x.ndim)
    values, places = apply_all("topk", _last(x, dim), k=k, largest=bool(largest))
    return _last(values, dim), _last(places, dim)


def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> tuple[Tensor, Tensor]:
    """The elements of `dim` in order, and where they stood (int64); equal ones keep their order. NaN is larger than everything."""
    dim = axis_of("sort", dim, x.ndim)
    values, places = apply_all("topk", _last(x, dim), k=x.shape[dim], largest=bool(descending))
    return _last(values, dim), _last(places, dim)


def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The places of sort()."""
    return sort(x, dim, descending)[1]


def cumsum(x: Tensor, dim: int, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Sums of what comes up to each element (ONNX CumSum: `exclusive` leaves the element itself out, `reverse` begins at the end). float32, int32, int64."""
    return _scan("cumsum", x, axis_of("cumsum", dim, x.ndim), bool(exclusive), bool(reverse))


def cumprod(x: Tensor, dim: int, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Products of what comes up to each element."""
    return _scan("cumprod", x, axis_of("cumprod", dim, x.ndim), bool(exclusive), bool(reverse))


__all__ = ["argmax", "argmin", "argsort", "cumprod", "cumsum", "sort", "topk"]
