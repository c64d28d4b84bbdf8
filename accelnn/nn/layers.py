"""The layers of everyday networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from ..core.errors import AttributeValueError
from ..core.tensor import Tensor
from ..ops import linear
from ..ops.distance import bilinear
from . import init
from .module import Module, Parameter


class Linear(Module):
    """y[..., out] = x[..., in] @ weight[out, in].T + bias[out]."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(init.kaiming_uniform_array((out_features, in_features), in_features))
        self.bias = Parameter(init.uniform_array((out_features,), 1 / math.sqrt(max(in_features, 1)))) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y[..., o] = x1[..., i] weight[o, i, j] x2[..., j] + bias[o]."""

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        if in1_features < 1:
            raise AttributeValueError(f"Bilinear: in1_features {in1_features}; at least 1 expected")
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        bound = 1 / math.sqrt(in1_features)
        self.weight = Parameter(init.uniform_array((out_features, in1_features, in2_features), bound))
        self.bias = Parameter(init.uniform_array((out_features,), bound)) if bias else None

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Identity(Module):
    """Its input; takes any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Sequential(Module):
    """Layers one after another; their names are their positions, or the keys of one dictionary."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0] if len(args) == 1 and isinstance(args[0], dict) else None
        self.layers = list(args) if named is None else list(named.values())
        self.names = [] if named is None else list(named)

    def named_children(self) -> Iterator[tuple[str, Module]]:
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


__all__ = ["Bilinear", "Identity", "Linear", "Sequential"]
