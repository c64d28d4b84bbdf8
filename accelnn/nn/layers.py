"""The layers of everyday networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from ..core.tensor import Tensor
from ..ops import dropout, linear
from . import init
from .module import Module, Parameter


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


__all__ = ["Dropout", "Flatten", "Linear", "Sequential"]
