"""Reductions, argmax and friends, running sums, sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .... import ops
from ....core.dims import product
from ....core.dtypes import DType
from ....core.tensor import Tensor, apply
from ..call import Call, axes_of, register


def _flat(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The dimensions as one, the last."""
    rest = [d for d in range(x.ndim) if d not in dims]
    return x.permute((*rest, *dims)).reshape(*[x.shape[d] for d in rest], product(tuple(x.shape[d] for d in dims)))


def _kept(x: Tensor, dims: tuple[int, ...], keep: bool) -> list[Any]:
    return [1 if d in dims else s for d, s in enumerate(x.shape) if keep or d not in dims]


def _of_integers(x: Tensor, dims: tuple[int, ...], keep: bool, kind: str) -> Tensor:
    """Exact: the last of the running sums (or products), the first of the largest."""
    if kind == "sum":
        return x.sum(dims, keep)
    flat = _flat(x, dims)
    axis, n = flat.ndim - 1, flat.shape[-1]
    if kind in ("max", "min"):
        y = ops.topk(flat, 1, axis, kind == "max")[0]
    else:
        y = apply("slice", ops.cumprod(flat, axis), axis=axis, start=n - 1, length=1, step=1)
    return y.reshape(*_kept(x, dims, keep))


def _reduced(c: Call, x: Tensor, dim: Any, keep: bool, kind: str) -> Tensor:
    dims, target = axes_of(c, dim, x.ndim), c.dtype
    if not dims:
        return x.to(target)
    if kind == "mean" or x.dtype.is_float or target.is_float:
        return ops.prod(x.float(), dims, keep).to(target) if kind == "prod" else getattr(x.float(), kind)(dims, keep).to(target)
    return _of_integers(x.to(target if target in (DType.int32, DType.int64) else DType.int32), dims, keep, kind).to(target)


def _reduction(kind: str, *names: str) -> None:
    @register(*names)
    def _(c: Call, self: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        return _reduced(c, self, dim, keepdim, kind)


_reduction("sum", "aten.sum", "aten.sum.dim_IntList")
_reduction("mean", "aten.mean", "aten.mean.dim")
_reduction("prod", "aten.prod", "aten.prod.dim_int")
_reduction("max", "aten.amax", "aten.max")
_reduction("min", "aten.amin", "aten.min")


def _extreme(largest: bool, name: str) -> None:
    @register(name)
    def _(c: Call, self: Any, dim: int, keepdim: bool = False) -> Any:
        return _reduced(c, self, dim, keepdim, "max" if largest else "min"), (ops.argmax if largest else ops.argmin)(self, dim, keepdim)


_extreme(True, "aten.max.dim")
_extreme(False, "aten.min.dim")


@register("aten.argmax")
def _(c: Call, self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return ops.argmax(self, dim, keepdim)


@register("aten.argmin")
def _(c: Call, self: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return ops.argmin(self, dim, keepdim)


def _var(c: Call, x: Tensor, dim: Any, unbiased: Any, correction: Any, keep: bool) -> Tensor:
    dims = axes_of(c, dim, x.ndim)
    less = (1 if unbiased is None else int(unbiased)) if correction is None else correction
    d = x - x.mean(dims, True)
    if less == 0:
        return (d * d).mean(dims, keep)  # over any number of elements, a known one or not
    return ops.var(x, dims, less, keep)


@register("aten.var.correction", "aten.var.dim", "aten.var")
def _(c: Call, self: Any, dim: Any = None, unbiased: Any = None, correction: Any = None, keepdim: bool = False) -> Any:
    return _var(c, self, dim, unbiased, correction, keepdim)


@register("aten.std.correction", "aten.std.dim", "aten.std")
def _(c: Call, self: Any, dim: Any = None, unbiased: Any = None, correction: Any = None, keepdim: bool = False) -> Any:
    return _var(c, self, dim, unbiased, correction, keepdim).sqrt()


@register("aten.var_mean.correction", "aten.var_mean.dim")
def _(c: Call, self: Any, dim: Any = None, unbiased: Any = None, correction: Any = None, keepdim: bool = False) -> Any:
    return _var(c, self, dim, unbiased, correction, keepdim), self.mean(axes_of(c, dim, self.ndim), keepdim)


@register("aten.logsumexp")
def _(c: Call, self: Any, dim: Any, keepdim: bool = False) -> Any:
    return ops.logsumexp(self, axes_of(c, dim, self.ndim), keepdim)


@register("aten.linalg_vector_norm")
def _(c: Call, self: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return ops.norm(self, float(ord), axes_of(c, dim, self.ndim), keepdim).to(c.dtype)


@register("aten.norm.ScalarOpt_dim", "aten.norm.Scalar")
def _(c: Call, self: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    return ops.norm(self, 2.0 if p is None else float(p), axes_of(c, dim, self.ndim), keepdim)


def _truths(name: str, f: Callable[..., Tensor]) -> None:
    @register(f"aten.{name}", f"aten.{name}.dim", f"aten.{name}.dims")
    def _(c: Call, self: Any, dim: Any = None, keepdim: bool = False) -> Any:
        x = (self if self.dtype.is_float else self.to(DType.bool)).float()
        return f(x, axes_of(c, dim, self.ndim), keepdim) if self.ndim else x != 0.0


_truths("any", ops.any)
_truths("all", ops.all)


@register("aten.cumsum")
def _(c: Call, self: Any, dim: int, dtype: Any = None) -> Any:
    return ops.cumsum(self.to(c.dtype), dim)


@register("aten.cumprod")
def _(c: Call, self: Any, dim: int, dtype: Any = None) -> Any:
    return ops.cumprod(self.to(c.dtype), dim)


@register("aten.topk")
def _(c: Call, self: Any, k: Any, dim: int = -1, largest: bool = True) -> Any:
    return ops.topk(self, k, dim, largest)


@register("aten.sort", "aten.sort.stable")
def _(c: Call, self: Any, dim: int = -1, descending: bool = False) -> Any:
    return ops.sort(self, dim, descending)


@register("aten.argsort", "aten.argsort.stable")
def _(c: Call, self: Any, dim: int = -1, descending: bool = False) -> Any:
    return ops.argsort(self, dim, descending)
