"""Reductions, argmax and friends, running sums, sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....core.dims import product
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ..call import Call, axis_of, rank_of, register
from ..values import numbers, settled
from .arithmetic import here

_SINCE = {"ReduceSum": 13}  # the opset in which axes became an input; 18 for the others


def _reduction(name: str, plain: Callable[..., Any], traced: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> None:
    @register(name)
    def _(c: Call, x: Any, axes: Any = None) -> Any:
        rank = rank_of(x)
        c.ignore("noop_with_empty_axes", "keepdims")
        given = c.ints("axes") if c.opset < _SINCE.get(name, 18) else () if axes is None else tuple(c.sizes(axes, "axes"))
        if not given and c.get("noop_with_empty_axes", 0):
            return x if name not in _POINT else _POINT[name](c.tensor(x))
        dims = tuple(sorted({axis_of(c, a, rank) for a in given})) if given else tuple(range(rank))
        keep = bool(c.get("keepdims", 1))
        if here(x) is not None and plain is not None:
            with np.errstate(all="ignore"):
                return settled(plain(x, axis=dims, keepdims=keep))
        t = c.tensor(x)
        if not t.dtype.is_float and name in _OF_INTEGERS:
            return of_integers(c, t, dims, keep, _OF_INTEGERS[name])
        if name in ("ReduceMax", "ReduceMin") and any(t.shape[d] == 0 for d in dims):
            nothing = np.asarray(-np.inf if name == "ReduceMax" else np.inf, np.float32)
            return c.tensor(nothing).expand(*[1 if d in dims else s for d, s in enumerate(t.shape) if keep or d not in dims])
        return traced(t, dims, keep).to(t.dtype)


_OF_INTEGERS = {"ReduceSum": "sum", "ReduceProd": "prod", "ReduceMax": "max", "ReduceMin": "min"}


def of_integers(c: Call, x: Tensor, dims: tuple[int, ...], keep: bool, kind: str) -> Tensor:
    """Exact: the last of the running sums (or products), the first of the largest, along the reduced dimensions as one."""
    rest = [d for d in range(x.ndim) if d not in dims]
    flat = x.permute((*rest, *dims)).reshape(*[x.shape[d] for d in rest], product(tuple(x.shape[d] for d in dims)))
    axis, n = len(rest), flat.shape[-1]
    if x.dtype == DType.bool:
        return of_integers(c, x.to(DType.uint8), dims, keep, kind).to(DType.bool)
    if kind in ("max", "min"):
        y = ops.topk(flat, 1, axis, kind == "max")[0]
    else:
        wide = flat if flat.dtype in (DType.int32, DType.int64) else flat.to(DType.int32)
        sums = (ops.cumsum if kind == "sum" else ops.cumprod)(wide, axis)
        y = apply("slice", sums, axis=axis, start=n - 1, length=1, step=1).to(x.dtype)
    return y.reshape(*[1 if d in dims else s for d, s in enumerate(x.shape) if keep or d not in dims])


_POINT: dict[str, Callable[[Tensor], Tensor]] = {
    "ReduceL1": ops.abs, "ReduceL2": ops.abs, "ReduceSumSquare": ops.square, "ReduceLogSum": ops.log,
}  # fmt: skip

_reduction("ReduceSum", np.sum, lambda x, d, k: x.sum(d, k))
_reduction("ReduceMean", np.mean, lambda x, d, k: x.mean(d, k))
_reduction("ReduceMax", np.max, lambda x, d, k: x.max(d, k))
_reduction("ReduceMin", np.min, lambda x, d, k: x.min(d, k))
_reduction("ReduceProd", np.prod, lambda x, d, k: ops.prod(x, d, k))
_reduction("ReduceL1", lambda x, **a: np.abs(x).sum(**a), lambda x, d, k: x.abs().sum(d, k))
_reduction("ReduceL2", lambda x, **a: np.sqrt(np.square(x).sum(**a)), lambda x, d, k: (x * x).sum(d, k).sqrt())
_reduction("ReduceSumSquare", lambda x, **a: np.square(x).sum(**a), lambda x, d, k: (x * x).sum(d, k))
_reduction("ReduceLogSum", lambda x, **a: np.log(x.sum(**a)), lambda x, d, k: x.sum(d, k).log())
_reduction("ReduceLogSumExp", lambda x, **a: np.log(np.exp(x.astype(np.float64)).sum(**a)).astype(x.dtype), lambda x, d, k: ops.logsumexp(x, d, k))


def _arg(name: str, traced: Callable[..., Tensor]) -> None:
    @register(name)
    def _(c: Call, x: Any) -> Any:
        return traced(c.tensor(x), axis_of(c, c.get("axis", 0), rank_of(x)), bool(c.get("keepdims", 1)), bool(c.get("select_last_index", 0)))


_arg("ArgMax", ops.argmax)
_arg("ArgMin", ops.argmin)


@register("CumSum")
def _(c: Call, x: Any, axis: Any) -> Any:
    d = axis_of(c, int(c.number(axis, "axis")), rank_of(x))
    c.ignore("exclusive", "reverse")
    array = numbers(x)
    if array is not None and array.dtype.kind in "iu" and not c.get("exclusive", 0) and not c.get("reverse", 0):
        return np.cumsum(array, d, dtype=array.dtype)
    return ops.cumsum(c.tensor(x), d, bool(c.get("exclusive", 0)), bool(c.get("reverse", 0)))


@register("CumProd")
def _(c: Call, x: Any, axis: Any) -> Any:
    return ops.cumprod(c.tensor(x), axis_of(c, int(c.number(axis, "axis")), rank_of(x)), bool(c.get("exclusive", 0)), bool(c.get("reverse", 0)))


@register("TopK")
def _(c: Call, x: Any, k: Any = None) -> Any:
    n = int(c.get("k")) if c.opset < 10 else int(c.number(k, "K"))
    return ops.topk(c.tensor(x), n, axis_of(c, c.get("axis", -1), rank_of(x)), bool(c.get("largest", 1)), bool(c.get("sorted", 1)))
