"""Pools as layers: one to three dimensions, adaptive and fractional ones, and the way back from maxima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.tensor import Tensor
from ..ops import pooling as f
from ..ops.fractional import fractional_max_pool2d, fractional_max_pool3d
from .spatial import Spatial


class _MaxPool(Spatial):
    """Largest element of each window; with return_indices also its place in the plane."""

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
                 ceil_mode: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.dilation, self.return_indices, self.ceil_mode = dilation, return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        pool = (f.max_pool1d, f.max_pool2d, f.max_pool3d)[self.dims - 1]
        return pool(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)


class MaxPool1d(_MaxPool, dims=1): ...


class MaxPool2d(_MaxPool, dims=2): ...


class MaxPool3d(_MaxPool, dims=3): ...


class AvgPool1d(Spatial, dims=1):
    """Mean of each window."""

    shown = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return f.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPool(AvgPool1d):
    """Mean of each window; divisor_override replaces the number of its elements."""

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: int | None = None) -> None:  # fmt: skip
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        pool = (f.avg_pool2d, f.avg_pool3d)[self.dims - 2]
        return pool(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override)


class AvgPool2d(_AvgPool, dims=2): ...


class AvgPool3d(_AvgPool, dims=3): ...


class _LPPool(Spatial):
    """(sum of x^norm_type)^(1/norm_type) over each window."""

    shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return f.lp_pool(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode, self.dims)


class LPPool1d(_LPPool, dims=1): ...


class LPPool2d(_LPPool, dims=2): ...


class LPPool3d(_LPPool, dims=3): ...


class _AdaptiveAvg(Spatial):
    """Means in output_size windows, whatever the size of the picture; None keeps a dimension."""

    shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return f.adaptive_avg_pool(x, self.output_size, self.dims)


class AdaptiveAvgPool1d(_AdaptiveAvg, dims=1): ...


class AdaptiveAvgPool2d(_AdaptiveAvg, dims=2): ...


class AdaptiveAvgPool3d(_AdaptiveAvg, dims=3): ...


class _AdaptiveMax(Spatial):
    """Maxima in output_size windows, whatever the size of the picture; with return_indices also their places in the plane."""

    shown = ("output_size",)

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, x: Tensor) -> Any:
        return f.adaptive_max_pool(x, self.output_size, self.return_indices, self.dims)


class AdaptiveMaxPool1d(_AdaptiveMax, dims=1): ...


class AdaptiveMaxPool2d(_AdaptiveMax, dims=2): ...


class AdaptiveMaxPool3d(_AdaptiveMax, dims=3): ...


class _Fractional(Spatial):
    """Largest element of each of output_size windows (or output_ratio times as many as there are elements) that begin at random places, for every channel its
    own (Graham, arXiv 1412.6071). `_random_samples`[N, C, dims] in [0, 1), the last dimension first, take the place of random numbers."""

    shown = ("kernel_size", "output_size", "output_ratio")

    def __init__(self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
                 _random_samples: Tensor | None = None) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.output_size, self.output_ratio, self.return_indices = kernel_size, output_size, output_ratio, return_indices
        self._random_samples = _random_samples

    def forward(self, x: Tensor) -> Any:
        pool = (fractional_max_pool2d, fractional_max_pool3d)[self.dims - 2]
        return pool(x, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples)


class FractionalMaxPool2d(_Fractional, dims=2): ...


class FractionalMaxPool3d(_Fractional, dims=3): ...


class _MaxUnpool(Spatial):
    """The maxima back in their places, zeros elsewhere; indices as the pool gives them."""

    shown = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding

    def forward(self, x: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return f.max_unpool(x, indices, self.kernel_size, self.stride, self.padding, output_size, self.dims)


class MaxUnpool1d(_MaxUnpool, dims=1): ...


class MaxUnpool2d(_MaxUnpool, dims=2): ...


class MaxUnpool3d(_MaxUnpool, dims=3): ...


__all__ = ["AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AvgPool1d",
           "AvgPool2d", "AvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d", "LPPool1d", "LPPool2d", "LPPool3d", "MaxPool1d", "MaxPool2d",
           "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]  # fmt: skip
