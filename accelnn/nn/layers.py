"""The layers of everyday networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from ..core.errors import AttributeValueError
from ..core.tensor import Tensor
from ..ops import conv2d, dropout, linear
from ..ops.conv import pair
from . import init
from .activation import GELU as GELU, ReLU as ReLU, Sigmoid as Sigmoid, SiLU as SiLU, Softmax as Softmax, Tanh as Tanh
from .module import Module, Parameter
from .pool import AvgPool2d as AvgPool2d, MaxPool2d as MaxPool2d


class Linear(Module):
    """y[..., out] = x[..., in] @ weight[out, in].T + bias[out]."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.kaiming_uniform((out_features, in_features), in_features))
        self.bias = Parameter(init.uniform_array((out_features,), 1 / math.sqrt(max(in_features, 1)))) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Conv2d(Module):
    """y[N,O,OH,OW] from x[N,C,H,W]; weight[O,C/groups,R,S], bias[O]; sizes are ints or pairs (height, width)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
                 bias: bool = True) -> None:  # fmt: skip
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise AttributeValueError(f"Conv2d: {in_channels} and {out_channels} channels do not divide into {groups} groups")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.padding, self.dilation = pair(kernel_size), pair(stride), pair(padding), pair(dilation)
        fan_in = in_channels // groups * self.kernel_size[0] * self.kernel_size[1]
        self.weight = Parameter(init.kaiming_uniform((out_channels, in_channels // groups, *self.kernel_size), fan_in))
        self.bias = Parameter(init.uniform_array((out_channels,), 1 / math.sqrt(max(fan_in, 1)))) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class Flatten(Module):
    """Dimensions start_dim..end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)


class Dropout(Module):
    """While training: zeroes each element with probability p and scales the rest by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Sequential(Module):
    """Layers one after another; their names are their positions, or the keys of one dictionary."""

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        named = layers[0] if len(layers) == 1 and isinstance(layers[0], dict) else None
        self.layers = list(layers) if named is None else list(named.values())
        self.names = [] if named is None else list(named)

    def children(self) -> Iterator[tuple[str, Module]]:
        return zip([*self.names, *(str(i) for i in range(len(self.names), len(self.layers)))], self.layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def append(self, layer: Module) -> Sequential:
        self.layers.append(layer)
        return self

    def extend(self, layers: Iterable[Module]) -> Sequential:
        self.layers.extend(layers)
        return self

    def __getitem__(self, i: int | slice) -> Any:
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)
