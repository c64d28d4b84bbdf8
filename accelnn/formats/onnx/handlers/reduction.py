"""Reductions, argmax and friends, running sums, sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import ops
from ....core.dims import product
from ....core.dtypes import DType
from ....core.tensor import Tensor
from ....ops.arithmetic import calculate
from ..call import Call, axis_of, measured, rank_of, register
from ..exact import is_narrow, ordered, reduced, summable
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
        if not is_narrow(t.dtype) or (name in ("ReduceMax", "ReduceMin") and any(t.shape[d] == 0 for d in dims)):
            return _EXACT[name](t, dims, keep)
        if name == "ReduceLogSumExp" and any(t.shape[d] == 0 for d in dims):
            return t.sum(dims, keep).log()
        return traced(t.float(), dims, keep).to(t.dtype)


def _root(x: Tensor) -> Tensor:
    """The integer part for integers, as numpy casts it."""
    return calculate("sqrt", x.to(DType.float64)).to(x.dtype)


def _mean(x: Tensor, d: tuple[int, ...], k: bool) -> Tensor:
    count: Any = product(tuple(x.shape[i] for i in d))
    return calculate("div", reduced(x, d, k, "sum"), measured(np.asarray(count, object).reshape(())).to(x.dtype))


def _log_sum_exp(x: Tensor, d: tuple[int, ...], k: bool) -> Tensor:
    wide = x.to(DType.float64)
    most = reduced(wide, d, True, "max")
    total = calculate("add", calculate("log", reduced(calculate("exp", calculate("sub", wide, most)), d, True, "sum")), most)
    return total.reshape(*[1 if i in d else s for i, s in enumerate(x.shape) if k or i not in d]).to(x.dtype)


# The same of integers and float64, in their own type.
_EXACT: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "ReduceSum": lambda x, d, k: reduced(x, d, k, "sum"), "ReduceProd": lambda x, d, k: reduced(x, d, k, "prod"),
    "ReduceMax": lambda x, d, k: reduced(x, d, k, "max"), "ReduceMin": lambda x, d, k: reduced(x, d, k, "min"),
    "ReduceL1": lambda x, d, k: reduced(calculate("abs", x), d, k, "sum"), "ReduceSumSquare": lambda x, d, k: reduced(calculate("mul", x, x), d, k, "sum"),
    "ReduceL2": lambda x, d, k: _root(reduced(calculate("mul", x, x), d, k, "sum")), "ReduceMean": _mean, "ReduceLogSumExp": _log_sum_exp,
    "ReduceLogSum": lambda x, d, k: calculate("log", reduced(x, d, k, "sum").to(DType.float64)).to(x.dtype),
}  # fmt: skip
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
        axis, keep, last = axis_of(c, c.get("axis", 0), rank_of(x)), bool(c.get("keepdims", 1)), bool(c.get("select_last_index", 0))
        return ordered(c.tensor(x), lambda t: (t, traced(t, axis, keep, last)))[1]


_arg("ArgMax", ops.argmax)
_arg("ArgMin", ops.argmin)


@register("CumSum")
def _(c: Call, x: Any, axis: Any) -> Any:
    d = axis_of(c, int(c.number(axis, "axis")), rank_of(x))
    c.ignore("exclusive", "reverse")
    array = numbers(x)
    if array is not None and array.dtype.kind in "iu" and not c.get("exclusive", 0) and not c.get("reverse", 0):
        return np.cumsum(array, d, dtype=array.dtype)
    return _running(ops.cumsum, c, c.tensor(x), d)


def _running(f: Callable[..., Tensor], c: Call, x: Tensor, axis: int) -> Tensor:
    wide = x.float() if is_narrow(x.dtype) else summable(x)
    return f(wide, axis, bool(c.get("exclusive", 0)), bool(c.get("reverse", 0))).to(x.dtype)


@register("CumProd")
def _(c: Call, x: Any, axis: Any) -> Any:
    return _running(ops.cumprod, c, c.tensor(x), axis_of(c, int(c.number(axis, "axis")), rank_of(x)))


@register("TopK")
def _(c: Call, x: Any, k: Any = None) -> Any:
    n = int(c.get("k")) if c.opset < 10 else int(c.number(k, "K"))
    axis, largest, in_order = axis_of(c, c.get("axis", -1), rank_of(x)), bool(c.get("largest", 1)), bool(c.get("sorted", 1))
    return ordered(c.tensor(x), lambda t: ops.topk(t, n, axis, largest, in_order))
