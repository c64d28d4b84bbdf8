"""conv3d as an op of its own, for one group: windows over planes that are turned to channels last once (kernels/conv3d)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import OPS, Op
from ..core.tensor import Tensor, apply
from .conv import GEOMETRY, correlate, needs_gradient, out_size
from .matmul import gamma
from .window import Window

AXES = (("d", "front", "back"), ("h", "top", "bottom"), ("w", "left", "right"))


def attrs3d(w: Window) -> dict[str, int]:
    found: dict[str, int] = {}
    for i, (axis, before, after) in enumerate(AXES):
        found |= {f"stride_{axis}": w.stride[i], f"pad_{before}": w.before[i], f"pad_{after}": w.after[i], f"dilation_{axis}": w.dilation[i]}
    return found


def _full(attrs: dict[str, int]) -> dict[str, int]:
    return attrs3d(Window((1,) * 3, (1,) * 3, (0,) * 3, (0,) * 3, (1,) * 3, 1)) | attrs


def _shape(x: Spec, w: Spec, bias: Spec | None = None, **attrs: int) -> Spec:
    for v in (x, w, bias):
        if v is not None and v.dtype != DType.float32:
            raise DTypeError(f"conv3d: float32 expected, not {v.dtype.name}")
    if len(x.shape) != 5 or len(w.shape) != 5 or x.shape[1] != w.shape[1]:
        raise ShapeError(f"conv3d: x[N,C,D,H,W] and w[O,C,T,R,S] expected, not {x} and {w}")
    if bias is not None and bias.shape != w.shape[:1]:
        raise ShapeError(f"conv3d: a bias of shape {bias.shape} for {w.shape[0]} channels")
    g = _full(attrs)
    sizes = [out_size(size, kernel, g[f"stride_{axis}"], g[f"dilation_{axis}"], g[f"pad_{before}"], g[f"pad_{after}"])
             for size, kernel, (axis, before, after) in zip(x.shape[2:], w.shape[2:], AXES)]  # fmt: skip
    if any(n < 1 for n in sizes):
        raise ShapeError(f"conv3d: a kernel {w} does not fit into {x} with this padding and dilation")
    return Spec((x.shape[0], w.shape[0], *sizes), DType.float32)


def _planes(attrs: dict[str, int], kernel: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """The attributes of unfold_planes, and of the conv2d over its slabs."""
    g = _full(attrs)
    flat = {k: g[k] for k in GEOMETRY if k in g} | {"groups": 1}
    return dict(kernel=kernel, stride=g["stride_d"], dilation=g["dilation_d"], front=g["pad_front"], back=g["pad_back"]), flat


def _reference(x: Any, w: Any, bias: Any = None, **attrs: int) -> Any:
    (n, c, d, h, width), (o, _, t, r, s) = x.shape, w.shape
    depth, flat = _planes(attrs, t)
    slabs = OPS["unfold_planes"].reference(x.reshape(n, c, d, h * width), **depth)
    y = correlate(slabs.reshape(-1, c * t, h, width), w.reshape(o, c * t, r, s), flat)
    y = y.reshape(n, slabs.shape[1], *y.shape[1:]).transpose(0, 2, 1, 3, 4)
    return y if bias is None else y + bias[:, None, None, None]


def _bound(x: Any, w: Any, bias: Any = None, **attrs: int) -> Any:
    return gamma(w[:1].size + 3) * _reference(np.abs(x), np.abs(w), None if bias is None else np.abs(bias), **attrs)


CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], bool, dict[str, int]], ...] = (
    ((1, 2, 3, 4, 5), (3, 2, 2, 3, 2), True, {}),
    ((2, 8, 5, 6, 7), (18, 8, 3, 3, 3), True, {f"pad_{side}": 1 for axis in AXES for side in axis[1:]}),
    ((1, 17, 5, 9, 8), (36, 17, 3, 2, 3), False, {"stride_d": 2, "stride_h": 3, "stride_w": 2, "pad_front": 1, "pad_right": 2, "pad_bottom": 1}),
    ((2, 3, 7, 6, 9), (5, 3, 2, 2, 3), True, {"dilation_d": 3, "dilation_h": 2, "dilation_w": 2, "pad_left": 2, "pad_top": 1, "pad_back": 1}),
    ((1, 16, 2, 3, 17), (65, 16, 1, 1, 1), True, {"stride_w": 3}),
    ((0, 2, 3, 3, 3), (2, 2, 2, 2, 2), True, {}),
)


def _samples() -> Any:
    rng = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return [((draw(x), draw(w), *([draw(w[:1])] if bias else [])), attrs) for x, w, bias, attrs in CASES]


def _cost(x: Spec, w: Spec, bias: Spec | None = None, **attrs: int) -> Any:
    y = _shape(x, w, bias, **attrs)
    return 2 * product(y.shape) * product(w.shape[1:]), 4 * (product(x.shape) + product(w.shape) + product(y.shape))


conv3d_op = Op("conv3d", _shape, _reference, samples=_samples, cost=_cost, bound=_bound)


@conv3d_op.vjp
def _(dy: Tensor, x: Tensor, w: Tensor, *rest: Any, **attrs: int) -> Any:
    (n, c, d, h, width), (o, _, t, r, s) = x.shape, w.shape
    depth, flat = _planes(attrs, t)
    od = dy.shape[2]
    planes = dy.permute(0, 2, 1, 3, 4).reshape(n * od, o, *dy.shape[3:])
    dx = dw = None
    if needs_gradient(x):
        parts = apply("conv2d_dgrad", planes, w.reshape(o, c * t, r, s), in_h=h, in_w=width, **flat)
        dx = apply("fold_planes", parts.reshape(n, od, c, t, h * width), size=d, **depth).reshape(n, c, d, h, width)
    if needs_gradient(w):
        slabs = apply("unfold_planes", x.reshape(n, c, d, h * width), **depth)
        dw = apply("conv2d_wgrad", planes, slabs.reshape(n * od, c * t, h, width), kernel_h=r, kernel_w=s, **flat).reshape(o, c, t, r, s)
    return (dx, dw) if len(rest) < 2 else (dx, dw, dy.sum((0, 2, 3, 4)))


def windows_pay(w: Any, window: Window) -> bool:
    """Whether the op is the faster way: one group, enough channels for a run of taps, and no Winograd over slabs instead.

    Microseconds on one thread, op, slabs, torch: 3x3x3 at a stride of 2, 2 x 16 to 32 channels of 16x16x16: 311, 367, 366; 32 to 64: 1140, 1362, 1102 (99 of
    116 GFLOP/s); 2x2x2 at a stride of 2, 32 to 32: 230, 446, 291. 3x3x3 at a stride of 1, 32 to 32 of 8x28x28: 3629, 2334, 15554; 8 to 16 of 16x32x32: 1154,
    1070, 9283.

    32 to 64 in turns with torch: 0.92 of its speed, then 0.94 to 0.98 (the products alone 1.03): with lines of x called for (0.88 without, 0.98 with), as many
    images copied at a time as L2 holds, and no division for each packed row. Not quicker: tiles of 14 x 32 instead of 7 x 64 (0.971 for 0.978), lines of
    the result called for (0.985, within the noise). What is left is turning the images, and the weights, packed in every call. Not tried: the
    F(4,2) of a stride's phases (Strided5) over planes transformed once, which would spare 0.44 of the products."""
    fast = tuple(w[3:]) in ((3, 3), (5, 5)) and tuple(window.stride[1:]) == (1, 1)
    return window.groups == 1 and isinstance(w[1], int) and w[1] >= 8 and w[0] >= 8 and not fast


__all__ = ["attrs3d", "windows_pay"]
