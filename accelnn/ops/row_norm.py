"""Normalization over the last dimensions: layer norm (Ba, Kiros, Hinton 2016, arXiv 1607.06450) and RMS norm (Zhang, Sennrich 2019, arXiv 1910.07467)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, apply_all
from .matmul import EPS, gamma


def only_float32(name: str, *specs: Spec | None) -> None:
    for s in specs:
        if s is not None and s.dtype != DType.float32:
            raise DTypeError(f"{name}: float32 expected, not {s}")


def _split(name: str, x: Spec, dims: int) -> tuple[Any, Any]:
    """Leading and normalized dimensions."""
    if not 1 <= dims <= len(x.shape):
        raise ShapeError(f"{name}: the last {dims} dimensions of {x}")
    inner = x.shape[len(x.shape) - dims :]
    if isinstance(product(inner), int) and product(inner) < 1:
        raise ShapeError(f"{name}: rows of {x} have no elements")
    return x.shape[: len(x.shape) - dims], inner


def _axes(x: Any, dims: int) -> tuple[int, ...]:
    return tuple(range(np.ndim(x) - dims, np.ndim(x)))


def _statistics(x: Any, dims: int, eps: float, rms: bool) -> tuple[Any, Any]:
    """mean (0 with rms) and rstd, with dimensions of size 1 in place of those they were taken over."""
    axes = _axes(x, dims)
    mean = np.zeros_like(x).mean(axes, keepdims=True) if rms else x.mean(axes, keepdims=True)
    return mean, 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)


def depth(n: int) -> int:
    """d of kernels/norm/layer_norm.h: the roundings that a term of a sum of n meets, at most."""
    return min(n, 4096) // 16 + 8


def _count(x: Any, dims: int) -> int:
    return int(np.prod(x.shape[x.ndim - dims :]))


def _z_error(x: Any, dims: int, eps: float, rms: bool) -> tuple[Any, Any, Any, int]:
    """z, its error, rstd, d."""
    mean, rstd = _statistics(x, dims, eps, rms)
    z, d = (x - mean) * rstd, depth(_count(x, dims))
    return z, gamma(d + 8) * (np.abs(z) + 1) + EPS * np.abs(mean) * rstd, rstd, d


class _RowNorm(Op):
    """layer_norm and rms_norm are one kernel."""

    rms: bool

    def kernel_attrs(self, attrs: dict[str, Any], n_inputs: int) -> dict[str, Any]:
        return {**super().kernel_attrs(attrs, n_inputs), "rms": int(self.rms)}


def _register(name: str, rms: bool) -> None:
    """`name` and `name`_grad."""
    outputs = 2 - rms

    def shape(x: Spec, weight: Spec | None = None, bias: Spec | None = None, dims: int = 1, eps: float = 1e-5) -> tuple[Spec, ...]:
        only_float32(name, x, weight, bias)
        rows, inner = _split(name, x, dims)
        if not eps >= 0:
            raise AttributeValueError(f"{name}: eps = {eps}; expected at least 0")
        for what, p in (("weight", weight), ("bias", bias)):
            if p is not None and p.shape != inner:
                raise ShapeError(f"{name}: a {what} of shape {p.shape} for rows of {inner}")
        return (x, *[Spec(rows, DType.float32)] * outputs)

    def reference(x: Any, weight: Any = None, bias: Any = None, dims: int = 1, eps: float = 1e-5) -> Any:
        mean, rstd = _statistics(x, dims, eps, rms)
        y = (x - mean) * rstd
        y = y if weight is None else y * weight
        saved = [s.reshape(x.shape[: x.ndim - dims]) for s in (rstd, mean)]
        return (y if bias is None else y + bias, *saved[:outputs])

    def bound(x: Any, weight: Any = None, bias: Any = None, dims: int = 1, eps: float = 1e-5) -> Any:
        _, error, rstd, d = _z_error(x, dims, eps, rms)
        size = 1 if weight is None else np.abs(weight)
        mean, rows = np.abs(x.mean(_axes(x, dims))), rstd.reshape(x.shape[: x.ndim - dims])
        found = [error * size + EPS * (0 if bias is None else np.abs(bias)), gamma(d + 8) * rows, EPS * mean + gamma(d + 2) / rows]
        return tuple(found[: outputs + 1])

    def samples() -> Any:
        rng = np.random.default_rng(0)
        cases: list[Any] = [((1, 1), 1, 3), ((5, 7), 1, 0), ((3, 16), 1, 3), ((4, 33), 1, 1), ((2, 3, 5, 6), 2, 3), ((37, 65), 1, 3), ((3, 5), 1, 2),
                            ((0, 8), 1, 3), ((2, 4099), 1, 3), ((100, 48), 1, 3), ((3, 4), 2, 3)]  # fmt: skip
        for s, dims, given in cases:
            x = (rng.normal(size=s) * 2 + (20 if s[-1] == 33 else 0.5)).astype(np.float32)
            w, b = (rng.normal(size=s[len(s) - dims :]).astype(np.float32) for _ in range(2))
            yield (x, w if given & 1 else None, b if given & 2 else None), {"dims": dims, "eps": 1e-5 if given & 1 else 1e-3}

    def cost(x: Spec, *_: Any, **attrs: Any) -> Any:
        return 8 * product(x.shape), 8 * product(x.shape)

    op = _RowNorm(name, shape, reference, kernel="layer_norm", samples=lambda: list(samples()), bound=bound, cost=cost)
    op.rms = rms

    @op.vjp
    def _(dy: Tensor | None, *rest: Any, dims: int = 1, eps: float = 1e-5) -> Any:
        saved, operands, results = rest[:outputs], rest[outputs : -outputs - 1], rest[-outputs:]
        if dy is None or any(s is not None for s in saved):
            raise GraphError(f"{name}: rstd and mean are kept for the gradient and have none themselves")
        x, weight, bias = (*operands, None, None)[:3]
        params = 0 if weight is None else 1 if bias is None else 2
        found = list(apply_all(f"{name}_grad", dy, x, results[0], None if rms else results[1], weight, dims=dims, eps=eps, params=params))
        if weight is None:
            return found[0], None, None if bias is None else dy.sum(tuple(range(dy.ndim - dims)))
        return found

    def grad_shape(dy: Spec, x: Spec, rstd: Spec, mean: Spec | None = None, weight: Spec | None = None, dims: int = 1, eps: float = 1e-5,
                   params: int = 0) -> tuple[Spec, ...]:  # fmt: skip
        only_float32(f"{name}_grad", dy, x, rstd, mean, weight)
        rows, inner = _split(f"{name}_grad", x, dims)
        if dy != x or rstd.shape != rows or (mean is not None and mean.shape != rows) or (weight is not None and weight.shape != inner):
            raise ShapeError(f"{name}_grad: {dy}, {x}, {rstd}, {mean}, {weight} do not belong together")
        return (x, *[Spec(inner, DType.float32)] * params)

    def grad_reference(dy: Any, x: Any, rstd: Any, mean: Any = None, weight: Any = None, dims: int = 1, eps: float = 1e-5, params: int = 0) -> Any:
        """From x alone: what was saved is a function of it."""
        axes, lead = _axes(x, dims), tuple(range(x.ndim - dims))
        m, r = _statistics(x, dims, eps, rms)
        z, g = (x - m) * r, dy if weight is None else dy * weight
        centre = 0 if rms else g.mean(axes, keepdims=True)
        found = (r * (g - centre - z * (g * z).mean(axes, keepdims=True)), (dy * z).sum(lead), dy.sum(lead))
        return found[: params + 1] if params else found[0]

    def grad_bound(dy: Any, x: Any, rstd: Any, mean: Any = None, weight: Any = None, dims: int = 1, eps: float = 1e-5, params: int = 0) -> Any:
        axes, lead, size = _axes(x, dims), tuple(range(x.ndim - dims)), np.abs(dy)
        z, e, r, d = _z_error(x, dims, eps, rms)
        g, z = size if weight is None else size * np.abs(weight), np.abs(z)
        g_mean, gz, ge = (v.mean(axes, keepdims=True) for v in (g, g * z, g * e))
        dx = 1.01 * r * (gamma(d + 8) * (g + g_mean + z * gz) + e * gz + z * ge)
        terms = gamma(int(np.prod(x.shape[: x.ndim - dims])) + 4)
        return (dx, 1.01 * (size * e).sum(lead) + terms * (size * z).sum(lead), terms * size.sum(lead))[: params + 1]

    def grad_samples() -> Any:
        rng = np.random.default_rng(1)
        for (x, w, b), attrs in samples():
            found = _statistics(x.astype(np.float64), attrs["dims"], attrs["eps"], rms)
            m, r = (s.reshape(x.shape[: x.ndim - attrs["dims"]]).astype(np.float32) for s in found)
            params = 0 if w is None else 1 if b is None else 2
            yield (rng.normal(size=x.shape).astype(np.float32), x, r, None if rms else m, w), {**attrs, "params": params}

    def composition(dy: Tensor, x: Tensor, rstd: Tensor, mean: Tensor | None = None, weight: Tensor | None = None, dims: int = 1, eps: float = 1e-5,
                    params: int = 0) -> Any:  # fmt: skip
        axes, lead = tuple(range(x.ndim - dims, x.ndim)), tuple(range(x.ndim - dims))
        moved = x if rms else x - x.mean(axes, keepdim=True)
        r = 1.0 / ((moved * moved).mean(axes, keepdim=True) + eps).sqrt()
        z, g = moved * r, dy if weight is None else dy * weight
        inner = g if rms else g - g.mean(axes, keepdim=True)
        found = (r * (inner - z * (g * z).mean(axes, keepdim=True)), (dy * z).sum(lead), dy.sum(lead))
        return found[: params + 1]

    grad = _RowNorm(f"{name}_grad", grad_shape, grad_reference, kernel="layer_norm_grad", samples=lambda: list(grad_samples()), bound=grad_bound,
                    composition=composition)  # fmt: skip
    grad.rms = rms


_register("layer_norm", False)
_register("rms_norm", True)


def _trailing(name: str, x: Tensor, normalized_shape: int | Sequence[int]) -> int:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or tuple(x.shape[x.ndim - len(shape) :]) != shape:
        raise ShapeError(f"{name}: normalized_shape {shape} is not the end of the shape of {x.spec}")
    return len(shape)


def layer_norm(x: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, mean and (biased) variance over the last dimensions, which are `normalized_shape`, as are weight and
    bias. float32. ShapeError where they are not (Ba, Kiros, Hinton 2016)."""
    return apply("layer_norm", x, weight, bias, dims=_trailing("layer_norm", x, normalized_shape), eps=float(eps))


def rms_norm(x: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions, which are `normalized_shape`; eps None: 2^-23, that of float32 (Zhang, Sennrich 2019)."""
    return apply("rms_norm", x, weight, dims=_trailing("rms_norm", x, normalized_shape), eps=EPS if eps is None else float(eps))


__all__ = ["layer_norm", "rms_norm"]
