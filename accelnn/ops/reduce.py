"""Reductions over any set of dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import Shape, product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .matmul import gamma

KINDS = ("sum", "mean", "max", "min", "prod")


def _shape(x: Spec, axes: tuple[int, ...], keepdim: bool) -> Spec:
    if x.dtype != DType.float32:
        raise DTypeError(f"reductions take float32, not {x.dtype.name}; use .to(float32)")
    if any(not 0 <= a < len(x.shape) for a in axes) or len(set(axes)) != len(axes):
        raise ShapeError(f"reduce over {axes} of {x}")
    return Spec(tuple(1 if i in axes else s for i, s in enumerate(x.shape) if keepdim or i not in axes), x.dtype)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    cases: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((5,), (0,)), ((3, 4), (1,)), ((64, 17), (0,)), ((2, 3, 5, 7), (0, 2, 3)), ((4, 33), (0, 1)),
                                                  ((2, 3, 4), (1,)), ((1000,), (0,)), ((2, 3), ())]  # fmt: skip
    return [((rng.normal(size=s).astype(np.float32),), {"axes": a, "keepdim": k}) for s, a in cases for k in (False, True)]


def _cost(x: Spec, **_: Any) -> tuple[int, int]:
    n: Any = product(x.shape)
    return n, 4 * n


def _reducer(kind: str, numpy_function: Any) -> Op:
    class Reduce(Op):
        """A reduction: the kernel's `kind` attribute comes from the op's name."""

        def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
            return {"kind": KINDS.index(kind), "axes": list(attrs["axes"]), "keepdim": int(attrs["keepdim"])}

    def bound(x: Any, axes: Shape, keepdim: bool) -> Any:
        """gamma_n sum|x|; maxima and minima are exact."""
        size, n = np.abs(x).sum(axis=tuple(axes), keepdims=keepdim), max(int(np.prod([x.shape[a] for a in axes])), 1)
        return {"sum": gamma(n + 1) * size, "mean": gamma(n + 2) * size / n,
                "prod": gamma(n) * np.abs(numpy_function(x, axis=tuple(axes), keepdims=keepdim))}.get(kind, 0 * size)

    return Reduce(kind, _shape, lambda x, axes, keepdim: numpy_function(x, axis=tuple(axes), keepdims=keepdim), kernel="reduce", strided=True,
                  samples=_samples, bound=bound, cost=_cost)  # fmt: skip


sum_ = _reducer("sum", np.sum)
mean = _reducer("mean", np.mean)
max_ = _reducer("max", np.max)
min_ = _reducer("min", np.min)
prod_ = _reducer("prod", np.prod)


def _keep(t: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The reduced tensor with its dimensions of size 1 back."""
    return t.reshape(*(1 if i in axes else s for i, s in enumerate(x.shape)))


@sum_.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axes: tuple[int, ...], keepdim: bool) -> Any:
    return _keep(dy, x, axes).expand(*x.shape)


@mean.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axes: tuple[int, ...], keepdim: bool) -> Any:
    n = product(tuple(x.shape[a] for a in axes))
    if not isinstance(n, int):
        raise ShapeError("the gradient of a mean over a dimension of unknown size")
    return (_keep(dy, x, axes) * (1.0 / max(n, 1))).expand(*x.shape)


def _extreme(dy: Tensor, x: Tensor, y: Tensor, axes: tuple[int, ...], keepdim: bool) -> Any:
    """Shared equally among ties, as numpy-style autograd does."""
    hit = (x == _keep(y, x, axes)).float()
    return hit * (_keep(dy, x, axes) / hit.sum(axes, keepdim=True))


@prod_.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axes: tuple[int, ...], keepdim: bool) -> Any:
    """What stands before times what stands behind: right where factors are 0 too."""
    kept = [i for i in range(x.ndim) if i not in axes]
    front = x.permute((*kept, *axes))
    flat = front.reshape(*(x.shape[i] for i in kept), -1)
    scans = [apply("cumprod", flat, axis=len(kept), exclusive=True, reverse=r) for r in (False, True)]
    others = (scans[0] * scans[1]).reshape(*front.shape)
    order = (*kept, *axes)
    return others.permute(tuple(order.index(i) for i in range(x.ndim))) * _keep(dy, x, axes)


max_.vjp(_extreme)
min_.vjp(_extreme)

