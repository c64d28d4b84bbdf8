"""Pools."""

from __future__ import annotations

from typing import Any

from .... import ops
from ..call import Call, register, sides

MAX = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
AVERAGE = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}
ADAPTIVE = {1: ops.adaptive_max_pool1d, 2: ops.adaptive_max_pool2d, 3: ops.adaptive_max_pool3d}


def _pools(n: int) -> None:
    @register(f"aten.max_pool{n}d")
    def _(c: Call, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
        kernel = sides(kernel_size, n)
        return MAX[n](self, kernel, sides(stride, n) or kernel, sides(padding, n), sides(dilation, n), ceil_mode)

    @register(f"aten.max_pool{n}d_with_indices")
    def _(c: Call, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Any:
        kernel = sides(kernel_size, n)
        return MAX[n](self, kernel, sides(stride, n) or kernel, sides(padding, n), sides(dilation, n), ceil_mode, True)

    @register(f"aten.avg_pool{n}d")
    def _(c: Call, self: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
          divisor_override: Any = None) -> Any:  # fmt: skip
        kernel = sides(kernel_size, n)
        more = {} if divisor_override is None else {"divisor_override": divisor_override}
        return AVERAGE[n](self, kernel, sides(stride, n) or kernel, sides(padding, n), ceil_mode, count_include_pad, **more)

    @register(f"aten.adaptive_avg_pool{n}d", f"aten._adaptive_avg_pool{n}d")
    def _(c: Call, self: Any, output_size: Any) -> Any:
        wanted = sides(output_size, n)
        if all(isinstance(s, int) and s == 1 for s in wanted):  # of any size, a known one or not
            return self.mean(tuple(range(self.ndim - n, self.ndim)), True)
        return ops.pooling.adaptive_avg_pool(self, wanted, n)

    @register(f"aten.adaptive_max_pool{n}d")
    def _(c: Call, self: Any, output_size: Any) -> Any:
        return ADAPTIVE[n](self, sides(output_size, n), True)


for _n in (1, 2, 3):
    _pools(_n)
