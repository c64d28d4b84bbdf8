"""Convolutions over one and three dimensions, exactly those over two: a line is a picture of one row, and a slab of T planes is a picture with T times
as many channels (planes.py), unless windows are walked over the volume itself (conv_volume.py). The slabs of a volume are copied T / stride times; each
copied element meets O R S weights.

Both gradients against torch, one thread (two): 3x3x3 at a stride of 2, 16 to 32 channels of 16x16x16 1.04 (1.05), 32 to 64 0.93 (0.76, one noisy run);
conv_transpose3d 32 to 16 channels, 4x4x4 at 8x14x14, 0.81 (0.78); 64 to 32, 2x2x2, 1.41. What was tried for the 4x4x4 (2.6 to 3.0 ms, torch 1.9 to 2.0):
its dx by way of channels last inside conv2d, 1134 instead of 1702 us; images turned in squares for dw, 1016 and 1173 us in two runs that differed by more
than that; what is left besides is 94 us of unfolding and 170 us of walking the tape (conv3d: 110 us of folding, 81 us of dy's copy). Both products run at 88
of 116 GFLOP/s. dw by the F(4,2) of strided_wgrad.h, two taps for odd pixels too (100 products for 256, of which 14x14 leaves 0.51): alone 0.93 ms instead of
1.25 (dw through the tape 0.87 to 1.2, and 1.1 to 1.4), but with dx in the same call no gain: three runs in turns 0.69, 0.75, 0.72 of torch against 0.79, 0.76,
0.82, and with chunks of 32 tiles instead of 128 0.83, 0.73, 0.70 against 0.77, 0.78, 0.70. Its transforms are 3.7 MB (0.9), which did not stay in the caches.
Not tried: the same for dx (conv2d_nhwc's strided), and dx by the op conv3d on dy as it is, without slabs, for which conv_transpose3d has to be an op.
"""

from __future__ import annotations

from typing import Any

from ..core.dims import product
from ..core.errors import ShapeError
from ..core.tensor import Tensor, apply
from .conv_transpose import transposed_window
from .conv_volume import attrs3d, windows_pay
from .exactness import exact_wanted
from .window import Window, window


def _ranks(name: str, n: int, x: Tensor, weight: Tensor) -> None:
    if x.ndim != n + 2 or weight.ndim != n + 2:
        raise ShapeError(f"{name}: {x.spec} and weights {weight.spec}: {n + 2} dimensions each expected")


def _apply(op: str, x: Tensor, weight: Tensor, bias: Tensor | None, **attrs: Any) -> Tensor:
    return apply(op, x, weight, **attrs) if bias is None else apply(op, x, weight, bias, **attrs)


def _as_row(x: Tensor) -> Tensor:
    """[A, B, L] -> [A, B, 1, L]."""
    return x.reshape(x.shape[0], x.shape[1], 1, x.shape[2])


def conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
           exact: bool = False) -> Tensor:  # fmt: skip
    """x[N,C,L] * weight[O,C/groups,S] + bias[O] -> [N,O,OL]. padding, exact: as in conv2d."""
    _ranks("conv1d", 1, x, weight)
    w = window(1, "conv1d", x.shape[2:], weight.shape[2:], stride, padding, dilation, groups)
    y = _apply("conv2d", _as_row(x), _as_row(weight), bias, **w.attrs2d(exact or exact_wanted()))
    return y.reshape(y.shape[0], y.shape[1], y.shape[3])


def conv_transpose1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                     dilation: Any = 1) -> Tensor:  # fmt: skip
    """x[N,C,L] against weight[C,O/groups,S] + bias[O] -> [N,O,OL]; arguments as in torch's F.conv_transpose1d."""
    _ranks("conv_transpose1d", 1, x, weight)
    w, (extra,) = transposed_window(1, "conv_transpose1d", weight.shape[2:], stride, padding, output_padding, dilation, groups)
    y = _apply("conv_transpose2d", _as_row(x), _as_row(weight), bias, output_padding_w=extra, **w.attrs2d())
    return y.reshape(y.shape[0], y.shape[1], y.shape[3])


def _depth(w: Window) -> dict[str, int]:
    return dict(kernel=int(w.kernel[0]), stride=w.stride[0], dilation=w.dilation[0], front=w.before[0], back=w.after[0])


def _points(w: Window) -> bool:
    """1x1x1 at stride 1: planes follow each other like rows, nothing has to be copied."""
    return all(k == 1 for k in w.kernel) and all(k == 1 for k in w.stride) and not any(w.before) and not any(w.after)


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
           exact: bool = False) -> Tensor:  # fmt: skip
    """x[N,C,D,H,W] * weight[O,C/groups,T,R,S] + bias[O] -> [N,O,OD,OH,OW]. padding: one int, three, six (front, top, left, back, bottom, right), or a word
    as in conv2d; exact: as there."""
    _ranks("conv3d", 3, x, weight)
    w = window(3, "conv3d", x.shape[2:], weight.shape[2:], stride, padding, dilation, groups)
    (n, c, d, h, width), (o, per_group, t, r, s) = x.shape, weight.shape
    if _points(w):
        y = _apply("conv2d", x.reshape(n, c, d * h, width), weight.reshape(o, per_group, 1, 1), bias, **w.attrs2d(exact))
        return y.reshape(n, o, d, h, width)
    if windows_pay(weight.shape, w):
        return _apply("conv3d", x, weight, bias, **attrs3d(w))
    slabs = apply("unfold_planes", x.reshape(n, c, d, h * width), **_depth(w))
    od = slabs.shape[1]
    y = _apply("conv2d", slabs.reshape(n * od, c * t, h, width), weight.reshape(o, per_group * t, r, s), bias, **w.attrs2d(exact or exact_wanted()))
    return y.reshape(n, od, *y.shape[1:]).permute(0, 2, 1, 3, 4)


def conv_transpose3d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                     dilation: Any = 1) -> Tensor:  # fmt: skip
    """x[N,C,D,H,W] against weight[C,O/groups,T,R,S] + bias[O] -> [N,O,OD,OH,OW]; arguments as in torch's F.conv_transpose3d."""
    _ranks("conv_transpose3d", 3, x, weight)
    w, extra = transposed_window(3, "conv_transpose3d", weight.shape[2:], stride, padding, output_padding, dilation, groups)
    (n, c, d, h, width), (_, per_group, t, r, s) = x.shape, weight.shape
    planes = x.permute(0, 2, 1, 3, 4).reshape(n * d, c, h, width)
    y = apply("conv_transpose2d", planes, weight.reshape(c, per_group * t, r, s), output_padding_h=extra[1], output_padding_w=extra[2], **w.attrs2d())
    o, (oh, ow), depth = per_group * groups, y.shape[2:], _depth(w)
    size = (d - 1) * depth["stride"] + depth["dilation"] * (depth["kernel"] - 1) + 1 - depth["front"] - depth["back"] + extra[0]
    if size < 1:
        raise ShapeError(f"conv_transpose3d: nothing is left of {x.spec} under this padding")
    z = apply("fold_planes", y.reshape(n, d, o, t, product((oh, ow))), size=size, **depth).reshape(n, o, size, oh, ow)
    return z if bias is None else z + bias.reshape(o, 1, 1, 1)


__all__ = ["conv1d", "conv3d", "conv_transpose1d", "conv_transpose3d"]
