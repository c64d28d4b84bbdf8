"""Normalization of channels, x[N, C, ...]: batch norm (Ioffe, Szegedy 2015, arXiv 1502.03167), group norm (Wu, He 2018, arXiv 1803.08494), of which
instance norm (Ulyanov et al. 2016, arXiv 1607.08022) has one channel a group, and local response norm (Krizhevsky et al. 2012)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, GraphError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply, apply_all, as_tensor, no_grad
from .elementwise import elementwise
from .matmul import EPS, gamma
from .row_norm import depth, only_float32


def _channels(name: str, x: Spec, *vectors: Spec | None) -> Any:
    only_float32(name, x, *vectors)
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: x[N, C, ...] expected, not {x}")
    for v in vectors:
        if v is not None and v.shape != x.shape[1:2]:
            raise ShapeError(f"{name}: {v} for the {x.shape[1]} channels of {x}")
    return x.shape[1]


def _eps(name: str, eps: float) -> None:
    if not eps >= 0:
        raise AttributeValueError(f"{name}: eps = {eps}; expected at least 0")


def _wide(v: Any, x: Any) -> Any:
    """A number a channel, as it multiplies x. Of Tensors and arrays."""
    return v.reshape((1, v.shape[0], *[1] * (x.ndim - 2))) if isinstance(v, np.ndarray) else v.reshape(1, v.shape[0], *[1] * (x.ndim - 2))


def _apart(x: Any) -> tuple[int, ...]:
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    y = y if weight is None else y * _wide(weight, y)
    return y if bias is None else y + _wide(bias, y)


def _spread(x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    mean = x.mean(axes, keepdims=True)
    return mean, 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)


def _z_error(x: Any, axes: tuple[int, ...], eps: float, d: int) -> tuple[Any, Any, Any, Any]:
    """z, its error, rstd, mean."""
    mean, rstd = _spread(x, axes, eps)
    z = (x - mean) * rstd
    return z, gamma(d + 8) * (np.abs(z) + 1) + EPS * np.abs(mean) * rstd, rstd, mean


def _draw(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=s) * (2 if len(s) > 1 else 1) + 0.5).astype(np.float32) for s in shapes]


# group_norm

GROUP_CASES: tuple[tuple[tuple[int, ...], int, int], ...] = (
    ((2, 6, 5, 5), 3, 3), ((3, 4, 7), 2, 3), ((2, 8), 4, 3), ((1, 3, 17), 3, 0), ((2, 4, 16), 1, 1), ((0, 4, 3), 2, 3), ((2, 2, 70, 70), 1, 3),
    ((20, 6, 3), 2, 3), ((2, 4, 3, 4, 5), 4, 2), ((37, 4, 16), 4, 3))  # fmt: skip


def _grouped(x: Any, groups: int) -> Any:
    return x.reshape(x.shape[0], groups, int(np.prod(x.shape[1:])) // groups)


def _group_shape(x: Spec, weight: Spec | None = None, bias: Spec | None = None, groups: int = 1, eps: float = 1e-5) -> tuple[Spec, Spec, Spec]:
    c = _channels("group_norm", x, weight, bias)
    _eps("group_norm", eps)
    if groups < 1 or c % groups or (isinstance(product(x.shape[1:]), int) and product(x.shape[1:]) < 1):
        raise ShapeError(f"group_norm: {groups} groups of the channels of {x}")
    rows = Spec((x.shape[0], groups), DType.float32)
    return x, rows, rows


def _group_reference(x: Any, weight: Any = None, bias: Any = None, groups: int = 1, eps: float = 1e-5) -> Any:
    rows = _grouped(x, groups)
    mean, rstd = _spread(rows, (2,), eps)
    return _affine(((rows - mean) * rstd).reshape(x.shape), weight, bias), rstd[:, :, 0], mean[:, :, 0]


def _group_bound(x: Any, weight: Any = None, bias: Any = None, groups: int = 1, eps: float = 1e-5) -> Any:
    rows = _grouped(x, groups)
    d = depth(rows.shape[2])
    _, e, rstd, mean = _z_error(rows, (2,), eps, d)
    rstd, mean = rstd[:, :, 0], np.abs(mean[:, :, 0])
    error = _affine(e.reshape(x.shape), None if weight is None else np.abs(weight), None)
    return error + (0 if bias is None else EPS * np.abs(_wide(bias, x))), gamma(d + 8) * rstd, EPS * mean + gamma(d + 2) / rstd


def _group_samples() -> Any:
    for i, (s, groups, given) in enumerate(GROUP_CASES):
        x, w, b = _draw(i, s, s[1:2], s[1:2])
        yield (x, w if given & 1 else None, b if given & 2 else None), {"groups": groups, "eps": 1e-5 if given & 1 else 1e-3}


def _moved(x: Spec, *_: Any, **attrs: Any) -> Any:
    return 8 * product(x.shape), 8 * product(x.shape)


group_norm_op = Op("group_norm", _group_shape, _group_reference, samples=lambda: list(_group_samples()), bound=_group_bound, cost=_moved)


def _only_y(name: str, dy: Tensor | None, *others: Tensor | None) -> None:
    if dy is None or any(o is not None for o in others):
        raise GraphError(f"{name}: its statistics are kept for the gradient and have none themselves")


@group_norm_op.vjp
def _(dy: Tensor, drstd: None, dmean: None, x: Tensor, *rest: Any, groups: int = 1, eps: float = 1e-5) -> Any:
    _only_y("group_norm", dy, drstd, dmean)
    *operands, _, rstd, mean = rest
    weight, bias = (*operands, None, None)[:2]
    params = 0 if weight is None else 1 if bias is None else 2
    found = list(apply_all("group_norm_grad", dy, x, rstd, mean, weight, groups=groups, eps=eps, params=params))
    if weight is None:
        return found[0], None, None if bias is None else dy.sum(_apart(dy))
    return found


def _group_grad_shape(dy: Spec, x: Spec, rstd: Spec, mean: Spec, weight: Spec | None = None, groups: int = 1, eps: float = 1e-5,
                      params: int = 0) -> tuple[Spec, ...]:  # fmt: skip
    _channels("group_norm_grad", x, weight)
    if dy != x or rstd != _group_shape(x, weight, None, groups, eps)[1] or mean != rstd:
        raise ShapeError(f"group_norm_grad: {dy}, {x}, {rstd}, {mean} do not belong together")
    return (x, *[Spec(x.shape[1:2], DType.float32)] * params)


def _group_grad_reference(dy: Any, x: Any, rstd: Any, mean: Any, weight: Any = None, groups: int = 1, eps: float = 1e-5, params: int = 0) -> Any:
    """From x alone: what was saved is a function of it."""
    rows, g = _grouped(x, groups), _grouped(_affine(dy, weight, None), groups)
    m, r = _spread(rows, (2,), eps)
    z = (rows - m) * r
    dx = r * (g - g.mean(2, keepdims=True) - z * (g * z).mean(2, keepdims=True))
    found = (dx.reshape(x.shape), (dy * z.reshape(x.shape)).sum(_apart(x)), dy.sum(_apart(x)))
    return found[: params + 1] if params else found[0]


def _grad_bounds(size: Any, g: Any, z: Any, e: Any, r: Any, d: int, axes: tuple[int, ...]) -> Any:
    """dx of kernels/norm/layer_norm_grad.h, from |g|, |z|."""
    g_mean, gz, ge = (v.mean(axes, keepdims=True) for v in (g, g * z, g * e))
    return 1.01 * r * (gamma(d + 8) * (g + g_mean + z * gz) + e * gz + z * ge)


def _group_grad_bound(dy: Any, x: Any, rstd: Any, mean: Any, weight: Any = None, groups: int = 1, eps: float = 1e-5, params: int = 0) -> Any:
    rows, size = _grouped(x, groups), np.abs(dy)
    d = depth(rows.shape[2])
    z, e, r, _ = _z_error(rows, (2,), eps, d)
    z = np.abs(z)
    dx = _grad_bounds(size, _grouped(_affine(size, None if weight is None else np.abs(weight), None), groups), z, e, r, d, (2,))
    z, e, terms = z.reshape(x.shape), e.reshape(x.shape), gamma(x.shape[0] + d + 32)
    dw, db = 1.01 * (size * e).sum(_apart(x)) + terms * (size * z).sum(_apart(x)), terms * size.sum(_apart(x))
    return (dx.reshape(x.shape), dw, db)[: params + 1]


def _group_grad_samples() -> Any:
    for i, ((x, w, b), attrs) in enumerate(_group_samples()):
        _, rstd, mean = _group_reference(x.astype(np.float64), None, None, **attrs)
        params = 0 if w is None else 1 if b is None else 2
        yield (*_draw(i + 50, x.shape), x, rstd.astype(np.float32), mean.astype(np.float32), w), {**attrs, "params": params}


def _normalized(rows: Tensor, dim: Any, eps: float) -> tuple[Tensor, Tensor]:
    """z and rstd in plain ops."""
    moved = rows - rows.mean(dim, keepdim=True)
    r = 1.0 / ((moved * moved).mean(dim, keepdim=True) + eps).sqrt()
    return moved * r, r


def _group_composition(dy: Tensor, x: Tensor, rstd: Tensor, mean: Tensor, weight: Tensor | None = None, groups: int = 1, eps: float = 1e-5,
                       params: int = 0) -> Any:  # fmt: skip
    shape = (x.shape[0], groups, product(x.shape[1:]) // groups)
    z, r = _normalized(x.reshape(*shape), 2, eps)
    g = (dy if weight is None else dy * _wide(weight, dy)).reshape(*shape)
    dx = r * (g - g.mean(2, keepdim=True) - z * (g * z).mean(2, keepdim=True))
    return (dx.reshape(*x.shape), (dy * z.reshape(*x.shape)).sum(_apart(x)), dy.sum(_apart(x)))[: params + 1]


Op("group_norm_grad", _group_grad_shape, _group_grad_reference, samples=lambda: list(_group_grad_samples()), bound=_group_grad_bound,
   composition=_group_composition)  # fmt: skip


def group_norm(x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """x[N, C, ...] float32, mean and (biased) variance over the C / num_groups channels of a group and all their places; weight and bias [C].
    ShapeError where num_groups does not divide C."""
    return apply("group_norm", x, weight, bias, groups=int(num_groups), eps=float(eps))


# batch_norm

BATCH_CASES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((4, 3), 3), ((2, 5, 7), 3), ((3, 4, 5, 6), 3), ((17, 3), 0), ((2, 9, 16), 1), ((200, 5), 3), ((2, 3, 2, 3, 3), 2), ((10, 2, 5, 7), 1),
    ((140, 33, 3), 3), ((2, 1, 65, 65), 3), ((9, 10, 33), 3), ((1, 3, 40), 3))  # fmt: skip


def _batch_shape(x: Spec, weight: Spec | None = None, bias: Spec | None = None, eps: float = 1e-5) -> tuple[Spec, ...]:
    c = _channels("batch_norm", x, weight, bias)
    _eps("batch_norm", eps)
    count = product((x.shape[0], *x.shape[2:]))
    if isinstance(count, int) and count < 2:
        raise ShapeError(f"batch_norm: statistics of a channel need more than {count} element{'s' * (count != 1)}; x is {x}")
    return (x, *[Spec((c,), DType.float32)] * 3)


def _batch_reference(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    mean, rstd = _spread(x, _apart(x), eps)
    return _affine((x - mean) * rstd, weight, bias), rstd.ravel(), mean.ravel(), x.var(_apart(x), ddof=1)


def _batch_depth(x: Any) -> int:
    return min(int(x.size) // int(x.shape[1]), 4096) // 16 + 72


def _batch_bound(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    d = _batch_depth(x)
    _, e, rstd, mean = _z_error(x, _apart(x), eps, d)
    rstd, mean = rstd.ravel(), np.abs(mean.ravel())
    error = _affine(e, None if weight is None else np.abs(weight), None) + (0 if bias is None else EPS * np.abs(_wide(bias, x)))
    return error, gamma(d + 8) * rstd, EPS * mean + gamma(d + 2) / rstd, gamma(d + 8) * x.var(_apart(x), ddof=1)


def _batch_samples() -> Any:
    for i, (s, given) in enumerate(BATCH_CASES):
        x, w, b = _draw(i, s, s[1:2], s[1:2])
        yield (x, w if given & 1 else None, b if given & 2 else None), {"eps": 1e-5 if given & 1 else 1e-3}


batch_norm_op = Op("batch_norm", _batch_shape, _batch_reference, samples=lambda: list(_batch_samples()), bound=_batch_bound, cost=_moved)


@batch_norm_op.vjp
def _(dy: Tensor, drstd: None, dmean: None, dvar: None, x: Tensor, *rest: Any, eps: float = 1e-5) -> Any:
    _only_y("batch_norm", dy, drstd, dmean, dvar)
    *operands, _, rstd, mean, _ = rest
    weight, bias = (*operands, None, None)[:2]
    dx, dweight, dbias = apply_all("batch_norm_grad", dy, x, rstd, mean, weight, eps=eps)
    return dx, None if weight is None else dweight, None if bias is None else dbias


running_average = elementwise("running_average", 3, lambda p, old, new, share: p.fma(share, new, p.mul(p.sub(p.const(1.0), share), old)),
                              lambda old, new, share: (1 - share) * old + share * new)  # fmt: skip


@running_average.vjp
def _(dy: Tensor, old: Tensor, new: Tensor, share: Tensor, y: Tensor) -> Any:
    return dy * (1.0 - share), dy * share, dy * (new - old)


def _go_on(running: Tensor, now: Tensor, share: Tensor) -> None:
    with no_grad():
        running.assign(apply("running_average", running, now, share))


def _batch_grad_shape(dy: Spec, x: Spec, rstd: Spec, mean: Spec, weight: Spec | None = None, eps: float = 1e-5) -> tuple[Spec, ...]:
    c = _channels("batch_norm_grad", x, rstd, mean, weight)
    if dy != x:
        raise ShapeError(f"batch_norm_grad: a gradient {dy} for {x}")
    return x, Spec((c,), DType.float32), Spec((c,), DType.float32)


def _batch_grad_reference(dy: Any, x: Any, rstd: Any, mean: Any, weight: Any = None, eps: float = 1e-5) -> Any:
    """From x alone: what was saved is a function of it."""
    axes = _apart(x)
    m, r = _spread(x, axes, eps)
    z = (x - m) * r
    dx = r * (dy - dy.mean(axes, keepdims=True) - z * (dy * z).mean(axes, keepdims=True))
    return _affine(dx, weight, None), (dy * z).sum(axes), dy.sum(axes)


def _batch_grad_bound(dy: Any, x: Any, rstd: Any, mean: Any, weight: Any = None, eps: float = 1e-5) -> Any:
    axes, d, size = _apart(x), _batch_depth(x), np.abs(dy)
    z, e, r, _ = _z_error(x, axes, eps, d)
    z = np.abs(z)
    dx = _grad_bounds(size, size, z, e, r, d, axes)
    dw, db = 1.01 * (size * e).sum(axes) + gamma(d + 8) * (size * z).sum(axes), gamma(d + 8) * size.sum(axes)
    return _affine(dx, None if weight is None else np.abs(weight), None), dw, db


def _batch_grad_samples() -> Any:
    for i, ((x, w, _), attrs) in enumerate(_batch_samples()):
        _, rstd, mean, _ = _batch_reference(x.astype(np.float64), **attrs)
        yield (*_draw(i + 50, x.shape), x, rstd.astype(np.float32), mean.astype(np.float32), w), attrs


def _batch_composition(dy: Tensor, x: Tensor, rstd: Tensor, mean: Tensor, weight: Tensor | None = None, eps: float = 1e-5) -> Any:
    axes = _apart(x)
    z, r = _normalized(x, axes, eps)
    dx = r * (dy - dy.mean(axes, keepdim=True) - z * (dy * z).mean(axes, keepdim=True))
    return _affine(dx, weight, None), (dy * z).sum(axes), dy.sum(axes)


Op("batch_norm_grad", _batch_grad_shape, _batch_grad_reference, samples=lambda: list(_batch_grad_samples()), bound=_batch_grad_bound,
   composition=_batch_composition)  # fmt: skip


def _infer_shape(x: Spec, mean: Spec, var: Spec, weight: Spec | None = None, bias: Spec | None = None, eps: float = 1e-5) -> Spec:
    _channels("batch_norm", x, mean, var, weight, bias)
    return x


def _infer_samples() -> Any:
    for i, (s, given) in enumerate((*BATCH_CASES, ((0, 3, 4), 3), ((40, 70), 3))):
        x, m, v, w, b = _draw(i, s, *[s[1:2]] * 4)
        yield (x, m, np.abs(v) + np.float32(0.3), w if given & 1 else None, b if given & 2 else None), {"eps": 1e-5 if given & 1 else 1e-3}


def _infer_bound(x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    z = np.abs(x - _wide(mean, x)) / np.sqrt(_wide(var, x) + eps)
    return EPS / 2 * (4 * _affine(z, None if weight is None else np.abs(weight), None) + (0 if bias is None else 2 * np.abs(_wide(bias, x))))


def _infer_composition(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    scale = 1.0 / (var + eps).sqrt()
    y: Tensor = _affine((x - _wide(mean, x)) * _wide(scale if weight is None else scale * weight, x), None, bias)
    return y


batch_norm_infer = Op("batch_norm_infer", _infer_shape,
                      lambda x, mean, var, weight=None, bias=None, eps=1e-5: _affine((x - _wide(mean, x)) / np.sqrt(_wide(var, x) + eps), weight, bias),
                      samples=lambda: list(_infer_samples()), bound=_infer_bound, composition=_infer_composition, cost=_moved)  # fmt: skip


def batch_norm(x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None, bias: Tensor | None = None,
               training: bool = False, momentum: Any = 0.1, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """x[N, C, ...] float32, the rest [C]. Training: by the mean and (biased) variance of each channel, and the running statistics, where given, go on by
    `momentum` (a number, or a float32 tensor of one) towards mean and unbiased variance. Otherwise: by the running statistics."""
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError("batch_norm: without running statistics it can only train")
        return apply("batch_norm_infer", x, running_mean, running_var, weight, bias, eps=float(eps))
    y, _, mean, var = apply_all("batch_norm", x, weight, bias, eps=float(eps))
    if running_mean is not None and running_var is not None:
        share = as_tensor(momentum, DType.float32)
        _go_on(running_mean, mean, share)
        _go_on(running_var, var, share)
    return y


def instance_norm(x: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
                  bias: Tensor | None = None, use_input_stats: bool = True, momentum: Any = 0.1, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """x[N, C, ...] float32: each channel of each sample by itself. Running statistics, where given, go on towards the means over the samples."""
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    places = product(x.shape[2:])
    if x.ndim < 3 or (isinstance(places, int) and places < 2):
        raise ShapeError(f"instance_norm: channels of {x.spec} have no statistics; at least two places are needed")
    y, rstd, mean = apply_all("group_norm", x, weight, bias, groups=x.shape[1], eps=float(eps))
    if running_mean is not None and running_var is not None:
        share = as_tensor(momentum, DType.float32)
        with no_grad():
            var = ((1.0 / (rstd * rstd) - float(eps)) * (places / (places - 1))).mean(0)  # type: ignore[operator]
            _go_on(running_mean, mean.mean(0), share)
            _go_on(running_var, var, share)
    return y


def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x[N, C, ...] / (k + alpha * mean of x^2 over `size` neighbouring channels, zeros beyond the first and last)^beta."""
    if x.ndim < 3:
        raise ShapeError(f"local_response_norm: x[N, C, ...] with at least one more dimension expected, not {x.spec}")
    square = (x * x).reshape(x.shape[0], 1, x.shape[1], product(x.shape[2:]))
    near = apply("avg_pool2d", square, kernel_h=size, kernel_w=1, stride_h=1, stride_w=1, pad_top=size // 2, pad_left=0, pad_bottom=(size - 1) // 2,
                 pad_right=0, count_include_pad=1)  # fmt: skip
    return x / apply("pow", near.reshape(*x.shape) * alpha + k, beta)


__all__ = ["batch_norm", "group_norm", "instance_norm", "local_response_norm"]
