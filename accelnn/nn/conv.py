"""Convolutions and transposed convolutions over one, two and three dimensions: torch's names, arguments, parameters and initial distributions."""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import AttributeValueError, ShapeError
from ..core.tensor import Tensor
from ..ops.arrange import pad as padded
from ..ops.conv import conv2d
from ..ops.conv_nd import conv1d, conv3d, conv_transpose1d, conv_transpose3d
from ..ops.conv_transpose import conv_transpose2d
from ..ops.window import each, paddings
from . import init
from .module import Module, Parameter

BORDERS = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """weight[O, C/groups, *kernel], transposed: [C, O/groups, *kernel]; bias[O].

    Both uniform within 1 / sqrt(weight[0].size): torch's kaiming_uniform_(a=sqrt(5))."""

    n = 2
    transposed = False

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int,
                 bias: bool, padding_mode: str) -> None:  # fmt: skip
        super().__init__()
        n, name = self.n, type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise AttributeValueError(f"{name}: {in_channels} and {out_channels} channels do not divide into {groups} groups")
        if padding_mode not in (BORDERS[:1] if self.transposed else BORDERS):
            raise AttributeValueError(f"{name}: padding_mode '{padding_mode}'; there is {', '.join(BORDERS[:1] if self.transposed else BORDERS)}")
        self.in_channels, self.out_channels, self.groups, self.padding_mode = in_channels, out_channels, groups, padding_mode
        self.kernel_size, self.stride = each(n, kernel_size, "kernel_size", name, 1), each(n, stride, "stride", name, 1)
        self.dilation, self.output_padding = each(n, dilation, "dilation", name, 1), each(n, output_padding, "output_padding", name, 0)
        paddings(n, padding, (1,) * n, self.kernel_size, self.stride, self.dilation, name)
        self.padding = padding if isinstance(padding, str) else (tuple(padding) if isinstance(padding, (tuple, list)) else (int(padding),) * n)
        rows, columns = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (rows, columns // groups, *self.kernel_size)
        fan_in = math.prod(shape[1:])
        self.weight = Parameter(init.kaiming_uniform_array(shape, fan_in))
        self.bias = Parameter(init.uniform_array((out_channels,), 1 / math.sqrt(max(fan_in, 1)))) if bias else None

    def _batched(self, x: Tensor) -> tuple[Tensor, bool]:
        if x.ndim not in (self.n + 1, self.n + 2):
            raise ShapeError(f"{type(self).__name__}: {x.spec}: [N, C{', size' * self.n}] or [C{', size' * self.n}] expected")
        return (x, False) if x.ndim == self.n + 2 else (x.unsqueeze(0), True)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        none, one = (0,) * self.n, (1,) * self.n
        for name, usual in (("padding", none), ("output_padding", none), ("dilation", one), ("groups", 1), ("padding_mode", "zeros")):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)!r}"
        return text + ("" if self.bias is not None else ", bias=False")


class _Forward(_Conv):
    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
                 bias: bool = True, padding_mode: str = "zeros", *, exact: bool = False) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, padding_mode)
        self.exact = exact

    def forward(self, x: Tensor) -> Tensor:
        x, alone = self._batched(x)
        pad: Any = self.padding
        if self.padding_mode != "zeros":
            before, after = paddings(self.n, pad, x.shape[2:], self.kernel_size, self.stride, self.dilation, type(self).__name__)
            x = padded(x, [side for pair in zip(reversed(before), reversed(after)) for side in pair], self.padding_mode)
            pad = 0
        y = (conv1d, conv2d, conv3d)[self.n - 1](x, self.weight, self.bias, self.stride, pad, self.dilation, self.groups, self.exact)
        return y.reshape(*y.shape[1:]) if alone else y


class Conv1d(_Forward):
    """y[N,O,OL] from x[N,C,L] (or without N)."""

    n = 1


class Conv2d(_Forward):
    """y[N,O,OH,OW] from x[N,C,H,W] (or without N); weight[O,C/groups,R,S], bias[O]; sizes are ints or pairs (height, width).

    padding: ints, 'valid', 'same' (stride 1); beyond torch: 'same_upper', 'same_lower', (top, left, bottom, right). padding_mode: 'zeros', 'reflect',
    'replicate', 'circular'. exact (not torch's): no Winograd, see `conv2d`."""

    n = 2


class Conv3d(_Forward):
    """y[N,O,OD,OH,OW] from x[N,C,D,H,W] (or without N)."""

    n = 3


class _Transposed(_Conv):
    transposed = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
                 bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros") -> None:  # fmt: skip
        if isinstance(padding, str):
            raise AttributeValueError(f"{type(self).__name__}: padding '{padding}': ints expected")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, bias, padding_mode)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        """output_size: the spatial sizes wanted, of the `stride` many that are possible in each dimension; in place of output_padding."""
        x, alone = self._batched(x)
        extra = self.output_padding if output_size is None else self._extra(x.shape[2:], output_size)
        call = (conv_transpose1d, conv_transpose2d, conv_transpose3d)[self.n - 1]
        y = call(x, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)
        return y.reshape(*y.shape[1:]) if alone else y

    def _extra(self, sizes: tuple[Any, ...], wanted: Any) -> tuple[int, ...]:
        given = tuple(wanted)[-self.n :]
        before, after = paddings(self.n, self.padding, sizes, self.kernel_size, self.stride, self.dilation, type(self).__name__)
        least = [(size - 1) * s - b - a + d * (k - 1) + 1
                 for size, s, b, a, d, k in zip(sizes, self.stride, before, after, self.dilation, self.kernel_size)]  # fmt: skip
        if len(given) != self.n or any(not low <= w < low + s for w, low, s in zip(given, least, self.stride)):
            most = [low + s - 1 for low, s in zip(least, self.stride)]
            raise ShapeError(f"{type(self).__name__}: output_size {wanted}: sizes from {least} to {most} expected")
        return tuple(int(w - low) for w, low in zip(given, least))


class ConvTranspose1d(_Transposed):
    """y[N,O,OL] from x[N,C,L] (or without N)."""

    n = 1


class ConvTranspose2d(_Transposed):
    """y[N,O,OH,OW] from x[N,C,H,W] (or without N); weight[C,O/groups,R,S]: the gradient of Conv2d(O, C) in its input, as a layer."""

    n = 2


class ConvTranspose3d(_Transposed):
    """y[N,O,OD,OH,OW] from x[N,C,D,H,W] (or without N)."""

    n = 3


__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
