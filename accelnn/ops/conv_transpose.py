"""Transposed convolution: conv2d's gradient in x, as a layer of its own. The kernel is conv2d_dgrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize, product
from ..core.dtypes import DType
from ..core.errors import AttributeValueError, ShapeError, UnsupportedError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, apply
from .conv import GEOMETRY, _dgrad_bound, _dgrad_reference, _draw, _floats, conv_shape, convolved, needs_gradient
from .exactness import exact_wanted
from .matmul import gamma
from .window import Window, each, window


def _spread(size: AnySize, kernel: AnySize, stride: int, dilation: int, before: int, after: int, extra: int) -> AnySize:
    """The size whose convolution gives `size`; `extra` of the `stride` many that do."""
    return (size - 1) * stride + dilation * (kernel - 1) + 1 - before - after + extra


def _sizes(x: Any, w: Any, g: dict[str, int], extra_h: int, extra_w: int) -> tuple[AnySize, AnySize]:
    return (_spread(x[2], w[2], g["stride_h"], g["dilation_h"], g["pad_top"], g["pad_bottom"], extra_h),
            _spread(x[3], w[3], g["stride_w"], g["dilation_w"], g["pad_left"], g["pad_right"], extra_w))  # fmt: skip


def _shape(x: Spec, w: Spec, bias: Spec | None = None, output_padding_h: int = 0, output_padding_w: int = 0, **g: int) -> Spec:
    _floats("conv_transpose2d", x, w, bias)
    if len(x.shape) != 4 or len(w.shape) != 4 or x.shape[1] != w.shape[0]:
        raise ShapeError(f"conv_transpose2d: x[N,C,H,W] and w[C,O/groups,R,S] expected, not {x} and {w}")
    full = {**GEOMETRY, **g}
    h, width = _sizes(x.shape, w.shape, full, output_padding_h, output_padding_w)
    if h < 1 or width < 1:
        raise ShapeError(f"conv_transpose2d: nothing is left of {x} under this padding")
    y = Spec((x.shape[0], w.shape[1] * full["groups"], h, width), DType.float32)
    if bias is not None and bias.shape != y.shape[1:2]:
        raise ShapeError(f"conv_transpose2d: a bias of shape {bias.shape} for {y.shape[1]} channels")
    conv_shape("conv_transpose2d", y, w, None, full, DType.float32)
    return y


def _reference(x: Any, w: Any, bias: Any = None, output_padding_h: int = 0, output_padding_w: int = 0, **g: int) -> Any:
    h, width = _sizes(x.shape, w.shape, {**GEOMETRY, **g}, output_padding_h, output_padding_w)
    y = _dgrad_reference(x, w, in_h=h, in_w=width, **g)  # type: ignore[arg-type]
    return y if bias is None else y + bias[None, :, None, None]


def _bound(x: Any, w: Any, bias: Any = None, output_padding_h: int = 0, output_padding_w: int = 0, **g: int) -> Any:
    h, width = _sizes(x.shape, w.shape, {**GEOMETRY, **g}, output_padding_h, output_padding_w)
    bound = _dgrad_bound(x, w, in_h=h, in_w=width, **g)  # type: ignore[arg-type]
    return bound if bias is None else bound + gamma(w[:, 0].size + 32) * np.abs(bias)[None, :, None, None]


_TWO = {"stride_h": 2, "stride_w": 2}
CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], bool, dict[str, int]], ...] = (
    ((1, 2, 4, 5), (2, 3, 3, 3), True, {}),
    ((2, 4, 5, 4), (4, 3, 4, 4), True, {**_TWO, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    ((1, 6, 3, 4), (6, 2, 3, 2), True, {"stride_h": 3, "stride_w": 2, "groups": 2, "output_padding_h": 2, "output_padding_w": 1, "pad_left": 1}),
    ((2, 3, 4, 4), (3, 2, 2, 2), False, _TWO),
    ((1, 17, 3, 3), (17, 16, 1, 1), True, {}),
    ((1, 2, 1, 6), (2, 2, 1, 3), False, {"stride_w": 4, "dilation_w": 2, "output_padding_w": 3}),
    ((0, 2, 3, 3), (2, 2, 2, 2), True, {}),
    ((2, 5, 4, 3), (5, 3, 4, 8), True, {"stride_h": 4, "stride_w": 8, "output_padding_h": 1, "output_padding_w": 2}),
    ((1, 16, 15, 14), (16, 18, 3, 3), True, {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    return [((_draw(rng, x), _draw(rng, w), *([_draw(rng, (w[1] * g.get("groups", 1),))] if bias else [])), g) for x, w, bias, g in CASES]


def _cost(x: Spec, w: Spec, bias: Spec | None = None, **attrs: Any) -> Any:
    y = _shape(x, w, bias, **attrs)
    return 2 * product(x.shape) * product(w.shape[1:]), 4 * (product(x.shape) + product(w.shape) + product(y.shape))


conv_transpose2d_op = Op("conv_transpose2d", _shape, _reference, kernel="conv2d_dgrad", samples=_samples, cost=_cost, bound=_bound)


@conv_transpose2d_op.vjp
def _(dy: Tensor, x: Tensor, w: Tensor, *rest: Any, output_padding_h: int = 0, output_padding_w: int = 0, **g: int) -> Any:
    # 4x4 at a stride of 2, 64 to 128 channels, 32 x 14x14, by way of channels last: 4.0 ms instead of 7.0. Both gradients against torch, one thread and two:
    # 2x2, 128 to 64 channels at 56x56, 1.04 and 1.13; 4x4, 256 to 128 at 28x28, 0.99 and 0.98, both at 100 of 116 GFLOP/s: only fewer products are left.
    # Not tried: 2x2 pixels folded into channels make it 2x2 taps at stride 1, for which F(5,2) on winograd.h's six points takes 36 products instead of 100.
    dx = convolved(dy, w, None, {**GEOMETRY, **g}) if needs_gradient(x) else None
    dw = apply("conv2d_wgrad", x, dy, kernel_h=w.shape[2], kernel_w=w.shape[3], **g) if needs_gradient(w) else None
    return (dx, dw) if len(rest) < 2 else (dx, dw, dy.sum((0, 2, 3)))


def transposed_window(n: int, name: str, kernel: tuple[Any, ...], stride: Any, padding: Any, output_padding: Any, dilation: Any,
                      groups: int) -> tuple[Window, tuple[int, ...]]:  # fmt: skip
    """The window of the convolution that is transposed, and the output padding that is left: one that reaches the stride takes zeros of `after` away."""
    if isinstance(padding, str):
        raise AttributeValueError(f"{name}: padding '{padding}': ints, or pairs of ints, expected")
    w = window(n, name, (0,) * n, kernel, stride, padding, dilation, groups)
    extra, after = list(each(n, output_padding, "output_padding", name, 0)), list(w.after)
    for i in range(n):
        if extra[i] >= max(w.stride[i], w.dilation[i]):
            raise AttributeValueError(f"{name}: output_padding {output_padding} must be smaller than stride {stride} or dilation {dilation}")
        if extra[i] >= w.stride[i]:
            taken = min(extra[i], after[i])
            extra[i], after[i] = extra[i] - taken, after[i] - taken
            if extra[i] >= w.stride[i]:
                raise UnsupportedError(f"{name}: output_padding {output_padding} of at least the stride {stride} needs as much padding; pad the result")
    return Window(w.kernel, w.stride, w.before, tuple(after), w.dilation, w.groups), tuple(extra)


def conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                     dilation: Any = 1, exact: bool = False) -> Tensor:  # fmt: skip
    """x[N,C,H,W] against weight[C,O/groups,R,S] + bias[O] -> [N,O,OH,OW], OH = (H - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1.

    Torch's F.conv_transpose2d, argument by argument; padding may also be (top, left, bottom, right), as in ONNX's ConvTranspose. exact: as in conv2d."""
    w, (eh, ew) = transposed_window(2, "conv_transpose2d", weight.shape[2:], stride, padding, output_padding, dilation, groups)
    operands = (x, weight) if bias is None else (x, weight, bias)
    attrs = w.attrs2d() | ({"exact": 1} if exact or exact_wanted() else {})
    return apply("conv_transpose2d", *operands, output_padding_h=eh, output_padding_w=ew, **attrs)


__all__ = ["conv_transpose2d"]
