"""Convolutions, resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .... import ops
from ....core.tensor import Tensor
from ..call import Call, register, sides

CONV = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}
TRANSPOSED = {1: ops.conv_transpose1d, 2: ops.conv_transpose2d, 3: ops.conv_transpose3d}


def _batched(x: Tensor, n: int, f: Callable[[Tensor], Tensor]) -> Tensor:
    """f of x[N, C, ...], N put there and taken away where x has none."""
    return f(x) if x.ndim == n + 2 else f(x.unsqueeze(0)).squeeze(0)


def _conv(n: int) -> None:
    @register(f"aten.conv{n}d", f"aten.conv{n}d.padding")
    def _(c: Call, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        pads = padding if isinstance(padding, str) else sides(padding, n)
        return _batched(input, n, lambda x: CONV[n](x, weight, bias, sides(stride, n), pads, sides(dilation, n), groups))

    @register(f"aten.conv_transpose{n}d" + ("" if n == 1 else ".input"))
    def _(c: Call, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
          dilation: Any = 1) -> Any:  # fmt: skip
        return _batched(input, n, lambda x: TRANSPOSED[n](x, weight, bias, sides(stride, n), sides(padding, n), sides(output_padding, n), groups,
                                                          sides(dilation, n)))  # fmt: skip


for _n in (1, 2, 3):
    _conv(_n)


@register("aten.convolution")
def _(c: Call, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, output_padding: Any, groups: int) -> Any:
    n = weight.ndim - 2
    stride, padding, dilation = sides(stride, n), sides(padding, n), sides(dilation, n)
    if transposed:
        return _batched(input, n, lambda x: TRANSPOSED[n](x, weight, bias, stride, padding, sides(output_padding, n), groups, dilation))
    return _batched(input, n, lambda x: CONV[n](x, weight, bias, stride, padding, dilation, groups))


MODES = {"nearest1d": "nearest", "nearest2d": "nearest", "nearest3d": "nearest", "_nearest_exact1d": "nearest-exact", "_nearest_exact2d": "nearest-exact",
         "linear1d": "linear", "bilinear2d": "bilinear", "trilinear3d": "trilinear", "bicubic2d": "bicubic"}  # fmt: skip


def _resized(c: Call, x: Tensor, mode: str, size: Any, scales: Any, align: bool) -> Tensor:
    scales = None if scales is None or any(s is None for s in scales) else [float(s) for s in scales]
    corners = align if mode in ("linear", "bilinear", "trilinear", "bicubic") else None
    if size is not None and scales is not None and not align:  # both are in nodes that are lowered further: places follow the scale
        known = all(isinstance(s, int) for s in x.shape[2:])
        size = None if known and all(int(n * s) == m for n, s, m in zip(x.shape[2:], scales, size)) else size
    if size is not None:
        scales = None
    return ops.interpolate(x, None if size is None else tuple(size), scales, mode, corners)


for _name, _mode in MODES.items():
    _full = f"aten.{'_upsample' + _name if _name.startswith('_') else 'upsample_' + _name}"

    @register(f"{_full}.vec", _full)
    def _(c: Call, input: Any = None, output_size: Any = None, scale_factors: Any = None, align_corners: bool = False, scales_h: Any = None,
          scales_w: Any = None, scales: Any = None, scales_d: Any = None, self: Any = None, mode: str = _mode) -> Any:  # fmt: skip
        x = input if input is not None else self
        given = {3: [scales], 4: [scales_h, scales_w], 5: [scales_d, scales_h, scales_w]}[x.ndim]
        return _resized(c, x, mode, output_size, scale_factors if scale_factors is not None else given, align_corners)
