"""qconv2d on weights packed once, channels last inside and, where asked, outside (kernels/qconv/qconv2d_packed.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dims import AnySize, product
from ..core.dtypes import DType
from ..core.errors import DTypeError, ShapeError
from ..core.graph import Spec
from ..core.registry import Op
from ..core.tensor import Tensor, asarray
from .conv import CASES, GEOMETRY, conv_shape
from .matmul import PANEL
from .quantized import _corners, _moved, _qconv_reference, _result

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def _over(a: Any, b: int) -> Any:
    return (a + b - 1) // b


def _quads(weights: tuple[Any, ...], groups: int, dilation_w: int) -> tuple[Any, Any, Any]:
    """Panels, pieces of a window and bytes of a piece for weights [O, C/groups, R, S]."""
    o, c, r, s = weights
    if groups > 1 and c == 1 and o == groups:
        return _over(o, PANEL), r, s
    panels = groups * _over(o // groups, PANEL)
    return (panels, r, s * c) if groups == 1 and dilation_w == 1 else (panels, r * s, c)


def _turned(shape: tuple[AnySize, ...], axes: tuple[int, ...]) -> tuple[AnySize, ...]:
    return tuple(shape[a] for a in axes)


def _shape(x: Spec, x_zero: Spec, w: Spec, scale: Spec, bias: Spec | None = None, out_zero: Spec | None = None, kernel_h: int = 1, kernel_w: int = 1,
           relu: int = 0, x_last: int = 0, y_last: int = 0, out: str = "float32", **g: int) -> Spec:  # fmt: skip
    if x.dtype != DType.uint8 or w.dtype != DType.int8:
        raise DTypeError(f"qconv2d_packed: uint8 activations and int8 weights expected, not {x} and {w}")
    if len(x.shape) != 4 or len(scale.shape) != 1:
        raise ShapeError(f"qconv2d_packed: an image of four dimensions and a scale an output expected, not {x} and {scale}")
    full = {**GEOMETRY, **g}
    first = Spec(_turned(x.shape, TO_FIRST), x.dtype) if x_last else x
    plain = Spec((scale.shape[0], first.shape[1] // full["groups"], kernel_h, kernel_w), w.dtype)
    y = conv_shape("qconv2d_packed", first, plain, bias, full, _result(out, out_zero, "qconv2d_packed"))
    panels, pieces, piece = _quads(plain.shape, full["groups"], full["dilation_w"])
    if w.shape != (panels, pieces * _over(piece, 4) + 1, 4 * PANEL):
        raise ShapeError(f"qconv2d_packed: {w} is not what pack_conv makes of weights {plain}")
    return Spec(_turned(y.shape, TO_LAST), y.dtype) if y_last else y


def pack_conv(w: Any, groups: int = 1, dilation_w: int = 1) -> Tensor:
    """int8[O, C/groups, R, S] -> [panels, quads + 1, 64], the panels that qconv2d_packed reads."""
    plain = np.asarray(w.numpy() if isinstance(w, Tensor) else w)
    if plain.ndim != 4 or plain.dtype != np.int8:
        raise ShapeError(f"pack_conv: int8[O, C/groups, R, S] expected, not {plain.dtype}{list(plain.shape)}")
    o, c, r, s = plain.shape
    panels, pieces, piece = _quads(plain.shape, groups, dilation_w)
    depthwise = groups > 1 and c == 1 and o == groups
    windows = (plain if depthwise else plain.transpose(0, 2, 3, 1)).reshape(1 if depthwise else groups, -1, pieces, piece)
    each = windows.shape[1]
    full = np.zeros((windows.shape[0], _over(each, PANEL) * PANEL, pieces, _over(piece, 4) * 4), np.int8)
    full[:, :each, :, :piece] = windows
    quads = full.reshape(panels, PANEL, -1, 4)
    sums = quads.sum((2, 3), dtype=np.int32).reshape(panels, 1, PANEL, 1).view(np.int8)
    return asarray(np.ascontiguousarray(np.concatenate([quads.transpose(0, 2, 1, 3), sums.reshape(panels, 1, PANEL, 4)], 1).reshape(panels, -1, 4 * PANEL)))


def unpack_conv(packed: Any, shape: tuple[int, ...], groups: int, dilation_w: int) -> Any:
    """What pack_conv did, undone: [O, C/groups, R, S]."""
    o, c, r, s = shape
    panels, pieces, piece = _quads(shape, groups, dilation_w)
    depthwise = groups > 1 and c == 1 and o == groups
    quads = packed[:, :-1].reshape(panels, -1, PANEL, 4).transpose(0, 2, 1, 3).reshape(1 if depthwise else groups, -1, pieces, _over(piece, 4) * 4)
    windows = quads[:, : o if depthwise else o // groups, :, :piece]
    return windows.reshape(o, c, r, s) if depthwise else windows.reshape(o, r, s, c).transpose(0, 3, 1, 2)


def _reference(x: Any, x_zero: Any, w: Any, scale: Any, bias: Any = None, out_zero: Any = None, kernel_h: int = 1, kernel_w: int = 1, relu: int = 0,
               x_last: int = 0, y_last: int = 0, out: str = "float32", **g: int) -> Any:
    full = {**GEOMETRY, **g}
    first = x.transpose(TO_FIRST) if x_last else x
    plain = unpack_conv(w, (len(scale), first.shape[1] // full["groups"], kernel_h, kernel_w), full["groups"], full["dilation_w"])
    y = _qconv_reference(first, x_zero, plain, scale, bias, out_zero, relu, out, **full)
    return y.transpose(TO_LAST) if y_last else y


# Beyond conv2d's: tiles, lines, blocks and panels that are not full; depthwise windows of every width.
MORE: tuple[Any, ...] = (
    ((2, 64, 9, 9), (70, 64, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    ((1, 3, 37, 41), (24, 3, 7, 7), {"stride_h": 2, "stride_w": 2, "pad_top": 3, "pad_left": 3, "pad_bottom": 3, "pad_right": 3}),
    ((1, 20, 30, 23), (130, 20, 1, 1), {}),
    ((1, 40, 12, 14), (40, 1, 3, 3), {"groups": 40, "pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
    ((2, 70, 11, 9), (70, 1, 5, 5), {"groups": 70, "stride_h": 2, "stride_w": 2, "pad_top": 2, "pad_left": 2, "pad_bottom": 2, "pad_right": 2}),
    ((1, 96, 8, 8), (96, 1, 2, 2), {"groups": 96, "dilation_w": 2}),
    ((1, 24, 10, 10), (48, 6, 3, 3), {"groups": 4, "dilation_h": 2, "dilation_w": 2, "pad_left": 2}),
    ((1, 8, 25, 25), (8, 8, 3, 3), {"dilation_w": 2, "stride_w": 2}),
    ((1, 20, 29, 30), (35, 20, 3, 3), {"pad_right": 2}),  # by way of F(4,3)
    ((2, 16, 31, 27), (80, 16, 3, 3), {"pad_top": 1, "pad_left": 1, "pad_bottom": 1, "pad_right": 1}),
)


def _samples() -> Any:
    rng = np.random.default_rng(0)
    found: list[Any] = []
    for i, (xs, ws, g) in enumerate((*CASES, *MORE)):
        x, w = _corners(rng, 0, 255, xs, np.uint8), _corners(rng, -128, 127, ws, np.int8)
        scale, bias = rng.uniform(1e-4, 1e-3, ws[0]).astype(np.float32), rng.integers(-5000, 5000, ws[0]).astype(np.int32)
        packed = pack_conv(w, g.get("groups", 1), g.get("dilation_w", 1)).numpy()
        x_last, y_last = i % 2, i // 2 % 2
        g = {**g, "kernel_h": ws[2], "kernel_w": ws[3], "x_last": x_last, "y_last": y_last}
        x = np.ascontiguousarray(x.transpose(TO_LAST)) if x_last else x
        found += [((x, np.array(3 * i % 256, np.uint8), packed, scale, bias, np.array(9, np.uint8)), {**g, "out": "uint8", "relu": 1}),
                  ((x, np.array(0, np.uint8), packed, scale, bias, np.array(200, np.uint8)), {**g, "out": "uint8", "y_last": 1 - y_last}),
                  ((x, np.array(0, np.uint8), packed, np.where(np.arange(ws[0]) == i, -scale, 900 * scale).astype(np.float32), bias, np.array(100, np.uint8)),
                   {**g, "out": "uint8", "relu": i % 3 % 2}),
                  ((x, np.array(128, np.uint8), packed, scale), {**g, "out": "float32"}),
                  ((x, np.array(255, np.uint8), packed, scale, bias), {**g, "out": "int32", "y_last": 1 - y_last})]  # fmt: skip
    return found


def _cost(x: Spec, x_zero: Spec, w: Spec, scale: Spec, *rest: Any, **attrs: Any) -> Any:
    y = _shape(x, x_zero, w, scale, *rest, **attrs)
    channels = x.shape[3 if attrs.get("x_last") else 1] // attrs.get("groups", 1)
    return 2 * product(y.shape) * channels * attrs["kernel_h"] * attrs["kernel_w"], _moved(x, w, y)


qconv2d_packed = Op("qconv2d_packed", _shape, _reference, samples=_samples, cost=_cost)
