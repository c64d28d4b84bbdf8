"""Dimensions sampled at other places: nearest, linear, cubic, with ONNX's and torch's conventions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dims import AnySize
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, DTypeError, ShapeError, UnsupportedError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .arrange import axis_of
from .matmul import gamma

MODES = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _resized(x: Spec, axis: int, size: AnySize, **how: Any) -> Spec:
    if x.dtype != DType.float32:
        raise DTypeError(f"resize: float32 expected, not {x.dtype.name}")
    if not 0 <= axis < len(x.shape) or (x.shape[axis] == 0 and size != 0):
        raise ShapeError(f"resize: dimension {axis} of {x} to {size}")
    return Spec((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)


def _matrix(n: int, size: int, mode: int, coordinate: int, nearest: int, cubic_a: float, outside: int, scale: float) -> Any:
    """[size, n]: what each result takes from each element."""
    b = np.arange(size, dtype=np.float64)
    r = 1 / scale if scale else n / max(size, 1)
    half = (b + 0.5) * r - 0.5
    p = (half, half if size > 1 else 0 * b, b * r, b * (n - 1) / (size - 1) if size > 1 else 0 * b,
         n / 2 * (1 - size / ((scale * n) or size or 1)) + half)[coordinate]  # fmt: skip
    low = np.floor(p)
    f = p - low
    if mode == 0:
        first = (np.ceil(p - 0.5), np.floor(p + 0.5), low, np.ceil(p))[nearest]
        weights = np.ones((1, size))
    elif mode == 1:
        first, weights = low, np.stack([1 - f, f])
    else:
        a, g = cubic_a, 1 - f
        def far(d: Any) -> Any: return a * (d**3 - 5 * d**2 + 8 * d - 4)
        def near(d: Any) -> Any: return (a + 2) * d**3 - (a + 3) * d**2 + 1

        first, weights = low - 1, np.stack([far(f + 1), near(f), near(g), far(g + 1)])
    m = np.zeros((size, n))
    for t, w in enumerate(weights):
        at = first + t
        if outside and mode:
            w = np.where((at >= 0) & (at < n), w, 0)
        np.add.at(m, (np.arange(size), np.clip(at, 0, n - 1).astype(int)), w)
    return m / m.sum(1, keepdims=True) if outside and mode else m


def _along(x: Any, m: Any, axis: int) -> Any:
    return np.moveaxis(np.tensordot(m.astype(x.dtype), x, (1, axis)), 0, axis)


def _reference(x: Any, axis: int, size: int, **how: Any) -> Any:
    return _along(x, _matrix(x.shape[axis], size, **how), axis)


def _grad_reference(dy: Any, axis: int, size: int, **how: Any) -> Any:
    return _along(dy, _matrix(size, dy.shape[axis], **how).T, axis)


def _how(mode: int = 0, coordinate: int = 0, nearest: int = 0, cubic_a: float = -0.75, outside: int = 0, scale: float = 0.0) -> dict[str, Any]:
    return {"mode": mode, "coordinate": coordinate, "nearest": nearest, "cubic_a": cubic_a, "outside": outside, "scale": scale}


def _samples(grad: bool) -> Any:
    def samples() -> Any:
        rng = np.random.default_rng(0)
        found: list[Any] = []
        shapes: Any = (((2, 5), 1, 10), ((2, 5, 3), 1, 7), ((3, 40), 1, 17), ((2, 3, 8, 20), 2, 16), ((2, 7, 33), 1, 3), ((1, 4), 1, 1), ((3, 1), 1, 4),
                       ((0, 3), 1, 5), ((2, 9, 600), 1, 4))  # fmt: skip
        hows = [_how(m, c, n) for m in range(3) for c in range(5) for n in (range(4) if m == 0 else (0,))] + [_how(2, 0, 0, -0.5, 1), _how(1, 0, 0, -0.75, 1)]
        hows += [_how(m, c, 1, -0.75, 0, s) for m in range(3) for c in (0, 2, 4) for s in (2.3, 0.6)]
        for i, how in enumerate(hows):
            shape, axis, size = shapes[i % len(shapes)]
            for j in (0,) if i >= len(shapes) else (0, 1):
                shape, axis, size = shapes[(i + j * 4) % len(shapes)]
                given = (*shape[:axis], size, *shape[axis + 1 :]) if grad else shape
                found.append(((rng.normal(size=given).astype(np.float32),), {"axis": axis, "size": shape[axis] if grad else size, **how}))
        return found

    return samples


def _bound(x: Any, axis: int, size: int, **how: Any) -> Any:
    """gamma_(T + 2) sum|w||x|."""
    return gamma(7) * _along(np.abs(x), np.abs(_matrix(x.shape[axis], size, **how)), axis) if how["mode"] else 0 * _reference(x, axis, size, **how)


def _grad_bound(dy: Any, axis: int, size: int, **how: Any) -> Any:
    m = _matrix(size, dy.shape[axis], **how)
    return gamma(m.shape[0] * 4 + 3) * _along(np.abs(dy), np.abs(m).T, axis)


resize_op = Op("resize", _resized, _reference, samples=_samples(False), bound=_bound)
resize_grad = Op("resize_grad", _resized, _grad_reference, samples=_samples(True), bound=_grad_bound)


@resize_op.vjp
def _(dy: Tensor, x: Tensor, y: Tensor, axis: int, size: AnySize, **how: Any) -> Any:
    return apply("resize_grad", dy, axis=axis, size=x.shape[axis], **how)


@resize_grad.vjp
def _(g: Tensor, dy: Tensor, dx: Tensor, axis: int, size: AnySize, **how: Any) -> Any:
    return apply("resize", g, axis=axis, size=dy.shape[axis], **how)


def _number(name: str, what: str, among: Sequence[str]) -> int:
    if what not in among:
        raise AttributeValueError(f"{name}: {what!r}; expected one of {', '.join(among)}")
    return list(among).index(what)


def resize(x: Tensor, sizes: Sequence[Any] | None = None, scales: Sequence[float] | None = None, mode: str = "nearest", axes: Sequence[int] | None = None,
           coordinate_transformation_mode: str = "half_pixel", nearest_mode: str = "round_prefer_floor", cubic_coeff_a: float = -0.75,
           exclude_outside: bool = False) -> Tensor:  # fmt: skip
    """ONNX Resize of float32 x along `axes` (default: all): to `sizes`, or by `scales` (then size = floor(n * scale), and places follow the scale)."""
    wanted = list(range(x.ndim)) if axes is None else [axis_of("resize", a, x.ndim) for a in axes]
    given = sizes if sizes is not None else scales
    if given is None or (sizes is not None and scales is not None) or len(given) != len(wanted):
        raise ShapeError(f"resize: either sizes or scales, one for each of the dimensions {wanted}")
    how = _how(_number("resize", mode, MODES), _number("resize", coordinate_transformation_mode, COORDINATES),
               _number("resize", nearest_mode, NEAREST), float(cubic_coeff_a), int(exclude_outside))  # fmt: skip
    plan: list[tuple[int, Any, float]] = []
    for i, axis in enumerate(wanted):
        n, scale = x.shape[axis], 0.0 if scales is None else float(scales[i])
        if scales is not None and not scale > 0:
            raise AttributeValueError(f"resize: a scale of {scale}")
        size = given[i] if scales is None else n * int(scale) if scale == int(scale) else math.floor(n * scale)  # type: ignore[operator]
        if size != n or (scale and scale != 1):
            plan.append((axis, size, scale))
    for axis, size, scale in sorted(plan, key=lambda p: -p[0]):
        n = x.shape[axis]
        plain = not isinstance(n, int) or size == n * scale  # then A / B says the same, exactly
        x = apply("resize", x, axis=axis, size=size, **{**how, "scale": 0.0 if plain else scale})
    return x


_INTERPOLATE = {"nearest": ("nearest", "asymmetric", "floor"), "nearest-exact": ("nearest", "half_pixel", "round_prefer_ceil"),
                "linear": ("linear", "half_pixel", "floor"), "bilinear": ("linear", "half_pixel", "floor"), "trilinear": ("linear", "half_pixel", "floor"),
                "bicubic": ("cubic", "half_pixel", "floor")}  # fmt: skip
_RANKS = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4}


def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
                recompute_scale_factor: bool | None = None, antialias: bool = False) -> Tensor:  # fmt: skip
    """torch.nn.functional.interpolate of x[N, C, ...]: nearest, nearest-exact, linear, bilinear, trilinear, bicubic, area."""
    rank = input.ndim - 2
    if rank < 1 or _RANKS.get(mode, input.ndim) != input.ndim:
        raise ShapeError(f"interpolate: mode {mode} of {input.spec}")
    if antialias:
        raise UnsupportedError("interpolate: antialias=True; smooth before, or shrink with mode='area'")
    if mode not in _INTERPOLATE and mode != "area":
        raise AttributeValueError(f"interpolate: mode {mode!r}; expected one of {', '.join([*_INTERPOLATE, 'area'])}")
    if align_corners is not None and mode not in _RANKS:
        raise AttributeValueError(f"interpolate: align_corners is for {', '.join(_RANKS)}, not for {mode}")
    if (size is None) == (scale_factor is None):
        raise ShapeError("interpolate: either size or scale_factor")
    axes = range(2, input.ndim)
    sizes = None if size is None else [size] * rank if not isinstance(size, (tuple, list)) else list(size)
    scales = None if scale_factor is None else [float(scale_factor)] * rank if not isinstance(scale_factor, (tuple, list)) else [float(s) for s in scale_factor]
    if len(sizes or scales or ()) != rank:
        raise ShapeError(f"interpolate: {size or scale_factor} for the {rank} last dimensions of {input.spec}")
    if scales is not None and (recompute_scale_factor or mode == "area"):
        sizes, scales = [math.floor(input.shape[a] * s) for a, s in zip(axes, scales)], None  # type: ignore[operator]
    if mode == "area":
        from .pooling import adaptive_avg_pool

        return adaptive_avg_pool(input, tuple(sizes or ()))
    how, coordinate, nearest = _INTERPOLATE[mode]
    return resize(input, sizes, scales, how, list(axes), "align_corners" if align_corners else coordinate, nearest)


__all__ = ["interpolate", "resize"]
